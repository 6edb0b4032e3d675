//! Replies, edits and recalls between devices, and what a device that was away has to ask for.

use client::message::{RelationKind, shown};
use client::{Change, Client, Since};
use futures::StreamExt;
use protocol::code::Code;

use crate::support::process::Gateway;
use crate::support::soon;

async fn connect(gateway: &Gateway, user: &str) -> Client {
    let builder = Client::builder(gateway.tcp_url()).token(gateway.token(user)).installation("phone");
    builder.connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_recalls_come_in_order_and_outlast_a_crash() {
    let mut gateway = Gateway::start().await;
    let (alice, bob) = (connect(&gateway, "alice").await, connect(&gateway, "bob").await);
    let room = alice.direct("bob");
    let first = room.send("helo").await.unwrap().seq;
    let mut heard = bob.direct("alice").messages(Since::Start);
    let secret = room.send("the secret").await.unwrap().seq;
    room.edit(first, "hello").await.unwrap();
    room.edit(secret, "the secret word").await.unwrap();
    let reply = bob.direct("alice").reply(first, "hi").await.unwrap().seq;
    let last = room.recall(secret).await.unwrap().seq;

    let mut entries = Vec::new();
    while entries.last().is_none_or(|entry: &client::Message| entry.seq < last) {
        entries.push(soon("an entry", heard.next()).await.unwrap());
    }
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert_eq!(entries.last().unwrap().change(), Some(Change::Recall(secret)));
    let rows: Vec<(u64, String)> =
        shown(entries).iter().skip(1).map(|row| (row.seq, row.text().unwrap_or("-").to_owned())).collect();
    assert_eq!(rows, [(first, "hello".into()), (secret, "-".into()), (reply, "hi".into())]);

    gateway.crash_and_restart().await;
    let history = bob.direct("alice").history(100).await.unwrap();
    assert_eq!(history.messages.len() as u64, last, "every entry is there");
    assert!(history.messages.iter().all(|entry| !entry.text().unwrap_or_default().contains("secret")));
    let recalled: Vec<bool> = history.messages.iter().map(|entry| entry.recalled).collect();
    assert_eq!(recalled.iter().filter(|recalled| **recalled).count(), 2, "the message and its edit");
    let reply = history.messages.iter().find(|entry| entry.replies_to() == Some(first)).unwrap();
    assert_eq!(reply.relation.as_ref().map(|relation| relation.kind()), Some(RelationKind::Reply));

    let refused = bob.direct("alice").edit(first, "mine").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NOT_ALLOWED));
    let refused = room.edit(secret, "again").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::INVALID_REQUEST));
    let row = bob.conversations(1).await.unwrap().conversations.remove(0);
    assert_eq!((row.tip, row.unread), (last, 0), "Bob spoke last, a recall came since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_asks_for_what_changed() {
    let mut gateway = Gateway::start().await;
    let (alice, bob) = (connect(&gateway, "alice").await, connect(&gateway, "bob").await);
    for n in 0..150 {
        alice.create_conversation(&n.to_string(), ["bob"]).await.unwrap();
    }
    let first = bob.conversations(10).await.unwrap();
    let version = first.version.unwrap();
    let nothing = bob.conversations_changed(version.clone()).await.unwrap();
    assert_eq!(nothing.conversations, []);
    bob.close().await;

    let room = alice.direct("bob");
    let seq = room.send("while you were away").await.unwrap().seq;
    gateway.crash_and_restart().await;
    let bob = connect(&gateway, "bob").await;
    let changed = bob.conversations_changed(version.clone()).await.unwrap();
    assert_eq!(changed.conversations.len(), 1);
    assert_eq!(
        (changed.conversations[0].conversation.as_str(), changed.conversations[0].unread),
        (room.id(), 1)
    );

    // What one device reads has changed for the others.
    let now = changed.version.unwrap();
    room.typing();
    bob.direct("alice").mark_read(seq).await.unwrap();
    let read = bob.conversations_changed(now).await.unwrap();
    assert_eq!(read.conversations.len(), 1);
    assert_eq!((read.conversations[0].read, read.conversations[0].unread), (seq, 0));
    let both = bob.conversations_changed(version).await.unwrap();
    assert_eq!(both.conversations.len(), 1, "a conversation that changed twice");
}
