//! Logins: device ids, epochs, and which of several is left.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use idgen::{Clock, DeviceId, ManualClock, NodeType, SystemClock, WorkerNumber};
use protocol::code::Code;
use protocol::node::v1::*;
use protocol::v1;
use support::*;
use whimbrel_channel::config::ChannelConfig;
use whimbrel_channel::device_limit::{DeviceLimit, KickRule};
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
    let route = Route::new(first.id, first.epoch, at.id());
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
                    attached::Outcome::Refused(error) => {
                        // Overtaken by a later login, or one of too many in a row.
                        let expected = [Code::SUPERSEDED, Code::SLOW_DOWN].map(Code::number);
                        assert!(expected.contains(&error.code), "{error:?}");
                    }
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
    let mut displaced = 0;
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
        displaced += tally.admitted.len() as u64 - 1;
        assert_eq!(world.node.metrics().superseded, displaced, "each displaced login counts once");
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
        let (attach_id, error) = at.refusal().await;
        assert_eq!((attach_id, error.code), (n as u64 + 1, Code::INVALID_REQUEST.number()));
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
    let (_, error) = at.refusal().await;
    assert_eq!((error.code, error.retryable), (Code::UNAVAILABLE.number(), true));
}

/// A node with limits; the world behind it has the directory.
async fn limited(rule: KickRule) -> (World, World) {
    let world = World::new().await;
    let config = ChannelConfig::new(node_id(NodeType::Channel, 1), WorkerNumber::new(7).unwrap());
    let device_limit = DeviceLimit { most: [2; 4], rule };
    let config = ChannelConfig { device_limit, ..config };
    let limited = World::configured(config, world.store.clone(), Arc::new(SystemClock)).await;
    (limited, world)
}

async fn refusal(at: &mut Connector, user: &str, installation: &str) -> v1::Error {
    at.link.send(attach(5, user, installation)).unwrap();
    let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
    let Some(attached::Outcome::Refused(error)) = answer.outcome else { panic!("{answer:?}") };
    error
}

#[tokio::test]
async fn one_device_too_many_closes_the_oldest() {
    let (world, _behind) = limited(KickRule::KickOldest).await;
    let mut at = world.connector(1);
    let first = at.login("alice", "a").await;
    let second = at.login("alice", "b").await;
    at.login("bob", "a").await;
    at.link.send(attach(77, "alice", "c")).unwrap();
    let target = Some(Target { device_id: first.id, epoch: first.epoch });
    let kick = Kick { target, code: Code::DEVICE_LIMIT.number() };
    assert_eq!(at.next().await, to_connector::Body::Kick(kick));
    assert!(matches!(at.next().await, to_connector::Body::Attached(_)));
    let left: Vec<u64> = routes(&world, "alice").iter().map(|route| route.device).collect();
    assert!(left.len() == 2 && left.contains(&second.id) && !left.contains(&first.id));
    // The same device again is not one more, and the farewell of the closed one does no harm.
    at.detach(&first);
    at.link.send(attach(77, "alice", "b")).unwrap();
    let to_connector::Body::Kick(kick) = at.next().await else { panic!("not a kick") };
    assert_eq!(kick.code, Code::SUPERSEDED.number());
    assert_eq!((routes(&world, "alice").len(), world.node.metrics().device_limit), (2, 1));
}

#[tokio::test]
async fn one_device_too_many_is_refused_where_the_rule_says_so() {
    let (world, _behind) = limited(KickRule::Refuse).await;
    let mut at = world.connector(1);
    let first = at.login("alice", "a").await;
    at.login("alice", "b").await;
    let error = refusal(&mut at, "alice", "c").await;
    assert_eq!((error.code, error.retryable), (Code::DEVICE_LIMIT.number(), false));
    assert_eq!(routes(&world, "alice").len(), 2);
    at.detach(&first);
    at.login("alice", "c").await;
}

#[tokio::test]
async fn two_that_fight_over_one_device_are_slowed_down() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let mut device = at.login("alice", "phone").await;
    for _ in 0..10 {
        at.link.send(attach(77, "alice", "phone")).unwrap();
        assert!(matches!(at.next().await, to_connector::Body::Kick(_)));
        let to_connector::Body::Attached(answer) = at.next().await else { panic!("not an answer") };
        let Some(attached::Outcome::Admitted(admitted)) = answer.outcome else { panic!("{answer:?}") };
        device.epoch = admitted.epoch;
    }
    let delays = [refusal(&mut at, "alice", "phone").await, refusal(&mut at, "alice", "phone").await];
    assert!(delays.iter().all(|error| error.code == Code::SLOW_DOWN.number() && error.retryable));
    assert!(delays.iter().all(|error| (1..=1_000).contains(&error.retry_after_ms)), "{delays:?}");
    assert!(world.node.routes().has(TENANT, "alice", device.id, device.epoch), "who is there stays");
    // Nobody is displaced: who has left comes back at once.
    at.detach(&device);
    at.login("alice", "phone").await;
    assert_eq!((world.node.metrics().duels, world.node.metrics().superseded), (2, 10));
}
