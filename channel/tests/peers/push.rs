//! Messages cross from the owner of a conversation to the owners of its members.

use std::time::Duration;

use protocol::node::v1::push::Telling;
use protocol::node::v1::to_connector;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{Mark, Signal};

use super::pair::{Pair, pass};
use crate::support::*;

/// The tips told: seq, how, and to how many devices.
fn told(at: &mut Connector) -> Vec<(u64, Telling, usize)> {
    let tip = |body| match body {
        to_connector::Body::Push(push) if push.seq > 0 => {
            Some((push.seq, push.telling(), push.targets.len()))
        }
        _ => None,
    };
    at.arrived().into_iter().filter_map(tip).collect()
}

#[tokio::test]
async fn a_message_reaches_the_devices_of_the_other_node_once_and_in_order() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    let (theirs, tablet) = (pair.two.login(&bob, "phone").await, pair.two.login(&bob, "tablet").await);
    let both = vec![theirs.id.min(tablet.id), theirs.id.max(tablet.id)];
    pair.one.room(&room, &[&alice, &bob]).await;
    assert_eq!(pair.two.pushed().await, (1, both.clone()));
    pair.one.at.arrived();
    for n in 1..=50 {
        assert_eq!(pair.one.said(&phone, &room, n).await, u64::from(n) + 1);
    }
    for seq in 2..=51 {
        assert_eq!(pair.two.pushed().await, (seq, both.clone()));
    }
    assert_eq!((told(&mut pair.one.at), told(&mut pair.two.at)), (vec![], vec![]));
    assert_eq!(pair.two.node.metrics().peer_pushes, 51, "one for both devices");
}

/// The sender's devices are at another node than the conversation: the one that has sent gets the answer alone.
#[tokio::test]
async fn the_session_that_has_sent_is_left_out_on_the_other_node_too() {
    let mut pair = Pair::start().await;
    let (alice, room) = (pair.views.user_of(1, 0), pair.views.room_of(2));
    let (phone, tablet) = (pair.one.login(&alice, "phone").await, pair.one.login(&alice, "tablet").await);
    pair.two.room(&room, &[&alice]).await;
    assert_eq!(pair.one.pushed().await.1.len(), 2);
    // Her connector asks the owner of the conversation.
    assert_eq!(pair.two.said(&phone, &room, 1).await, 2);
    assert_eq!(pair.one.pushed().await, (2, vec![tablet.id]));
    let mark = Mark { conversation: room.clone(), read: 2, delivered: 2 };
    assert!(matches!(pair.two.asked(&phone, Ask::Mark(mark)).await, Body::Cursor(_)));
    let to_connector::Body::Push(cursor) = pair.one.at.next().await else { panic!("no cursor") };
    let targets: Vec<u64> = cursor.targets.iter().map(|target| target.device_id).collect();
    assert_eq!((cursor.seq, targets), (0, vec![tablet.id]), "her other device hears what she has read");
    let signal = Signal { conversation: room, r#type: "typing".into(), ..Signal::default() };
    assert!(matches!(pair.two.asked(&phone, Ask::Signal(signal)).await, Body::SendAck(_)));
    assert_eq!(pair.one.at.arrived(), [], "nobody is told of one's own typing");
}

/// What the link loses is told again, as what is lost between a node and a connector is.
#[tokio::test]
async fn a_push_that_is_lost_between_nodes_is_told_again() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    pair.two.login(&bob, "phone").await;
    pair.one.room(&room, &[&alice, &bob]).await;
    pair.two.pushed().await;
    pair.wires[0].cut(true);
    pair.one.at.arrived();
    assert_eq!(pair.one.said(&phone, &room, 1).await, 2);
    pair.wires[0].cut(false);
    assert_eq!(told(&mut pair.two.at), []);
    pass(Duration::from_secs(10)).await;
    assert!(told(&mut pair.two.at).contains(&(2, Telling::IfMissed, 1)));
}

/// Nodes that cannot talk to each other, for however long: what one commits the other finds.
#[tokio::test]
async fn what_a_node_commits_that_is_not_heard_is_found_in_the_lists() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    pair.two.login(&bob, "phone").await;
    pair.one.room(&room, &[&alice, &bob]).await;
    pair.wires[0].cut(true);
    pair.two.node.disconnect(&pair.wires[0].dialler);
    // Longer than rounds are made after a change.
    for _ in 0..12 {
        pass(Duration::from_secs(11)).await;
    }
    told(&mut pair.one.at);
    told(&mut pair.two.at);
    assert_eq!(pair.one.said(&phone, &room, 1).await, 2);
    for _ in 0..2 {
        pass(Duration::from_secs(11)).await;
    }
    assert!(told(&mut pair.two.at).contains(&(2, Telling::IfMissed, 1)));
}
