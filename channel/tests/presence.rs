//! Presence: watching, and being told who comes and goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use idgen::{ManualClock, NodeType, WorkerNumber};
use prost::Message as _;
use protocol::code::Code;
use protocol::node::v1::*;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::presence::State;
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watch};
use storage::member::MemberRow;
use support::*;
use whimbrel_channel::config::ChannelConfig;

async fn watch(at: &mut Connector, device: &Device, conversations: &[&str]) -> Body {
    let conversations = conversations.iter().map(|name| name.to_string()).collect();
    at.ask(device, Ask::Watch(Watch { conversations })).await
}

async fn presence(at: &mut Connector, device: &Device) -> (String, bool) {
    let to_connector::Body::Push(push) = at.next().await else { panic!("not a push") };
    assert_eq!(push.targets, [Target { device_id: device.id, epoch: device.epoch }]);
    assert_eq!((push.seq, push.conversation.len()), (0, 0));
    match ServerFrame::decode(push.frame).unwrap().body {
        Some(Body::Presence(presence)) => (presence.user, presence.online),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn watchers_are_told_who_comes_and_goes() {
    let world = World::new().await;
    world.seed("room", vec![member("alice", 1), member("bob", 1)], &[], 5).await;
    world.seed("other", vec![member("carol", 1)], &[], 5).await;
    let (mut near, mut far) = (world.connector(1), world.connector(2));
    let alice = near.login("alice", "phone").await;
    let Body::Watching(watching) = watch(&mut near, &alice, &["room"]).await else { panic!("not watching") };
    let states: Vec<_> = watching.presences.iter().map(|p| (p.user.as_str(), p.online)).collect();
    assert_eq!(states, [("alice", true), ("bob", false)]);

    let phone = far.login("bob", "phone").await;
    assert_eq!(presence(&mut near, &alice).await, ("bob".to_owned(), true));
    // A second device changes nothing, nor does losing one of two.
    let tablet = far.login("bob", "tablet").await;
    far.detach(&phone);
    far.login("carol", "phone").await;
    far.detach(&tablet);
    assert_eq!(presence(&mut near, &alice).await, ("bob".to_owned(), false));

    let foreign = watch(&mut near, &alice, &["room", "other"]).await;
    assert_eq!(foreign, Body::Error(Code::NOT_FOUND.plain_error()));
    // A refused Watch leaves the old set; an empty one ends it.
    let phone = far.login("bob", "phone").await;
    assert_eq!(presence(&mut near, &alice).await, ("bob".to_owned(), true));
    assert_eq!(watch(&mut near, &alice, &[]).await, Body::Watching(v1::Watching::default()));
    far.detach(&phone);
    // Nothing was told while nobody was watched. What is told now is as it was last told, and then it changes.
    let Body::Watching(watching) = watch(&mut near, &alice, &["room"]).await else { panic!("told of bob") };
    assert!(watching.presences[1].online);
    assert_eq!(presence(&mut near, &alice).await, ("bob".to_owned(), false));
    // The watcher goes, and with it what it watched.
    assert_eq!(world.node.watcher_count(), 1);
    near.detach(&alice);
    assert_eq!(world.node.watcher_count(), 0);
    // A request that was under way when its connection went leaves nothing behind.
    near.send(
        identity(TENANT, "alice"),
        &alice,
        9,
        Some(Ask::Watch(Watch { conversations: vec!["room".into()] })),
    );
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    assert_eq!(world.node.watcher_count(), 0);
}

#[tokio::test]
async fn a_dead_connector_takes_its_routes_along() {
    let world = World::new().await;
    world.seed("room", vec![member("alice", 1), member("bob", 1)], &[], 5).await;
    let (mut near, mut far) = (world.connector(1), world.connector(2));
    let alice = near.login("alice", "phone").await;
    far.login("bob", "phone").await;
    watch(&mut near, &alice, &["room"]).await;
    let link: Arc<dyn cluster::ConnectorLink> = far.recorder.clone();
    world.node.disconnect(&link);
    assert_eq!(presence(&mut near, &alice).await, ("bob".to_owned(), false));
    assert_eq!(world.node.routes().device_count(), 1);
    // An old link that goes late does not take the new one's routes.
    let mut far = world.connector(2);
    far.login("bob", "phone").await;
    world.node.disconnect(&link);
    assert_eq!(world.node.routes().device_count(), 2);
}

async fn state(at: &mut Connector, me: &Device) -> (String, State, i64) {
    let to_connector::Body::Push(push) = at.next().await else { panic!("not a push") };
    assert_eq!(push.targets, [Target { device_id: me.id, epoch: me.epoch }]);
    match ServerFrame::decode(push.frame).unwrap().body {
        Some(Body::Presence(presence)) => (presence.user.clone(), presence.state(), presence.since_ms),
        other => panic!("{other:?}"),
    }
}

async fn set_away(at: &mut Connector, device: &Device, away: bool) -> State {
    match at.ask(device, Ask::SetPresence(v1::SetPresence { away })).await {
        Body::Presence(presence) => presence.state(),
        other => panic!("{other:?}"),
    }
}

fn suspend(at: &Connector, device: &Device) {
    let (tenant, user) = (TENANT.to_owned(), device.user.clone());
    let suspend = Suspend { tenant, user, device_id: device.id, epoch: device.epoch };
    at.link.send(ToChannel { body: Some(to_channel::Body::Suspend(suspend)) }).unwrap();
}

fn revive(at: &Connector, device: &Device) {
    let (tenant, user) = (TENANT.to_owned(), device.user.clone());
    let revive = Revive { tenant, user, device_id: device.id, epoch: device.epoch };
    at.link.send(ToChannel { body: Some(to_channel::Body::Revive(revive)) }).unwrap();
}

/// Somebody who watches bob.
async fn observer(world: &World) -> (Connector, Device) {
    world.seed("room", vec![member("alice", 1), member("bob", 1)], &[], 5).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    watch(&mut at, &alice, &["room"]).await;
    (at, alice)
}

#[tokio::test]
async fn a_user_is_away_when_all_devices_are() {
    let world = World::new().await;
    let (mut near, alice) = observer(&world).await;
    let mut far = world.connector(2);
    let phone = far.login("bob", "phone").await;
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    assert_eq!(set_away(&mut far, &phone, true).await, State::Away);
    assert_eq!(state(&mut near, &alice).await.1, State::Away);
    // Another device, and nobody is away any more; nor is it told while one is there.
    let tablet = far.login("bob", "tablet").await;
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    assert_eq!(set_away(&mut far, &tablet, true).await, State::Away);
    assert_eq!(state(&mut near, &alice).await.1, State::Away);
    assert_eq!(set_away(&mut far, &phone, false).await, State::Online);
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    far.detach(&phone);
    assert_eq!(state(&mut near, &alice).await.1, State::Away);
    far.detach(&tablet);
    assert_eq!(state(&mut near, &alice).await.1, State::Offline);
    let late = far.ask(&tablet, Ask::SetPresence(v1::SetPresence { away: false })).await;
    assert!(matches!(late, Body::Error(_)), "{late:?}");
}

#[tokio::test]
async fn a_session_without_a_connection_does_not_count() {
    let world = World::new().await;
    let (mut near, alice) = observer(&world).await;
    let mut far = world.connector(2);
    let phone = far.login("bob", "phone").await;
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    suspend(&far, &phone);
    assert_eq!(state(&mut near, &alice).await.1, State::Offline);
    assert!(!world.node.routes().is_online(TENANT, "bob"));
    assert_eq!(world.node.routes().device_count(), 2, "the route stays");
    revive(&far, &phone);
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    far.detach(&phone);
    assert_eq!(state(&mut near, &alice).await.1, State::Offline);
    revive(&far, &phone);
    assert!(matches!(far.next().await, to_connector::Body::Kick(_)));
}

#[tokio::test]
async fn a_watch_outlives_the_connection_and_catches_up() {
    let world = World::new().await;
    let (mut near, alice) = observer(&world).await;
    suspend(&near, &alice);
    assert_eq!(world.node.watcher_count(), 1, "the watch belongs to the session");
    let mut far = world.connector(2);
    let bob = far.login("bob", "phone").await;
    // The connector drops what is not stored while the device is away: as if it had not come.
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    revive(&near, &alice);
    let to_connector::Body::Push(push) = near.next().await else { panic!("not a push") };
    assert_eq!(push.targets, [Target { device_id: alice.id, epoch: alice.epoch }]);
    let frame = ServerFrame::decode(push.frame).unwrap();
    let Some(Body::Watching(now)) = frame.body else { panic!("{frame:?}") };
    let states: Vec<_> = now.presences.iter().map(|p| (p.user.as_str(), p.state())).collect();
    assert_eq!(states, [("alice", State::Online), ("bob", State::Online)]);
    far.detach(&bob);
    // Alice's own going and coming was damped, or is told beside.
    loop {
        let (user, is, _) = state(&mut near, &alice).await;
        if user == "bob" {
            assert_eq!(is, State::Offline);
            break;
        }
    }
    near.detach(&alice);
    assert_eq!(world.node.watcher_count(), 0);
    revive(&near, &alice);
    assert!(matches!(near.next().await, to_connector::Body::Kick(_)));
}

#[tokio::test]
async fn flapping_is_not_told_and_last_seen_is_when_the_connection_went() {
    let clock = Arc::new(ManualClock::new(1_800_000_000_000));
    let short = World::with_clock(clock.clone()).await;
    short.node.drain(Duration::from_secs(10)).await.unwrap();
    // Long enough for twenty logins on a busy machine.
    let config = ChannelConfig::new(node_id(NodeType::Channel, 1), WorkerNumber::new(7).unwrap());
    let config = ChannelConfig { presence_grace: 20 * GRACE, ..config };
    let world = World::configured(config, short.store.clone(), clock.clone()).await;
    let (mut near, alice) = observer(&world).await;
    let mut far = world.connector(2);
    let mut phone = far.login("bob", "phone").await;
    assert_eq!(state(&mut near, &alice).await.1, State::Online);
    for _ in 0..20 {
        far.detach(&phone);
        tokio::task::yield_now().await;
        phone = far.login("bob", "phone").await;
    }
    // The teller sees that bob is back.
    tokio::time::sleep(GRACE).await;
    assert_eq!(near.arrived(), []);
    clock.set(1_800_000_100_000);
    far.detach(&phone);
    // The teller sees the farewell at this time.
    tokio::time::sleep(GRACE).await;
    clock.set(1_800_000_200_000);
    assert_eq!(state(&mut near, &alice).await, ("bob".into(), State::Offline, 1_800_000_100_000));
    // Who asks later is told the same, from the store.
    while world.node.presence_events(TENANT, 0, 10).await.unwrap().tip < 3 {
        tokio::time::sleep(GRACE).await;
    }
    let Body::Watching(now) = watch(&mut near, &alice, &["room"]).await else { panic!("not watching") };
    assert_eq!((now.presences[1].state(), now.presences[1].since_ms), (State::Offline, 1_800_000_100_000));
}

#[tokio::test]
async fn so_many_devices_watch_one_user_and_no_more() {
    let world = World::new().await;
    let rows: Vec<MemberRow> = (0..514).map(|n| member(&format!("u{n:03}"), 1)).collect();
    world.seed("room", rows, &[], 5).await;
    let mut at = world.connector(1);
    for n in 0..513 {
        let device = at.login(&format!("u{n:03}"), "phone").await;
        let watching = loop {
            let ask = Ask::Watch(Watch { conversations: vec!["room".into()] });
            at.send(identity(TENANT, &device.user), &device, 9, Some(ask));
            // Those who watch already are told of the newcomer meanwhile.
            let reply = loop {
                if let to_connector::Body::Reply(reply) = at.next().await {
                    break reply;
                }
            };
            if let Some(Body::Watching(watching)) = ServerFrame::decode(reply.frame).unwrap().body {
                break watching.presences.len();
            }
        };
        assert_eq!(watching, if n < 512 { 200 } else { 0 });
        _ = at.arrived();
    }
}

#[tokio::test]
async fn a_large_room_is_watched_in_part() {
    let world = World::new().await;
    for room in 0..5 {
        let rows: Vec<MemberRow> =
            (0..300).map(|n| member(&format!("{room}{n:03}{}", "x".repeat(60)), 1)).collect();
        let rows = rows.into_iter().chain([member("alice", 1)]).collect();
        world.seed(&format!("room-{room}"), rows, &[], 5).await;
    }
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let rooms = ["room-0", "room-1", "room-2", "room-3", "room-4"];
    let Body::Watching(all) = watch(&mut at, &alice, &rooms).await else { panic!("not watching") };
    assert_eq!(all.presences.len(), 768);
    let Body::Watching(one) = watch(&mut at, &alice, &rooms[..1]).await else { panic!("not watching") };
    assert_eq!(one.presences.len(), 200);
}
