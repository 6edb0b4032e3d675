//! The operator's listener: timelines, and the presence stream over a `kill -9`.

use std::net::SocketAddr;
use std::time::Duration;

use client::Client;
use serde_json::Value;

use crate::support::http;
use crate::support::process::{Gateway, Settings, free_port};
use crate::support::tokens::TENANT;

async fn gateway() -> (Gateway, SocketAddr) {
    let admin = free_port();
    let settings = Settings::new().set("admin.listen", format!("\"{admin}\"")).set("presence.grace_ms", 300);
    (Gateway::with(settings).await, admin)
}

async fn connect(gateway: &Gateway, user: &str) -> Client {
    let builder = Client::builder(gateway.tcp_url()).token(gateway.token(user)).installation("phone");
    builder.connect().await.unwrap()
}

async fn json(admin: SocketAddr, path: &str) -> (u16, Value) {
    let answer = http::get(admin, path).await.unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
}

/// The stream's events as (user, state), once there are `count`.
async fn stream(admin: SocketAddr, count: usize) -> Vec<(String, String)> {
    let path = format!("/admin/presence?tenant={TENANT}");
    let found = async {
        loop {
            let (status, page) = json(admin, &path).await;
            assert_eq!(status, 200, "{page}");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let events = page["events"].as_array().unwrap();
            if events.len() >= count {
                return events.iter().map(|event| (text(&event["user"]), text(&event["state"]))).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the events come")
}

#[tokio::test]
async fn what_became_of_a_message() {
    let (gateway, admin) = gateway().await;
    let (alice, bob) = (connect(&gateway, "alice").await, connect(&gateway, "bob").await);
    let sent = alice.direct("bob").send("hi").await.unwrap();
    let (room, seq) = (alice.direct("bob").id().to_owned(), sent.seq);
    bob.conversation(&room).mark_read(seq).await.unwrap();
    let told = alice.timeline(&room, seq, "").await.unwrap();
    let bobs = &told.members[0];
    assert_eq!((bobs.user.as_str(), bobs.delivered, bobs.read), ("bob", true, true));
    assert!(told.received_ms <= told.committed_ms && told.committed_ms <= bobs.read_ms, "{told:?}");
    assert!(bob.timeline(&room, seq, "").await.is_err(), "only the sender may ask");

    let path = |seq| format!("/admin/timeline?tenant={TENANT}&conversation={room}&seq={seq}");
    let (status, shown) = json(admin, &path(seq)).await;
    assert_eq!((status, shown["sampled"].as_bool(), shown["pushed"].as_u64()), (200, Some(true), Some(1)));
    assert_eq!(shown["received_ms"].as_i64(), Some(told.received_ms));
    assert_eq!(shown["members"][0]["read_ms"].as_i64(), Some(bobs.read_ms));
    assert_eq!(json(admin, &path(99)).await.0, 404);
    assert_eq!(json(admin, "/admin/timeline").await.0, 400);
    assert_eq!(http::get(gateway.http, &path(seq)).await.unwrap().status, 404, "not on the public port");
}

#[tokio::test]
async fn a_killed_gateway_leaves_no_ghosts_online() {
    let (mut gateway, admin) = gateway().await;
    let alice = connect(&gateway, "alice").await;
    let bob = connect(&gateway, "bob").await;
    alice.set_away(true).await.unwrap();
    let (online, away, offline) = ("online".to_owned(), "away".to_owned(), "offline".to_owned());
    let before = stream(admin, 3).await;
    assert_eq!(before[2], ("alice".into(), away));
    drop((alice, bob));
    gateway.kill();
    gateway.launch().await;
    let mut after = stream(admin, 5).await.split_off(3);
    after.sort();
    assert_eq!(after, [("alice".into(), offline.clone()), ("bob".into(), offline)]);
    let _alice = connect(&gateway, "alice").await;
    assert_eq!(stream(admin, 6).await[5], ("alice".into(), online));
}
