//! Logins, presence and what a node refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use idgen::{Clock, DeviceId, ManualClock, SystemClock};
use prost::Message as _;
use protocol::code::Code;
use protocol::node::v1::*;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watch};
use storage::member::MemberRow;
use support::*;
use whimbrel_channel::routes::Route;

fn routes(world: &World, user: &str) -> Vec<Route> {
    let mut found = Vec::new();
    world.node.routes().for_each(TENANT, user, |route| found.push(*route));
    found
}

#[tokio::test]
async fn the_same_installation_is_the_same_device_after_a_restart() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let first = at.login("alice", "phone").await;
    assert_eq!(DeviceId::from_u64(first.id).unwrap().worker().get(), 7);
    let route = Route { device: first.id, epoch: first.epoch, connector: at.id() };
    assert_eq!(routes(&world, "alice"), [route]);
    let other = at.login("alice", "tablet").await;
    assert_ne!(other.id, first.id);
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    // A new node over the same store, as after a restart.
    let again = World::over(world.store.clone(), Arc::new(SystemClock)).await;
    let mut at = again.connector(1);
    let same = at.login("alice", "phone").await;
    assert_eq!(same.id, first.id);
    let new = at.login("alice", "laptop").await;
    assert!(![first.id, other.id].contains(&new.id));
    let stamp = |id| DeviceId::from_u64(id).unwrap().stamp();
    assert!(stamp(new.id) > stamp(other.id));
}

#[tokio::test]
async fn a_second_login_displaces_the_first_and_a_late_farewell_does_no_harm() {
    let world = World::new().await;
    let (mut old, mut new) = (world.connector(1), world.connector(2));
    let first = old.login("alice", "phone").await;
    let second = new.login("alice", "phone").await;
    assert_eq!(second.id, first.id);
    assert!(second.epoch > first.epoch);
    let target = Some(Target { device_id: first.id, epoch: first.epoch });
    let kick = Kick { target, code: Code::SUPERSEDED.number() };
    assert_eq!(old.next().await, to_connector::Body::Kick(kick));
    old.detach(&first);
    assert_eq!(routes(&world, "alice").len(), 1);
    assert!(world.node.routes().has(TENANT, "alice", second.id, second.epoch));
    new.detach(&second);
    assert!(!world.node.routes().is_online(TENANT, "alice"));
    assert_eq!(world.node.metrics().superseded, 1);
}

/// What three connectors were told of one installation's logins.
#[derive(Default)]
struct Tally {
    answers: usize,
    ids: BTreeSet<u64>,
    /// Epoch and connector.
    admitted: BTreeSet<(u64, usize)>,
    kicked: BTreeSet<(u64, usize)>,
}

impl Tally {
    fn told(&mut self, at: usize, body: to_connector::Body) {
        match body {
            to_connector::Body::Attached(Attached { outcome: Some(outcome), .. }) => {
                self.answers += 1;
                match outcome {
                    attached::Outcome::Admitted(device) => {
                        self.ids.insert(device.device_id);
                        self.admitted.insert((device.epoch, at));
                    }
                    attached::Outcome::Refused(error) => assert_eq!(error.code, Code::SUPERSEDED.number()),
                }
            }
            to_connector::Body::Kick(kick) => {
                // A connector drops the kick of a session that it does not have yet.
                let login = (kick.target.unwrap().epoch, at);
                self.kicked.extend(self.admitted.get(&login));
            }
            other => panic!("{other:?}"),
        }
    }

    fn latest(&self) -> Option<(u64, usize)> {
        self.admitted.last().copied()
    }

