//! Nodes that are killed, stalled or join under load: every acknowledged message is there afterwards, once, in order, on
//! every device.

use std::time::Duration;

use client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::nodes::Nodes;
use crate::support::checker::assert_holds;
use crate::support::device::{Recorder, Sender, watch_until};
use crate::support::room::{record_log, room};
use crate::support::soon;

/// Devices that send, and how many messages of theirs may be unanswered.
const SENDERS: [(&str, &str, usize); 4] =
    [("alice", "phone", 1), ("alice", "laptop", 8), ("bob", "phone", 1), ("carol", "phone", 16)];
const MESSAGES_EACH: usize = 200;

/// Runs the load, and `crashes` beside it; then holds the history against the invariants.
pub async fn under_load<F: Future<Output = Nodes>>(
    nodes: Nodes,
    crashes: impl FnOnce(Nodes, Recorder) -> F,
) -> Nodes {
    let (recorder, room) = room(&nodes.connectors[0]).await;
    let (tip, known_tip) = watch::channel(0);
    let mut watchers = JoinSet::new();
    for user in ["bob", "carol"] {
        let builder =
            Client::builder(nodes.balancer.url()).token(nodes.issuer.token(user)).installation("watcher");
        let client = builder.connect().await.unwrap();
        watchers.spawn(watch_until(recorder.clone(), client, room.clone(), known_tip.clone()));
    }
    let mut senders = JoinSet::new();
    for (user, installation, pipelined) in SENDERS {
        let sender = Sender::new(&recorder, &nodes.connectors[0], user, installation, &room);
        senders.spawn(sender.through(nodes.balancer.address).run(MESSAGES_EACH, pipelined));
    }
    let nodes = crashes(nodes, recorder.clone()).await;
    tokio::time::timeout(Duration::from_secs(180), senders.join_all()).await.expect("all is sent in the end");
    let last = record_log(&recorder, &nodes.connectors[0], &room).await;
    assert!(last > (SENDERS.len() * MESSAGES_EACH) as u64, "{last} entries");
    tip.send_replace(last);
    tokio::time::timeout(Duration::from_secs(60), watchers.join_all())
        .await
        .expect("the watchers see everything");
    assert_holds(&recorder.history());
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_that_are_killed_lose_nothing() {
    under_load(Nodes::start().await, async |mut nodes: Nodes, recorder: Recorder| {
        for (acked, killed) in [(100, 0), (300, 1), (500, 0)] {
            soon("acks", recorder.acked(acked)).await;
            nodes.connectors[killed].kill();
            // The devices go on at the other one.
            soon("more acks", recorder.acked(acked + 100)).await;
            nodes.connectors[killed].launch().await;
        }
        nodes
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_node_that_is_killed_loses_nothing() {
    under_load(Nodes::start().await, async |mut nodes: Nodes, recorder: Recorder| {
        for acked in [100, 300] {
            soon("acks", recorder.acked(acked)).await;
            nodes.channels[0].crash_and_restart().await;
        }
        nodes
    })
    .await;
}
