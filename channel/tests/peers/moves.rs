//! Slots get other owners.

use std::sync::Arc;
use std::time::Duration;

use idgen::{ManualClock, NodeType};
use protocol::code::Code;
use protocol::node::v1::{Announce, AnnouncedSession, Kick, Target, ToChannel, to_channel, to_connector};
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::presence::State;
use protocol::v1::server_frame::Body;
use protocol::v1::{ChangeMembers, NewMember, Signal};

use super::pair::{Member, Pair, Views, pass, store};
use super::presence::{told_of, watch};
use crate::support::*;

const MINUTE: Duration = Duration::from_secs(61);

fn announce(at: &Connector, device: &Device, moved: bool) {
    let session = AnnouncedSession {
        tenant: TENANT.into(),
        user: device.user.clone(),
        target: Some(Target { device_id: device.id, epoch: device.epoch }),
        ..AnnouncedSession::default()
    };
    let announce = Announce { sessions: vec![session], moved, anew: false };
    at.link.send(ToChannel { body: Some(to_channel::Body::Announce(announce)) }).unwrap();
}

/// A node joins, and connectors tell it of the users that are its own since then.
#[tokio::test]
async fn a_user_who_moves_is_reached_and_not_said_to_be_gone() {
    let (lasting, views) = (store().await, Views::of(&[1]));
    let later = Views::of(&[1, 2]);
    let (alice, bob, room) = (later.user_of(1, 0), later.user_of(2, 0), later.room_of(1));
    let mut one = Member::start(1, &lasting.store, &views).await;
    let (phone, theirs) = (one.login(&alice, "phone").await, one.login(&bob, "phone").await);
    one.room(&room, &[&alice, &bob]).await;
    tokio::time::sleep(3 * GRACE).await;
    one.at.arrived();
    let states = watch(&mut one, &phone, &room).await;
    assert!(states.contains(&(bob.clone(), State::Online)), "{states:?}");

    let mut two = Member::start(2, &lasting.store, &views).await;
    views.set(&[1, 2]);
    one.dial(&two);
    two.dial(&one);
    announce(&two.at, &theirs, false);
    announce(&one.at, &theirs, true);
    assert_eq!(one.node.routes().device_count(), 1);
    pass(MINUTE).await;
    assert!(!told_of(&mut one, &bob).contains(&State::Offline), "he was there all the time");
    let events = one.node.presence_events(TENANT, 0, 10).await.unwrap().events;
    assert_eq!(events.iter().filter(|event| event.user == bob).count(), 1, "{events:?}");
    two.at.arrived();
    assert_eq!(one.said(&phone, &room, 1).await, 2);
    assert_eq!(two.pushed().await, (2, vec![theirs.id]));
    one.at.arrived();
    two.at.detach(&theirs);
    tokio::time::sleep(5 * GRACE).await;
    assert_eq!(told_of(&mut one, &bob), [State::Offline]);
}

/// What is not stored goes by what a node has read of the conversation: it must not be from before it was another's.
#[tokio::test]
async fn a_conversation_that_was_away_is_read_anew() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(1, 1), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    let theirs = pair.one.login(&bob, "phone").await;
    pair.one.room(&room, &[&alice]).await;
    pair.one.at.arrived();
    let typing =
        || Ask::Signal(Signal { conversation: room.clone(), r#type: "typing".into(), ..Signal::default() });
    assert!(matches!(pair.one.asked(&theirs, typing()).await, Body::Error(_)), "not a member yet");
    // The first node is going: the second has everything.
    pair.views.set(&[2]);
    let add = vec![NewMember { user: bob.clone(), ..NewMember::default() }];
    let client_msg_id = vec![7; 16].into();
    let change = ChangeMembers { conversation: room.clone(), client_msg_id, add, remove: Vec::new() };
    let changed = pair.two.asked(&phone, Ask::ChangeMembers(change)).await;
    assert!(matches!(changed, Body::SendAck(_)), "{changed:?}");
    pair.views.set(&[1, 2]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    pair.one.at.arrived();
    let told = pair.one.asked(&theirs, typing()).await;
    assert!(matches!(told, Body::SendAck(_)), "{told:?}");
}

/// Both nodes take themselves for the owner for a while: each serves who asks, and nothing is lost or stored twice.
#[tokio::test]
async fn two_owners_of_one_conversation_number_without_a_hole() {
    let mut pair = Pair::start().await;
    let (alice, room) = (pair.views.user_of(1, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    pair.one.room(&room, &[&alice]).await;
    pair.one.at.arrived();
    let (mut expected, mut refused) = (2, 0);
    for n in 1..=60 {
        let member = if n % 3 == 0 { &mut pair.two } else { &mut pair.one };
        // Whoever was superseded says so, and has let go of the conversation when it is asked again.
        for _ in 0..3 {
            match member.asked(&phone, super::pair::say(&room, n)).await {
                Body::SendAck(ack) => {
                    assert_eq!((ack.seq, ack.duplicate), (expected, false));
                    expected += 1;
                    break;
                }
                Body::Error(error) => {
                    assert_eq!(error.code, Code::UNAVAILABLE.number());
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(expected, 62);
    assert!(refused > 0, "each was superseded now and then");
}

/// The clock of the node that a user comes from is ahead: who logs in at the next one is not taken for an older connection.
#[tokio::test]
async fn connection_epochs_rise_across_nodes() {
    let (lasting, views) = (store().await, Views::of(&[1, 2]));
    let now = 1_800_000_000_000;
    let ahead = Arc::new(ManualClock::new(now + 3_600_000));
    let mut one = Member::with_clock(1, &lasting.store, &views, ahead).await;
    let mut two = Member::with_clock(2, &lasting.store, &views, Arc::new(ManualClock::new(now))).await;
    let (alice, carol) = (views.user_of(1, 0), views.user_of(1, 1));
    let first = one.login(&alice, "phone").await;
    one.dial(&two);
    two.dial(&one);
    // Told to its next owner, and without a word.
    announce(&two.at, &first, false);
    let second = two.login(&alice, "phone").await;
    assert_eq!(second.id, first.id);
    assert!(second.epoch > first.epoch, "{} {}", second.epoch, first.epoch);
    let first = one.login(&carol, "phone").await;
    pass(Duration::from_secs(6)).await;
    two.at.arrived();
    assert!(two.login(&carol, "phone").await.epoch > first.epoch);
}

/// A connector that does not hear of a change goes on telling the old owner. Its devices are sent away after a while, for
/// nobody reaches them.
#[tokio::test]
async fn devices_whose_connector_does_not_follow_are_sent_away() {
    let mut pair = Pair::start().await;
    let (mine, theirs) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0));
    pair.one.login(&mine, "phone").await;
    let stray = pair.one.login(&theirs, "phone").await;
    pass(Duration::from_secs(20)).await;
    assert_eq!(pair.one.at.arrived(), [], "it may be this node that is behind");
    pass(Duration::from_secs(20)).await;
    let kick = Kick {
        target: Some(Target { device_id: stray.id, epoch: stray.epoch }),
        code: Code::UNAVAILABLE.number(),
    };
    assert_eq!(pair.one.at.arrived(), [to_connector::Body::Kick(kick)]);
    assert_eq!(pair.one.node.routes().device_count(), 1);
    assert_eq!(pair.one.node.id().node_type(), NodeType::Channel);
}