    /// Everybody is answered, and every connection but the latest was told to close.
    fn is_settled(&self, logins: usize) -> bool {
        let lives = self.admitted.difference(&self.kicked).copied();
        self.answers == logins && lives.eq(self.latest())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_logins_one_is_left_everywhere() {
    const LOGINS: usize = 100;
    let world = World::new().await;
    let mut connectors = [world.connector(0), world.connector(1), world.connector(2)];
    for round in 0..20 {
        let user = format!("user-{round}");
        for n in 0..LOGINS {
            connectors[n % 3].link.send(attach(n as u64, &user, "phone")).unwrap();
        }
        let mut tally = Tally::default();
        let [a, b, c] = &mut connectors;
        // `next` loses patience if a connection is left that nobody closes.
        while !tally.is_settled(LOGINS) {
            tokio::select! {
                body = a.next() => tally.told(0, body),
                body = b.next() => tally.told(1, body),
                body = c.next() => tally.told(2, body),
            }
        }
        assert_eq!(tally.ids.len(), 1, "one installation, one id");
        let left: Vec<_> = routes(&world, &user).iter().map(|r| (r.epoch, r.connector)).collect();
        let latest = tally.latest().map(|(epoch, at)| (epoch, connectors[at].id()));
        assert_eq!(left, Vec::from_iter(latest), "the route is that of the latest login");
    }
}

#[tokio::test]
async fn logins_are_checked() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let bad = [
        attach(1, "", "phone"),
        attach(2, "a~b", "phone"),
        attach(3, "alice", ""),
        ToChannel { body: Some(to_channel::Body::Attach(Attach { attach_id: 4, ..Attach::default() })) },
    ];
    for (n, message) in bad.into_iter().enumerate() {
        at.link.send(message).unwrap();
        let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
        assert_eq!(answer.attach_id, n as u64 + 1);
        let Some(attached::Outcome::Refused(error)) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(error.code, Code::INVALID_REQUEST.number());
    }
    assert_eq!(world.node.routes().device_count(), 0);
    assert_eq!(world.node.metrics().logins_refused, 4);
}

#[tokio::test]
async fn epochs_rise_even_when_the_clock_falls() {
    let clock = Arc::new(ManualClock::new(SystemClock.unix_millis()));
    let world = World::with_clock(clock.clone()).await;
    let mut at = world.connector(1);
    let first = at.login("alice", "phone").await;
    at.detach(&first);
    clock.advance(-3_600_000);
    let second = at.login("alice", "phone").await;
    assert!(second.epoch > first.epoch);
    // A new installation needs a new id, which a clock so far behind cannot give.
    at.link.send(attach(5, "alice", "tablet")).unwrap();
    let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
    let Some(attached::Outcome::Refused(error)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((error.code, error.retryable), (Code::UNAVAILABLE.number(), true));
}

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

fn refused(answer: Body) -> Option<Code> {
    match answer {
        Body::Error(error) => Code::from_number(error.code),
        other => panic!("not refused: {other:?}"),
    }
}

// On one thread no task runs while the test does not wait, so what is sent in one go piles up.
#[tokio::test]
async fn what_exceeds_a_queue_is_refused_and_the_rest_is_answered() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let mark = || Ask::Mark(v1::Mark { conversation: "none".into(), ..v1::Mark::default() });
    for asked in [Ask::Sync(v1::Sync::default()), mark()] {
        for re in 1..=1_030 {
            at.send(identity(TENANT, "alice"), &alice, re, Some(asked.clone()));
        }
        let mut overloaded = Vec::new();
        for _ in 0..1_030 {
            let to_connector::Body::Reply(reply) = at.next().await else { panic!("not a reply") };
            let frame = ServerFrame::decode(reply.frame).unwrap();
            match frame.body {
                Some(Body::Error(error)) if error.code == Code::OVERLOADED.number() => {
                    overloaded.push(frame.re)
                }
                Some(Body::Error(error)) => assert_eq!(error.code, Code::NOT_FOUND.number()),
                _ => {}
            }
        }
        assert_eq!(overloaded, [1_025, 1_026, 1_027, 1_028, 1_029, 1_030]);
    }
    for n in 0..1_025 {
        at.link.send(attach(n, "bob", &format!("phone-{n}"))).unwrap();
    }
    let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
    assert_eq!(answer.attach_id, 1_024);
    let Some(attached::Outcome::Refused(error)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((error.code, error.retryable), (Code::OVERLOADED.number(), true));
    for _ in 0..1_024 {
        let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
        assert!(matches!(answer.outcome, Some(attached::Outcome::Admitted(_))));
    }
    assert_eq!(world.node.routes().device_count(), 1_025);
    assert_eq!(world.node.metrics().requests_shed, 12);
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
    let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
    let Some(attached::Outcome::Refused(error)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(error.code, Code::SHUTTING_DOWN.number());
    at.detach(&alice);
    assert_eq!(world.node.routes().device_count(), 0);
}
