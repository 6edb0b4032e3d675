//! Who comes and goes is told to those who watch at another node.

use std::time::Duration;

use prost::Message as _;
use protocol::node::v1::{Announce, AnnouncedSession, Target, ToChannel, to_channel, to_connector};
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::presence::State;
use protocol::v1::server_frame::Body;
use protocol::v1::{ListMembers, ServerFrame, SetPresence, Watch};
use storage::presence::{PresenceChange, PresenceEvents as _, PresenceState};

use super::pair::{Member, Pair, pass};
use crate::support::*;

/// Longer than a node waits for connectors to tell of their sessions, and from one look to the next.
const SETTLED: Duration = Duration::from_secs(21);

pub async fn watch(member: &mut Member, device: &Device, room: &str) -> Vec<(String, State)> {
    let watch = Watch { conversations: vec![room.to_owned()] };
    match member.asked(device, Ask::Watch(watch)).await {
        Body::Watching(watching) => {
            watching.presences.iter().map(|one| (one.user.clone(), one.state())).collect()
        }
        other => panic!("not watching: {other:?}"),
    }
}

/// What is told of presence next: one user, or all.
pub async fn next_presence(member: &mut Member) -> Vec<(String, State)> {
    loop {
        let to_connector::Body::Push(push) = member.at.next().await else { continue };
        match ServerFrame::decode(push.frame).unwrap().body {
            Some(Body::Presence(one)) => return vec![(one.user.clone(), one.state())],
            Some(Body::Watching(all)) => {
                return all.presences.iter().map(|one| (one.user.clone(), one.state())).collect();
            }
            _ => {}
        }
    }
}

/// What was told of one user.
pub fn told_of(member: &mut Member, user: &str) -> Vec<State> {
    let states = member.at.arrived().into_iter().filter_map(|body| match body {
        to_connector::Body::Push(push) => match ServerFrame::decode(push.frame).unwrap().body {
            Some(Body::Presence(one)) if one.user == user => Some(one.state()),
            _ => None,
        },
        _ => None,
    });
    states.collect()
}

#[tokio::test]
async fn watchers_are_told_who_comes_and_goes_at_another_node() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    pair.one.room(&room, &[&alice, &bob]).await;
    pair.one.at.arrived();
    let states = watch(&mut pair.one, &phone, &room).await;
    assert_eq!(states.iter().find(|(user, _)| *user == bob), Some(&(bob.clone(), State::Offline)));
    let theirs = pair.two.login(&bob, "phone").await;
    assert_eq!(next_presence(&mut pair.one).await, [(bob.clone(), State::Online)]);
    let away = pair.two.asked(&theirs, Ask::SetPresence(SetPresence { away: true })).await;
    assert!(matches!(away, Body::Presence(_)));
    assert_eq!(next_presence(&mut pair.one).await, [(bob.clone(), State::Away)]);
    // Who asks now is told what this node has heard.
    pair.one.at.arrived();
    let Body::Members(page) = pair
        .one
        .asked(&phone, Ask::ListMembers(ListMembers { conversation: room.clone(), ..ListMembers::default() }))
        .await
    else {
        panic!("no members")
    };
    assert!(page.members.iter().all(|member| member.online), "{page:?}");
    pair.two.at.detach(&theirs);
    assert_eq!(next_presence(&mut pair.one).await, [(bob.clone(), State::Offline)]);
    // Nobody watches any more: the other node is told so.
    pair.one.at.detach(&phone);
    pass(SETTLED).await;
    pair.one.at.arrived();
    pair.two.login(&bob, "phone").await;
    tokio::time::sleep(GRACE).await;
    assert_eq!(told_of(&mut pair.one, &bob), []);
}

