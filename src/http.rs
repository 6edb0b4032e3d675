//! What the HTTP port serves beside WebSockets: the page, health, metrics and, in development, the seeded users.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cluster::endpoints::by_load;
use cluster::{Membership, NodeRecord};
use connector::auth::claims::role_name;
use futures::future::BoxFuture;
use idgen::{Clock, SystemClock};
use serde::Serialize;
use serde_json::json;

use crate::dev_data::{self, DevData};

/// How long a token of `/dev/users` holds, in seconds.
pub const DEV_TOKEN_TTL_S: i64 = 7 * 24 * 3600;

/// What the pages tell of the gateway.
pub trait Status: Send + Sync + 'static {
    /// Why the gateway should get no new devices now; empty when it should.
    fn not_ready(&self) -> BoxFuture<'_, Vec<String>>;
    /// Everything it counts.
    fn metrics(&self) -> Vec<Metric>;
}

/// One number for `/metrics`.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Without the `whimbrel_` in front.
    pub name: String,
    pub help: String,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    pub value: u64,
}

impl Metric {
    /// A number that only rises.
    pub fn counter(part: &str, name: &str, help: &str, value: u64) -> Metric {
        Metric { name: format!("{part}_{name}_total"), help: help.into(), kind: "counter", value }
    }

    /// A number as it is now.
    pub fn gauge(part: &str, name: &str, help: &str, value: u64) -> Metric {
        Metric { name: format!("{part}_{name}"), help: help.into(), kind: "gauge", value }
    }
}

/// The page and the operator's routes.
pub fn router(status: Arc<dyn Status>) -> Router {
    let operator = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(status);
    operator.merge(web::router())
}

/// `GET /v1/endpoints`: where devices may connect, the connectors with the fewest devices first.
pub fn endpoints_router(membership: Arc<dyn Membership>) -> Router {
    Router::new().route("/v1/endpoints", get(endpoints)).with_state(membership)
}

async fn endpoints(State(membership): State<Arc<dyn Membership>>) -> impl IntoResponse {
    #[derive(Serialize)]
    struct Connector {
        node: u16,
        urls: Vec<String>,
    }
    let view = membership.snapshot();
    let connector =
        |record: &&NodeRecord| Connector { node: record.node.number().get(), urls: record.endpoints.clone() };
    let connectors: Vec<Connector> = by_load(&view).iter().map(connector).collect();
    // It is as old as what connectors say of themselves.
    ([(header::CACHE_CONTROL, "no-cache")], Json(json!({ "connectors": connectors })))
}

/// `GET /dev/users`: everybody the page may sign in as, with a token. For loopback only: whoever reads it can be
/// anybody.
pub fn dev_router(data: Arc<DevData>) -> Router {
    Router::new().route("/dev/users", get(dev_users)).with_state(data)
}

async fn ready(State(status): State<Arc<dyn Status>>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        ready: bool,
        reasons: Vec<String>,
    }
    let reasons = status.not_ready().await;
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Ready { ready: reasons.is_empty(), reasons })).into_response()
}

async fn metrics(State(status): State<Arc<dyn Status>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], exposition(&status.metrics()))
}

fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, help, kind, value } in metrics {
        _ = writeln!(
            text,
            "# HELP whimbrel_{name} {help}\n# TYPE whimbrel_{name} {kind}\nwhimbrel_{name} {value}"
        );
    }
    text
}

async fn dev_users(State(data): State<Arc<DevData>>, headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct User {
        user: &'static str,
        name: &'static str,
        role: &'static str,
        token: String,
    }
    if !asks_loopback(&headers) {
        // A foreign page whose name was made to resolve to this machine sends its own name.
        return (StatusCode::FORBIDDEN, "only for http://localhost and http://127.0.0.1\n").into_response();
    }
    let now_s = SystemClock.unix_millis() / 1000;
    let users: Result<Vec<User>, _> = dev_data::USERS
        .into_iter()
        .map(|(user, name, role)| {
            let token = data.token(dev_data::identity(user), now_s, DEV_TOKEN_TTL_S)?;
            Ok::<_, connector::auth::MintError>(User { user, name, role: role_name(role), token })
        })
        .collect();
    match users {
        Ok(users) => ([(header::CACHE_CONTROL, "no-store")], Json(users)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether a request names this machine as the host it asks.
pub fn asks_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    // Only a port may follow the name.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_get_tokens() {
        let asked = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            asks_loopback(&headers)
        };
        for host in ["localhost", "localhost:7480", "LOCALHOST:1", "127.0.0.1:7480", "[::1]:7480", "[::1]"] {
            assert!(asked(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7480",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "::1",
            "localhost:",
            "localhost:x",
            "a:localhost",
            "",
        ] {
            assert!(!asked(host), "{host}");
        }
        assert!(!asks_loopback(&HeaderMap::new()));
    }

    #[test]
    fn metrics_are_prometheus_text() {
        let text = exposition(&[Metric::counter("connector", "logins", "Devices logged in.", 3)]);
        assert!(text.ends_with(
            "# TYPE whimbrel_connector_logins_total counter\nwhimbrel_connector_logins_total 3\n"
        ));
    }
}
