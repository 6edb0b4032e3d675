//! What a node answers, refuses and sheds, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use idgen::{NodeType, SystemClock, WorkerNumber};
use prost::Message as _;
use protocol::code::Code;
use protocol::node::v1::*;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watch};
use support::*;
use whimbrel_channel::config::{ChannelConfig, CreationLimit};

fn refused(answer: Body) -> Option<Code> {
    match answer {
        Body::Error(error) => Code::from_number(error.code),
        other => panic!("not refused: {other:?}"),
    }
}

/// Logins that a node has under way or waiting at most.
const LOGINS: u64 = 1_024 + 16_384;

// On one thread no task runs while the test does not wait, so what is sent in one go piles up.
#[tokio::test]
async fn what_exceeds_a_queue_is_refused_and_the_rest_is_answered() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let mark = || Ask::Mark(v1::Mark { conversation: "none".into(), ..v1::Mark::default() });
    // Reads wait for others, so only the share of one user is short; the inbox of a task has no more room than that.
    for (asked, room) in [(Ask::Sync(v1::Sync::default()), 9 * 128), (mark(), 8 * 128)] {
        // One user has an eighth, nine have all there is.
        for user in 0..9 {
            let user = if user == 0 { "alice".to_owned() } else { format!("user-{user}") };
            for re in 1..=130 {
                at.send(identity(TENANT, &user), &alice, re, Some(asked.clone()));
            }
        }
        let (mut overloaded, mut answered) = (Vec::new(), 0);
        for _ in 0..9 * 130 {
            let to_connector::Body::Reply(reply) = at.next().await else { panic!("not a reply") };
            let frame = ServerFrame::decode(reply.frame).unwrap();
            match frame.body {
                Some(Body::Error(error)) if error.code == Code::OVERLOADED.number() => {
                    assert!(error.retryable);
                    overloaded.push(frame.re)
                }
                Some(Body::Error(error)) if error.code != Code::NOT_FOUND.number() => panic!("{error:?}"),
                _ => answered += 1,
            }
        }
        assert_eq!(answered, room);
        assert_eq!(overloaded[..4], [129, 130, 129, 130], "alice's and the next one's shares are full");
        let ninth = if room == 9 * 128 { 129..=130 } else { 1..=130 };
        assert_eq!(overloaded[16..], ninth.collect::<Vec<u64>>(), "what there is no room for of the ninth");
    }
    // 1,024 at once, and 16,384 that wait.
    for n in 0..=LOGINS {
        at.link.send(attach(n, &format!("bob-{n}"), "phone")).unwrap();
    }
    let (attach_id, error) = at.refusal().await;
    assert_eq!(attach_id, LOGINS);
    assert_eq!((error.code, error.retryable), (Code::OVERLOADED.number(), true));
    for _ in 0..LOGINS {
        let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
        assert!(matches!(answer.outcome, Some(attached::Outcome::Admitted(_))));
    }
    assert_eq!(world.node.routes().device_count() as u64, LOGINS + 1);
    assert_eq!(world.node.metrics().requests_shed, 2 * 9 * 130 - 17 * 128);
}

#[tokio::test]
async fn a_request_without_an_id_gets_no_answer() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    for asked in [Some(Ask::Sync(v1::Sync::default())), Some(Ask::Ping(v1::Ping {})), None] {
        at.send(identity(TENANT, "alice"), &alice, 0, asked);
    }
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    assert_eq!(at.arrived(), []);
}

#[tokio::test]
async fn who_creates_too_many_conversations_is_slowed_down() {
    let behind = World::new().await;
    let config = ChannelConfig::new(node_id(NodeType::Channel, 1), WorkerNumber::new(7).unwrap());
    let creation_limit = CreationLimit { per_minute: 1, at_once: 3 };
    let config = ChannelConfig { creation_limit, ..config };
    let world = World::configured(config, behind.store.clone(), Arc::new(SystemClock)).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let group = |id: u8| {
        let client_msg_id = vec![id; 16].into();
        Ask::CreateConversation(v1::CreateConversation { client_msg_id, ..Default::default() })
    };
    for asked in [group(1), send_to("bob", 2), group(3)] {
        assert!(matches!(at.ask(&alice, asked).await, Body::SendAck(_)));
    }
    for asked in [group(4), send_to("carol", 5)] {
        let Body::Error(error) = at.ask(&alice, asked).await else { panic!("not refused") };
        assert_eq!((error.code, error.retryable), (Code::SLOW_DOWN.number(), true));
        assert!((30_000..=60_000).contains(&error.retry_after_ms), "{error:?}");
    }
    // What is there already is created by nobody, though it must be opened again.
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    let again = World::configured(
        ChannelConfig {
            creation_limit: CreationLimit { per_minute: 1, at_once: 1 },
            ..ChannelConfig::new(node_id(NodeType::Channel, 1), WorkerNumber::new(7).unwrap())
        },
        behind.store.clone(),
        Arc::new(SystemClock),
    )
    .await;
    let mut at = again.connector(1);
    let alice = at.login("alice", "phone").await;
    for asked in [group(1), send_to("bob", 6), group(3), send_to("carol", 7)] {
        assert!(matches!(at.ask(&alice, asked).await, Body::SendAck(_)));
    }
    assert_eq!(refused(at.ask(&alice, group(8)).await), Some(Code::SLOW_DOWN));
    // Another user, and the tenant's back-end, have limits of their own.
    let bob = at.login("bob", "phone").await;
    assert!(matches!(at.ask(&bob, group(9)).await, Body::SendAck(_)));
    for n in 0..3 {
        let members = vec![v1::NewMember { user: "alice".into(), ..Default::default() }];
        again.node.create_conversation(TENANT, &format!("made-{n}"), "", members).await.unwrap();
    }
}

