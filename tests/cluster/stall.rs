//! A connector that stands still: its devices find another one by themselves, and when it goes on it takes nobody back.

use std::time::{Duration, Instant};

use client::{Client, Event, Since};
use futures::StreamExt as _;

use crate::nodes::Nodes;
use crate::support::metrics::Metrics;
use crate::support::process::Settings;
use crate::support::soon;

/// Longer than any lease, than a link's patience, and than its routes are kept.
const STALL: Duration = Duration::from_secs(30);
/// For a device to notice that nothing comes any more, to fail at the usual address, and to be elsewhere.
const BACK: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_of_a_connector_that_stands_still_go_elsewhere_and_stay_there() {
    let nodes = Nodes::start_with(Settings::new().set("limits.heartbeat_ms", 3_000)).await;
    let log_in = async |connector: usize, user: &str| {
        let builder = Client::builder(nodes.connectors[connector].tcp_url()).token(nodes.issuer.token(user));
        builder.installation("phone").connect().await.unwrap()
    };
    let room = log_in(1, "alice").await.create_conversation("room", ["bob"]).await.unwrap();
    // The only address that it was given is the one that will not answer.
    let bob = log_in(0, "bob").await;
    let (mut events, mut messages) = (bob.events(), bob.conversation(room.id()).messages(Since::Start));
    let began = Instant::now();
    nodes.connectors[0].stall();
    let back = async {
        // The first connection may be told of late.
        while !matches!(events.next().await, Some(Event::Disconnected { .. })) {}
        while !matches!(events.next().await, Some(Event::Connected { .. })) {}
    };
    tokio::time::timeout(BACK, back).await.expect("bob is elsewhere");
    let back = began.elapsed();
    while began.elapsed() < STALL {
        room.send("meanwhile").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    nodes.connectors[0].resume();
    soon("the connector is back without the device", async {
        while Metrics::of(nodes.connectors[0].http).await.get("whimbrel_connector_sessions") > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let last = room.send("afterwards").await.unwrap().seq;
    let mut seen = Vec::new();
    let all = async {
        while seen.last() != Some(&last) {
            seen.push(messages.next().await.expect("the stream goes on").seq);
        }
    };
    soon("bob sees everything", all).await;
    assert_eq!(seen, (1..=last).collect::<Vec<_>>(), "once, in order");
    let next = futures::future::poll_immediate(events.next()).await.flatten();
    let gone = matches!(next, Some(Event::Disconnected { .. } | Event::Superseded));
    assert!(!gone, "{next:?}");
    eprintln!("elsewhere after {back:.1?}; {} messages", seen.len());
}
