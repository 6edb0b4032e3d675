//! `kill -9` of the whole gateway under load: every acknowledged message is there afterwards, once, in order.

use std::time::Duration;

use client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::checker::{acked_is_durable, assert_holds, check};
use crate::support::device::{Recorder, Sender, entry, watch_until};
use crate::support::history::{Event, History, Outcome};
use crate::support::process::Gateway;
use crate::support::raw::Raw;
use crate::support::soon;

/// Devices that send, and how many messages of theirs may be unanswered.
const SENDERS: [(&str, &str, usize); 4] =
    [("alice", "phone", 1), ("alice", "laptop", 8), ("bob", "phone", 1), ("carol", "phone", 16)];
const MESSAGES_EACH: usize = 300;
/// Kills after so many acknowledged sends.
const KILL_AT: [u64; 3] = [150, 500, 850];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_loses_nothing_that_was_acked() {
    let history = run().await;
    assert_holds(&history);
    let lost = |event: &&Event| matches!(event, Event::SendEnded { outcome: Outcome::Unknown, .. });
    let unknown = history.events.iter().filter(lost).count();
    assert!(unknown >= KILL_AT.len(), "the kills hit sends on their way: {unknown}");
    assert_a_lost_message_would_be_noticed(history);
}

/// Four devices send and two watch while the gateway is killed three times.
async fn run() -> History {
    let mut gateway = Gateway::start().await;
    let recorder = Recorder::new();
    let (mut owner, _) = Raw::login(&gateway, "alice", "owner").await;
    let room = owner.create(&["bob", "carol"]).await;
    for user in ["alice", "bob", "carol"] {
        let entitled =
            Event::Entitled { conversation: room.clone(), user: user.into(), from: 1, to: u64::MAX };
        recorder.with(|h| h.push(entitled));
    }
    let (tip, known_tip) = watch::channel(0);
    let mut watchers = JoinSet::new();
    for (url, user) in [(gateway.tcp_url(), "bob"), (gateway.ws_url(), "carol")] {
        let builder = Client::builder(url).token(gateway.token(user)).installation("watcher");
        let client = builder.connect().await.unwrap();
        watchers.spawn(watch_until(recorder.clone(), client, room.clone(), known_tip.clone()));
    }
    let mut senders = JoinSet::new();
    for (user, installation, pipelined) in SENDERS {
        let sender = Sender::new(&recorder, &gateway, user, installation, &room);
        senders.spawn(sender.run(MESSAGES_EACH, pipelined));
    }
    for acked in KILL_AT {
        soon("acks", recorder.acked(acked)).await;
        gateway.crash_and_restart().await;
    }
    tokio::time::timeout(Duration::from_secs(120), senders.join_all()).await.expect("all is sent in the end");
    let (mut reader, _) = Raw::login(&gateway, "alice", "reader").await;
    let log: Vec<_> = reader.sync_all(&room, 1).await.iter().map(entry).collect();
    tip.send_replace(log.last().unwrap().seq);
    recorder.with(|h| h.push(Event::Final { conversation: room.clone(), entries: log }));
    soon("the watchers see everything", watchers.join_all()).await;
    recorder.history()
}

/// The same history with one acked message gone, as a store that forgot it would leave it.
fn assert_a_lost_message_would_be_noticed(mut history: History) {
    assert_eq!(check(&history), []);
    for event in &mut history.events {
        if let Event::Final { entries, .. } = event {
            let log = entries.len();
            entries.remove(log / 2);
        }
    }
    assert!(!acked_is_durable(&history).is_empty());
}

#[tokio::test]
async fn a_graceful_stop_sends_devices_away_and_keeps_everything() {
    let mut gateway = Gateway::start().await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let ack = alice.send(crate::support::raw::text_to("bob", "before")).await;
    let status = gateway.stop().await;
    assert!(status.success(), "{status}");
    assert_eq!(alice.closed_with().await, Some(protocol::code::Code::SHUTTING_DOWN));
    gateway.launch().await;
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    let stored = bob.sync_all(&ack.conversation, 1).await;
    assert_eq!(stored.last().unwrap().content.as_ref().unwrap().data.as_ref(), b"before");
}
