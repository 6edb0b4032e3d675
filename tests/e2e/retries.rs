//! Once is once: retries of one client_msg_id, and one connection per device.

use protocol::code::Code;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{CreateConversation, Ping, Send};

use crate::support::process::Gateway;
use crate::support::raw::{Raw, acked, text, text_to};

#[tokio::test]
async fn a_retry_gets_the_same_seq_marked_duplicate() {
    let mut gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let send = text_to("bob", "once");
    let first = raw.send(send.clone()).await;
    assert!(!first.duplicate);
    let expect_same = |ack: protocol::v1::SendAck| {
        assert_eq!((ack.seq, ack.duplicate, ack.conversation), (first.seq, true, first.conversation.clone()));
    };
    expect_same(raw.send(send.clone()).await);
    // On another connection of the same device.
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    expect_same(raw.send(send.clone()).await);
    // After a crash, when nothing but the disk can know.
    gateway.crash_and_restart().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    expect_same(raw.send(send.clone()).await);
    let stored = raw.sync_all(&first.conversation, 1).await;
    assert_eq!(stored.iter().filter(|m| m.client_msg_id == send.client_msg_id).count(), 1);
    // Another device may use the same id for another message.
    let (mut tablet, _) = Raw::login(&gateway, "alice", "tablet").await;
    let other = tablet.send(send).await;
    assert_eq!((other.duplicate, other.seq), (false, first.seq + 1));
}

#[tokio::test]
async fn retries_sent_at_the_same_time_are_stored_once() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let send = text_to("bob", "once");
    let mut asked = Vec::new();
    for _ in 0..8 {
        asked.push(raw.ask(Ask::Send(send.clone())).await);
    }
    let mut acks = Vec::new();
    for id in asked {
        acks.push(acked(raw.answer(id).await));
    }
    assert!(acks.iter().all(|ack| ack.seq == acks[0].seq));
    assert_eq!(acks.iter().filter(|ack| !ack.duplicate).count(), 1);
}

#[tokio::test]
async fn a_group_made_twice_is_one_group() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let create = CreateConversation { client_msg_id: vec![5; 16].into(), title: "t".into(), members: vec![] };
    let first = acked(raw.request(Ask::CreateConversation(create.clone())).await);
    let again = acked(raw.request(Ask::CreateConversation(create)).await);
    assert_eq!((&again.conversation, again.seq, again.duplicate), (&first.conversation, 1, true));
}

#[tokio::test]
async fn pipelined_sends_keep_their_order() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let room = raw.create(&[]).await;
    let (mut asked, mut after) = (Vec::new(), Vec::new());
    for n in 0..50 {
        let send = Send { after: after.into(), ..text(&room, &n.to_string()) };
        after = send.client_msg_id.to_vec();
        asked.push(raw.ask(Ask::Send(send)).await);
    }
    for (n, id) in asked.into_iter().enumerate() {
        assert_eq!(acked(raw.answer(id).await).seq, n as u64 + 2);
    }
}

#[tokio::test]
async fn a_device_that_connects_again_replaces_its_older_connection() {
    let gateway = Gateway::start().await;
    let (mut older, first) = Raw::login(&gateway, "alice", "phone").await;
    let (mut tablet, other) = Raw::login(&gateway, "alice", "tablet").await;
    let (mut newer, second) = Raw::login(&gateway, "alice", "phone").await;
    assert_eq!(first.device_id, second.device_id);
    assert_ne!(first.device_id, other.device_id);
    assert_eq!(older.closed_with().await, Some(Code::SUPERSEDED));
    // The newer one is reached, and so is the user's other device.
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    bob.send(text_to("alice", "hi")).await;
    for device in [&mut newer, &mut tablet] {
        assert_eq!(device.pushed_text().await, "hi");
        assert!(matches!(device.request(Ask::Ping(Ping {})).await, Told::Pong(_)));
    }
}

#[tokio::test]
async fn of_many_logins_at_once_one_remains() {
    let gateway = Gateway::start().await;
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (address, token) = (gateway.tcp, gateway.token("alice"));
        logins.spawn(async move {
            let mut raw = Raw::connect(address).await;
            let welcome = raw.try_hello(crate::support::raw::hello(&token, "phone")).await;
            (raw, welcome)
        });
    }
    let mut devices = logins.join_all().await;
    let ids: std::collections::HashSet<u64> =
        devices.iter().flat_map(|(_, w)| w.as_ref().map(|w| w.device_id)).collect();
    assert_eq!(ids.len(), 1);
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    bob.send(text_to("alice", "who is there?")).await;
    let mut reached = 0;
    for (device, welcome) in &mut devices {
        let heard = device.find(|frame| matches!(frame.body, Some(Told::Message(_)))).await;
        assert!(heard.is_none() || welcome.is_some());
        reached += usize::from(heard.is_some());
    }
    assert_eq!(reached, 1);
}
