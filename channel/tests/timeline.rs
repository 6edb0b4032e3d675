//! AskTimeline: what became of one message, and who may ask.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::sync::Arc;

use idgen::ManualClock;
use protocol::code::Code;
use protocol::node::v1::to_connector;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{self, Role, Timeline};
use storage::member::MemberRow;
use support::*;

const START: i64 = 1_800_000_000_000;

async fn asked(at: &mut Connector, device: &Device, seq: u64) -> Result<Timeline, Option<Code>> {
    let asked = v1::AskTimeline { conversation: "room".into(), seq, after: String::new() };
    match at.ask(device, Ask::AskTimeline(asked)).await {
        Body::Timeline(timeline) => Ok(timeline),
        Body::Error(error) => Err(Code::from_number(error.code)),
        other => panic!("{other:?}"),
    }
}

fn say(id: u8) -> Ask {
    let content = v1::Content { r#type: "text/plain".into(), data: "hi".into() };
    Ask::Send(v1::Send {
        conversation: "room".into(),
        client_msg_id: vec![id; 16].into(),
        content: Some(content),
        ..v1::Send::default()
    })
}

async fn mark(at: &mut Connector, device: &Device, read: u64, delivered: u64) {
    let mark = v1::Mark { conversation: "room".into(), read, delivered };
    let answer = at.ask(device, Ask::Mark(mark)).await;
    assert!(matches!(answer, Body::Cursor(_)), "{answer:?}");
}

fn members() -> Vec<MemberRow> {
    let agent = MemberRow::join("agent", Role::Agent, 1);
    vec![member("alice", 1), agent, member("bob", 1), member("carol", 1), member("dan", 3)]
}

#[tokio::test]
async fn a_message_from_the_log_to_the_last_reader() {
    let clock = Arc::new(ManualClock::new(START));
    let world = World::with_clock(clock.clone()).await;
    world.seed("room", members(), &[], 5).await;
    let (mut near, mut far, mut third) = (world.connector(1), world.connector(2), world.connector(3));
    let (alice, bob, agent) = (
        near.login("alice", "phone").await,
        far.login("bob", "phone").await,
        third.login("agent", "pc").await,
    );
    clock.advance(10);
    let Body::SendAck(ack) = near.ask(&alice, say(1)).await else { panic!("not an ack") };
    assert_eq!(ack.seq, 2);
    clock.advance(10);
    assert!(matches!(far.next().await, to_connector::Body::Push(_)));
    assert!(matches!(third.next().await, to_connector::Body::Push(_)));
    mark(&mut far, &bob, 0, 2).await;
    clock.advance(10);
    mark(&mut far, &bob, 2, 2).await;
    _ = (near.arrived(), third.arrived());

    let told = asked(&mut near, &alice, 2).await.unwrap();
    assert_eq!(
        (told.received_ms, told.committed_ms, told.sender.as_str()),
        (START + 10, START + 10, "alice")
    );
    let pushes: Vec<_> =
        told.pushes.iter().map(|push| (push.user.as_str(), push.device_id, push.at_ms)).collect();
    assert_eq!(pushes, [("agent", agent.id, START + 10), ("bob", bob.id, START + 10)]);
    assert!(told.sampled && told.pushed == 2 && told.next_after.is_empty());
    let row = |user: &str, times: Option<(i64, i64)>| v1::TimelineMember {
        user: user.into(),
        delivered: times.is_some(),
        read: times.is_some(),
        delivered_ms: times.map_or(0, |times| times.0),
        read_ms: times.map_or(0, |times| times.1),
    };
    // The sender is not in it, nor is who may not see the message.
    let expected = [row("agent", None), row("bob", Some((START + 20, START + 30))), row("carol", None)];
    assert_eq!(told.members, expected);
    assert_eq!(asked(&mut third, &agent, 2).await.as_ref(), Ok(&told), "an agent may ask");
    assert_eq!(world.node.timeline(TENANT, "room", 2, "").await.as_ref(), Ok(&told), "and the operator");
    let rest = world.node.timeline(TENANT, "room", 2, "bob").await.unwrap();
    assert_eq!(rest.members, [row("carol", None)]);
}

#[tokio::test]
async fn who_may_not_ask() {
    let world = World::new().await;
    world.seed("room", members(), &[b"two".to_vec()], 5).await;
    let mut at = world.connector(1);
    let [bob, dan, eve] =
        [at.login("bob", "p").await, at.login("dan", "p").await, at.login("eve", "p").await];
    assert_eq!(asked(&mut at, &bob, 2).await, Err(Some(Code::NOT_ALLOWED)));
    assert_eq!(asked(&mut at, &dan, 2).await, Err(Some(Code::NOT_FOUND)), "from before the joining");
    assert_eq!(asked(&mut at, &eve, 2).await, Err(Some(Code::NOT_FOUND)));
    assert_eq!(asked(&mut at, &bob, 99).await, Err(Some(Code::NOT_FOUND)));
    let alice = at.login("alice", "p").await;
    assert_eq!(asked(&mut at, &alice, 0).await, Err(Some(Code::NOT_FOUND)));
    let unknown = world.node.timeline("other", "room", 2, "").await;
    assert_eq!(unknown.map_err(|refused| refused.code), Err(Code::NOT_FOUND));
}

#[tokio::test]
async fn what_is_not_remembered_is_not_guessed() {
    let world = World::new().await;
    world.seed("room", members(), &[b"two".to_vec()], 5).await;
    let mut at = world.connector(1);
    let bob = at.login("bob", "p").await;
    mark(&mut at, &bob, 2, 0).await;
    let alice = at.login("alice", "p").await;
    let told = asked(&mut at, &alice, 2).await.unwrap();
    assert_eq!((told.sampled, told.committed_ms, told.pushed), (false, 0, 0));
    let bob = told.members.iter().find(|member| member.user == "bob").unwrap();
    // It is read, so it was delivered; when is not known of a message from before the start.
    assert_eq!((bob.read, bob.delivered, bob.read_ms, bob.delivered_ms), (true, true, 0, 0));
}
