//! What an operator may ask of a running gateway, on a loopback listener of its own: what became of a message, and
//! who came and went.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use channel::node::ChannelNode;
use protocol::code::Code;
use protocol::v1::{Timeline, TimelineMember, TimelinePush};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::presence::{MAX_EVENTS, PresenceEvent, PresenceState};

use crate::http::asks_loopback;

/// `GET /admin/timeline?tenant=&conversation=&seq=[&after=]` and `GET /admin/presence?tenant=[&after=][&limit=]`.
pub fn router(channel: Arc<ChannelNode>) -> Router {
    Router::new()
        .route("/admin/timeline", get(timeline))
        .route("/admin/presence", get(presence))
        .layer(middleware::from_fn(only_loopback))
        .with_state(channel)
}

/// A foreign page whose name was made to resolve to this machine sends its own name.
async fn only_loopback(request: Request, next: Next) -> Response {
    if asks_loopback(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "only for http://localhost and http://127.0.0.1\n").into_response()
}

#[derive(Deserialize)]
struct TimelineOf {
    tenant: String,
    conversation: String,
    seq: u64,
    #[serde(default)]
    after: String,
}

async fn timeline(State(channel): State<Arc<ChannelNode>>, Query(of): Query<TimelineOf>) -> Response {
    match channel.timeline(&of.tenant, &of.conversation, of.seq, &of.after).await {
        Ok(timeline) => Json(shown(timeline)).into_response(),
        Err(refused) => refusal(refused.code, &refused.message),
    }
}

fn shown(timeline: Timeline) -> serde_json::Value {
    let push = |push: TimelinePush| {
        // A DeviceId exceeds what JSON numbers hold everywhere.
        json!({"user": push.user, "device_id": push.device_id.to_string(), "at_ms": push.at_ms})
    };
    let member = |member: TimelineMember| {
        json!({
            "user": member.user, "delivered": member.delivered, "read": member.read,
            "delivered_ms": known(member.delivered_ms), "read_ms": known(member.read_ms),
        })
    };
    json!({
        "conversation": timeline.conversation,
        "seq": timeline.seq,
        "sender": timeline.sender,
        "received_ms": timeline.received_ms,
        "committed_ms": known(timeline.committed_ms),
        "sampled": timeline.sampled,
        "pushed": timeline.sampled.then_some(timeline.pushed),
        "pushes": timeline.pushes.into_iter().map(push).collect::<Vec<_>>(),
        "members": timeline.members.into_iter().map(member).collect::<Vec<_>>(),
        "next_after": Some(timeline.next_after).filter(|after| !after.is_empty()),
    })
}

/// `null` for a time that is not known.
fn known(at_ms: i64) -> Option<i64> {
    (at_ms != 0).then_some(at_ms)
}

#[derive(Deserialize)]
struct PresenceOf {
    tenant: String,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Event {
    seq: u64,
    user: String,
    state: &'static str,
    at_ms: i64,
    epoch: u64,
}

async fn presence(State(channel): State<Arc<ChannelNode>>, Query(of): Query<PresenceOf>) -> Response {
    match channel.presence_events(&of.tenant, of.after, of.limit.unwrap_or(MAX_EVENTS)).await {
        Ok(page) => {
            let events: Vec<Event> = page.events.into_iter().map(event).collect();
            Json(json!({"first_kept": page.first_kept, "tip": page.tip, "events": events})).into_response()
        }
        Err(error) => refusal(error.code(), &error.to_string()),
    }
}

fn event(event: PresenceEvent) -> Event {
    let PresenceEvent { seq, user, state, at_ms, epoch } = event;
    let state = match state {
        PresenceState::Offline => "offline",
        PresenceState::Away => "away",
        PresenceState::Online => "online",
    };
    Event { seq, user, state, at_ms, epoch }
}

fn refusal(code: Code, message: &str) -> Response {
    let status = match code {
        Code::NOT_FOUND => StatusCode::NOT_FOUND,
        code if code.number() < 500 => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({"code": code.number(), "name": code.name(), "message": message}))).into_response()
}