#[tokio::test]
async fn what_was_missed_while_a_link_was_down_is_told_when_it_is_there_again() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    let theirs = pair.two.login(&bob, "phone").await;
    pair.one.room(&room, &[&alice, &bob]).await;
    pair.one.at.arrived();
    tokio::time::sleep(3 * GRACE).await;
    let states = watch(&mut pair.one, &phone, &room).await;
    assert_eq!(
        states.iter().find(|(user, _)| *user == bob),
        Some(&(bob.clone(), State::Online)),
        "by the stream"
    );
    pass(SETTLED).await;
    pair.wires[1].cut(true);
    pair.two.at.detach(&theirs);
    tokio::time::sleep(3 * GRACE).await;
    assert_eq!(told_of(&mut pair.one, &bob), []);
    pair.wires[1].cut(false);
    pass(SETTLED).await;
    assert_eq!(told_of(&mut pair.one, &bob), [State::Offline]);
    // A new session of the link: the other node has forgotten who watches.
    pair.two.node.disconnect(&pair.wires[0].dialler);
    let theirs = pair.two.login(&bob, "phone").await;
    tokio::time::sleep(3 * GRACE).await;
    assert_eq!(told_of(&mut pair.one, &bob), []);
    pair.wires[0] = pair.one.dial(&pair.two);
    assert_eq!(next_presence(&mut pair.one).await, [(bob.clone(), State::Online)]);
    pair.two.at.detach(&theirs);
    assert_eq!(next_presence(&mut pair.one).await, [(bob, State::Offline)]);
}

fn announce(at: &Connector, device: &Device, watched: &[&str], away: bool) {
    let session = AnnouncedSession {
        tenant: TENANT.into(),
        user: device.user.clone(),
        target: Some(Target { device_id: device.id, epoch: device.epoch }),
        suspended: false,
        away,
        watched: watched.iter().map(ToString::to_string).collect(),
    };
    let announce = Announce { sessions: vec![session], ..Announce::default() };
    at.link.send(ToChannel { body: Some(to_channel::Body::Announce(announce)) }).unwrap();
}

/// A node that has just started does not know yet who is there: nobody is said to be offline for that, and sessions that are
/// told to it watch on and are as away as they were.
#[tokio::test]
async fn who_was_there_before_a_start_is_not_told_to_be_offline() {
    let mut pair = Pair::start().await;
    let (alice, bob, room) = (pair.views.user_of(1, 0), pair.views.user_of(2, 0), pair.views.room_of(1));
    let phone = pair.one.login(&alice, "phone").await;
    let theirs = pair.two.login(&bob, "phone").await;
    pair.one.room(&room, &[&alice, &bob]).await;
    tokio::time::sleep(3 * GRACE).await;
    pair.one.at.arrived();
    watch(&mut pair.one, &phone, &room).await;
    pass(SETTLED).await;
    // Both nodes start anew; the connectors tell the first of alice.
    let mut one = Member::start(1, &pair.lasting.store, &pair.views).await;
    let two = Member::start(2, &pair.lasting.store, &pair.views).await;
    one.dial(&two);
    two.dial(&one);
    announce(&one.at, &phone, &[&room], true);
    assert_eq!(told_of(&mut one, &bob), []);
    announce(&two.at, &theirs, &[], false);
    assert_eq!(
        next_presence(&mut one).await.iter().find(|(user, _)| *user == bob),
        Some(&(bob.clone(), State::Online))
    );
    pass(SETTLED).await;
    let mut all = next_presence(&mut one).await;
    while all.len() == 1 {
        all = next_presence(&mut one).await;
    }
    all.sort();
    let mut expected = vec![(alice.clone(), State::Away), (bob.clone(), State::Online)];
    expected.sort();
    assert_eq!(all, expected);
    two.at.detach(&theirs);
    assert_eq!(next_presence(&mut one).await, [(bob, State::Offline)]);
}

/// The stream's ghosts are looked for by the owner of each, once connectors have had time to tell of their sessions.
#[tokio::test]
async fn ghosts_are_ended_by_their_owner_alone() {
    let mut pair = Pair::start().await;
    let (gone, there) = (pair.views.user_of(2, 0), pair.views.user_of(2, 1));
    let store = pair.lasting.store.clone();
    let epoch = store.take(TENANT).await.unwrap();
    let online =
        |user: &String| PresenceChange { user: user.clone(), state: PresenceState::Online, at_ms: 5_000 };
    store.record(TENANT, epoch, vec![online(&gone), online(&there)]).await;
    pair.two.login(&there, "phone").await;
    let states = async || {
        let standings = store.standings(TENANT, &[gone.clone(), there.clone()]).await.unwrap();
        standings.into_iter().map(|standing| standing.unwrap().state).collect::<Vec<_>>()
    };
    pass(Duration::from_secs(10)).await;
    assert_eq!(states().await, [PresenceState::Online; 2], "it is too early to say");
    pass(SETTLED).await;
    assert_eq!(states().await, [PresenceState::Offline, PresenceState::Online]);
}