fn send_to(user: &str, id: u8) -> Ask {
    let content = v1::Content { r#type: "text/plain".into(), data: "hi".into() };
    Ask::Send(v1::Send {
        to_user: user.into(),
        client_msg_id: vec![id; 16].into(),
        content: Some(content),
        ..v1::Send::default()
    })
}

#[tokio::test]
async fn a_message_to_a_user_is_in_the_direct_conversation_at_once() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let Body::SendAck(ack) = at.ask(&alice, send_to("bob", 1)).await else { panic!("not an ack") };
    assert_eq!((ack.conversation.as_str(), ack.seq, ack.duplicate), ("d:alice~bob", 2, false));
    let asked = v1::SyncRange { conversation: ack.conversation, backwards: true, ..v1::SyncRange::default() };
    let Body::SyncResult(found) = at.ask(&alice, Ask::Sync(v1::Sync { ranges: vec![asked] })).await else {
        panic!("not a result")
    };
    let seqs: Vec<u64> = found.ranges[0].messages.iter().map(|message| message.seq).collect();
    assert_eq!((seqs, found.ranges[0].tip), (vec![1, 2], 2));
    // The other user has it in the list, unread, without having been there.
    at.detach(&alice);
    let bob = at.login("bob", "phone").await;
    let Body::Conversations(page) = at.ask(&bob, Ask::ListConversations(Default::default())).await else {
        panic!("not a page")
    };
    assert_eq!((page.conversations[0].peer.as_str(), page.conversations[0].unread), ("alice", 1));
    assert_eq!(refused(at.ask(&bob, send_to("bob", 2)).await), Some(Code::INVALID_REQUEST));
    let Ask::Send(mut both) = send_to("alice", 3) else { unreachable!() };
    both.conversation = "room".into();
    assert_eq!(refused(at.ask(&bob, Ask::Send(both)).await), Some(Code::INVALID_REQUEST));
}

#[tokio::test]
async fn a_back_end_creates_a_conversation_once() {
    let world = World::new().await;
    let members = |users: &[&str]| {
        users.iter().map(|user| v1::NewMember { user: user.to_string(), ..Default::default() }).collect()
    };
    let node = &world.node;
    node.create_conversation(TENANT, "support", "Support", members(&["alice", "bob"])).await.unwrap();
    node.create_conversation(TENANT, "support", "Other", members(&["eve"])).await.unwrap();
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let Body::Conversations(page) = at.ask(&alice, Ask::ListConversations(Default::default())).await else {
        panic!("not a page")
    };
    assert_eq!(page.conversations.len(), 1);
    let row = &page.conversations[0];
    assert_eq!((row.tip, row.info.as_ref().unwrap().title.as_str()), (1, "Support"));
    let bad = node.create_conversation("", "x", "", members(&["alice"])).await;
    assert_eq!(bad.map_err(|refused| refused.code), Err(Code::INVALID_REQUEST));
    let empty = node.create_conversation(TENANT, "x", "", Vec::new()).await;
    assert_eq!(empty.map_err(|refused| refused.code), Err(Code::INVALID_REQUEST));
    node.drain(Duration::from_secs(10)).await.unwrap();
    let late = node.create_conversation(TENANT, "y", "", members(&["alice"])).await;
    assert_eq!(late.map_err(|refused| refused.code), Err(Code::SHUTTING_DOWN));
}

#[tokio::test]
async fn a_draining_node_refuses_and_ends() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    for asked in [
        Ask::Watch(Watch::default()),
        Ask::Mark(v1::Mark { conversation: "x".into(), ..v1::Mark::default() }),
    ] {
        assert_eq!(at.ask(&alice, asked).await, Body::Error(Code::SHUTTING_DOWN.plain_error()));
    }
    at.link.send(attach(1, "bob", "phone")).unwrap();
    let (_, error) = at.refusal().await;
    assert_eq!(error.code, Code::SHUTTING_DOWN.number());
    at.detach(&alice);
    assert_eq!(world.node.routes().device_count(), 0);
}
