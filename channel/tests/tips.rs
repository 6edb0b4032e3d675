//! Tips that are told again: what may have been lost on the way, and what another owner has left untold.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use idgen::{NodeType, SystemClock, WorkerNumber};
use protocol::node::v1::push::Telling;
use protocol::node::v1::to_connector;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{ChangeMembers, Content, NewMember, Role, Send};
use storage::embedded::EmbeddedStore;
use storage::presence::{PresenceChange, PresenceEvents as _, PresenceState, RecordOutcome};
use support::*;
use whimbrel_channel::config::ChannelConfig;

/// A little longer than a node waits before it tells again, and than from one round to the next.
const WAIT: Duration = Duration::from_secs(11);

fn say(conversation: &str, n: u8) -> Ask {
    let content = Some(Content { r#type: "text/plain".into(), data: vec![n].into() });
    let client_msg_id = vec![n; 16].into();
    Ask::Send(Send { conversation: conversation.into(), client_msg_id, content, ..Send::default() })
}

async fn said(connector: &mut Connector, device: &Device, asked: Ask) -> u64 {
    match connector.ask(device, asked).await {
        Body::SendAck(ack) => ack.seq,
        other => panic!("not an ack: {other:?}"),
    }
}

async fn room(world: &World, users: &[&str]) {
    let member =
        |user: &&str| NewMember { user: (*user).into(), role: Role::Agent.into(), ..NewMember::default() };
    let members = users.iter().map(member).collect();
    world.node.create_conversation(TENANT, "room", "Room", members).await.unwrap();
}

/// Lets time pass for the node, then lets it come to rest.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Seqs told with their kind, and to how many devices.
fn told(connector: &mut Connector) -> Vec<(u64, Telling, usize)> {
    let pushes = connector.arrived().into_iter().filter_map(|body| match body {
        to_connector::Body::Push(push) if push.seq > 0 => Some(push),
        _ => None,
    });
    pushes.map(|push| (push.seq, push.telling(), push.targets.len())).collect()
}

#[tokio::test]
async fn a_tip_is_told_three_times_again_and_not_to_who_sent_it() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let (alice, _bob) = (at.login("alice", "phone").await, at.login("bob", "phone").await);
    room(&world, &["alice", "bob"]).await;
    at.arrived();
    assert_eq!(said(&mut at, &alice, say("room", 1)).await, 2);
    assert_eq!(told(&mut at), [(2, Telling::First, 1)]);
    for _ in 0..3 {
        pass(WAIT).await;
        assert_eq!(told(&mut at), [(2, Telling::IfMissed, 1)]);
    }
    pass(WAIT).await;
    assert_eq!(told(&mut at), []);
}

/// One of two nodes that share a store, which in practice another backend does.
async fn one_of_two(store: Arc<EmbeddedStore>, number: u16) -> World {
    let node = node_id(NodeType::Channel, number);
    let config = ChannelConfig::new(node, WorkerNumber::new(number).unwrap());
    let config = ChannelConfig { sole_owner: false, presence_grace: GRACE, ..config };
    World::configured(config, store, Arc::new(SystemClock)).await
}

#[tokio::test]
async fn what_another_owner_commits_is_found_for_a_while_after_a_change_of_owners() {
    let lasting = World::new().await;
    let (old, new) = (one_of_two(lasting.store.clone(), 1).await, one_of_two(lasting.store.clone(), 2).await);
    let (mut there, mut here) = (old.connector(1), new.connector(1));
    let alice = there.login("alice", "phone").await;
    for user in ["bob", "carol"] {
        here.login(user, "phone").await;
    }
    room(&old, &["alice", "bob", "carol"]).await;
    there.arrived();
    said(&mut there, &alice, say("room", 1)).await;
    pass(WAIT).await;
    assert_eq!(told(&mut here), [(2, Telling::IfMissed, 1); 2], "bob, and carol");

    let client_msg_id = vec![9; 16].into();
    let change = ChangeMembers { conversation: "room".into(), client_msg_id, ..ChangeMembers::default() };
    said(&mut there, &alice, Ask::ChangeMembers(ChangeMembers { remove: vec!["carol".into()], ..change }))
        .await;
    said(&mut there, &alice, say("room", 2)).await;
    pass(WAIT).await;
    let mut found = told(&mut here);
    found.sort_by_key(|(seq, ..)| *seq);
    assert_eq!(found, [(3, Telling::Anyway, 1), (4, Telling::IfMissed, 1)], "carol has left by #3");

    // Whoever opens a log then tells its tip too.
    here.arrived();
    for _ in 0..7 {
        pass(WAIT).await;
    }
    here.arrived();
    said(&mut there, &alice, say("room", 3)).await;
    pass(WAIT).await;
    assert_eq!(told(&mut here), [], "the rounds are over");
    new.node.owners_changed();
    pass(WAIT).await;
    assert_eq!(told(&mut here), [(5, Telling::IfMissed, 1)]);
}

#[tokio::test]
async fn a_log_that_is_opened_after_a_change_of_owners_has_its_tip_told() {
    let lasting = World::new().await;
    let old = one_of_two(lasting.store.clone(), 1).await;
    room(&old, &["alice", "bob"]).await;
    let new = one_of_two(lasting.store.clone(), 2).await;
    let mut here = new.connector(1);
    let (alice, _bob) = (here.login("alice", "phone").await, here.login("bob", "phone").await);
    assert_eq!(said(&mut here, &alice, say("room", 1)).await, 2);
    let told = told(&mut here);
    assert_eq!(told.last(), Some(&(2, Telling::First, 1)));
}

#[tokio::test]
async fn the_presence_stream_is_put_right_after_an_earlier_owner() {
    let lasting = World::new().await;
    let new = one_of_two(lasting.store.clone(), 2).await;
    let mut here = new.connector(1);
    here.login("bob", "phone").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let store = &lasting.store;
    let late = |user: &str, state| PresenceChange { user: user.into(), state, at_ms: 1 };
    let epoch = store.take(TENANT).await.unwrap();
    let lies = vec![late("bob", PresenceState::Offline), late("dave", PresenceState::Online)];
    assert!(matches!(store.record(TENANT, epoch, lies).await, RecordOutcome::Applied { .. }));
    for _ in 0..8 {
        pass(WAIT).await;
    }
    let standings = store.standings(TENANT, &["bob".into(), "dave".into()]).await.unwrap();
    let states: Vec<_> = standings.into_iter().map(|standing| standing.unwrap().state).collect();
    assert_eq!(states, [PresenceState::Online, PresenceState::Offline]);
}

#[tokio::test]
async fn who_owns_the_store_alone_makes_no_rounds() {
    let world = World::new().await;
    let mut at = world.connector(1);
    at.login("bob", "phone").await;
    let other = World::over(world.store.clone(), Arc::new(SystemClock)).await;
    room(&other, &["alice", "bob"]).await;
    world.node.owners_changed();
    pass(WAIT * 2).await;
    assert_eq!(told(&mut at), []);
}
