//! Nodes that are killed, stalled or join under load: every acknowledged message is there afterwards, once, in order, on
//! every device.

use std::time::Duration;

use client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::nodes::Nodes;
use crate::support::checker::assert_holds;
use crate::support::device::{Recorder, Sender, entry, watch_until};
use crate::support::history::Event;
use crate::support::raw::Raw;
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
    let recorder = Recorder::new();
    let (mut owner, _) = Raw::login(&nodes.connectors[0], "alice", "owner").await;
    let room = owner.create(&["bob", "carol"]).await;
    drop(owner);
    for user in ["alice", "bob", "carol"] {
        let entitled =
            Event::Entitled { conversation: room.clone(), user: user.into(), from: 1, to: u64::MAX };
        recorder.with(|h| h.push(entitled));
    }
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
    let (mut reader, _) = Raw::login(&nodes.connectors[0], "alice", "reader").await;
    let log: Vec<_> = reader.sync_all(&room, 1).await.iter().map(entry).collect();
    assert!(log.len() > SENDERS.len() * MESSAGES_EACH, "{} entries", log.len());
    tip.send_replace(log.last().unwrap().seq);
    recorder.with(|h| h.push(Event::Final { conversation: room.clone(), entries: log }));
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
