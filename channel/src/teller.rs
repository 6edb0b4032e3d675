//! The task that tells who comes and goes: watching devices at once, and the presence stream.
//!
//! One task, so the last state told of a user is the newest. It looks at the routes as they are when it comes to a
//! user; what has changed in between is told once, as it is then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use idgen::{Clock, NodeId};
use prost::Message as _;
use protocol::node::v1::{Push, Target, ToConnector, to_connector};
use protocol::v1::ServerFrame;
use protocol::v1::server_frame::Body;
use storage::presence::PresenceState;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::falling::Falling;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::presence::Noted;
use crate::presence_log::PresenceLog;
use crate::routes::Routes;
use crate::user_key::UserKey;
use crate::watch::{Watches, told};

/// Users looked at between two looks at what is due.
const USERS_AT_ONCE: usize = 64;
/// Devices told before the task makes a pause: with it, what presence costs a node at most, however many users come
/// and go at once.
const TOLD_AT_ONCE: usize = 10_000;
/// The pause.
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that telling touches.
pub struct Teller {
    pub watches: Arc<Watches>,
    pub routes: Arc<Routes>,
    pub links: Arc<Links>,
    pub log: Arc<PresenceLog>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    /// How long a fall must last before it is told.
    pub grace: Duration,
}

impl Teller {
    /// Tells changes until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let began = Instant::now();
        let mut falling = Falling::new(millis(self.grace));
        loop {
            let due = falling.next_due().map(|due| began + Duration::from_millis(due));
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.watches.wake.notified() => {}
                () = wait => {}
            }
            while self.step(&mut falling, began) {
                if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Looks at everybody noted and due; true if it stopped early because enough was told.
    fn step(&self, falling: &mut Falling, began: Instant) -> bool {
        let mut left = TOLD_AT_ONCE;
        while left > 0 {
            let now = millis(began.elapsed());
            let noted = self.watches.presence.lock().take(USERS_AT_ONCE);
            let none = noted.is_empty();
            for (user, why) in noted {
                left = left.saturating_sub(self.look(&user, why, falling, now));
            }
            let Some((user, fall)) = falling.take_due(now) else {
                if none {
                    return false;
                }
                continue;
            };
            left = left.saturating_sub(self.tell(&user, fall.to, fall.at_ms));
        }
        self.metrics.presence_pauses.add(1);
        true
    }

    /// Compares what a user is with what was told; how many devices were told.
    fn look(&self, user: &Arc<UserKey>, why: Noted, falling: &mut Falling, now: u64) -> usize {
        let (tenant, name) = user.texts();
        let seen = self.routes.seen(tenant, name);
        if seen.actual < seen.told {
            falling.fell(user, seen.actual, now, self.clock.unix_millis());
        } else {
            falling.rose(user);
        }
        if seen.actual > seen.told {
            return self.tell(user, seen.actual, self.clock.unix_millis());
        }
        if let (Some(last_seen_ms), PresenceState::Offline) = (why.ghost, seen.shown()) {
            self.log.record(tenant, name, PresenceState::Offline, last_seen_ms);
        }
        if why.unwritten && seen.told > PresenceState::Offline {
            self.log.record(tenant, name, seen.told, seen.since_ms);
        }
        if why.again { self.push(user, seen.told, seen.since_ms) } else { 0 }
    }

    fn tell(&self, user: &UserKey, state: PresenceState, at_ms: i64) -> usize {
        let (tenant, name) = user.texts();
        if !self.routes.tell(tenant, name, state, at_ms) {
            // It has changed meanwhile, and whoever changed it has noted the user, or is about to.
            self.watches.changed(tenant, name);
            return 0;
        }
        self.log.record(tenant, name, state, at_ms);
        self.push(user, state, at_ms)
    }

    /// Tells the watchers; how many.
    fn push(&self, user: &UserKey, state: PresenceState, since_ms: i64) -> usize {
        let watchers = self.watches.presence.lock().watchers(user);
        if watchers.is_empty() {
            return 0;
        }
        self.metrics.presence_changes.add(1);
        let presence = told(user.texts().1.to_owned(), state, since_ms);
        let frame = ServerFrame { session_seq: 0, re: 0, body: Some(Body::Presence(presence)) };
        let frame = Bytes::from(frame.encode_to_vec());
        let mut targets: BTreeMap<NodeId, Vec<Target>> = BTreeMap::new();
        for watcher in &watchers {
            let target = Target { device_id: watcher.device, epoch: watcher.epoch };
            targets.entry(watcher.connector).or_default().push(target);
        }
        for (connector, targets) in targets {
            let push = Push { targets, frame: frame.clone(), ..Default::default() };
            self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        }
        watchers.len()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
