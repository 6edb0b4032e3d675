//! Presence: watching, and being told who comes and goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use protocol::code::Code;
use protocol::node::v1::*;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watch};
use storage::member::MemberRow;
use support::*;

async fn watch(at: &mut Connector, device: &Device, conversations: &[&str]) -> Body {
    let conversations = conversations.iter().map(|name| name.to_string()).collect();
    at.ask(device, Ask::Watch(Watch { conversations })).await
}

async fn presence(at: &mut Connector, device: &Device) -> (String, bool) {
    let to_connector::Body::Push(push) = at.next().await else { panic!("not a push") };
    assert_eq!(push.targets, [Target { device_id: device.id, epoch: device.epoch }]);
    assert_eq!((push.seq, push.conversation.as_str()), (0, ""));
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
    let Body::Watching(watching) = watch(&mut near, &alice, &["room"]).await else { panic!("told of bob") };
    assert!(!watching.presences[1].online);
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
