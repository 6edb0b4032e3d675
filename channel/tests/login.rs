//! Logins: device ids, epochs, and which of several is left.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use idgen::{Clock, DeviceId, ManualClock, SystemClock};
use protocol::code::Code;
use protocol::node::v1::*;
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
