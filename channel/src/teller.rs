//! The task that tells who comes and goes: watching devices at once, and the presence stream.
//!
//! One task, so the last state told of a user is the newest. It looks at the routes as they are when it comes to a
//! user; what has changed in between is told once, as it is then.

use std::sync::Arc;
use std::time::Duration;

use idgen::Clock;
use protocol::node::v1::{Presences, peer};
use storage::presence::PresenceState;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::falling::Falling;
use crate::metrics::Metrics;
use crate::peers::Peers;
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
    pub peers: Option<Arc<Peers>>,
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
        if self.peers.as_ref().is_some_and(|peers| !peers.owns(tenant, name)) {
            falling.rose(user);
            self.routes.hush(tenant, name);
            return 0;
        }
        let seen = self.routes.seen(tenant, name);
        if seen.actual < seen.told {
            falling.fell(user, seen.actual, now, self.clock.unix_millis());
        } else {
            falling.rose(user);
        }
        if seen.actual > seen.told {
            return self.tell(user, seen.actual, self.clock.unix_millis());
        }
        let mut told = 0;
        if let (Some(last_seen_ms), PresenceState::Offline) = (why.ghost, seen.shown()) {
            told += self.end_ghost(user, last_seen_ms);
        }
        if why.unwritten && seen.told > PresenceState::Offline {
            self.log.record(tenant, name, seen.told, seen.since_ms);
        }
        // Nobody hears that a user is offline whose connector may have yet to say that it has the device.
        if why.again && (seen.told != PresenceState::Offline || !self.is_unsure()) {
            told += self.push(user, seen.told, seen.since_ms);
        }
        told
    }

    fn is_unsure(&self) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.is_unsure())
    }

    /// The stream says that a user is there who is not; how many were told.
    fn end_ghost(&self, user: &UserKey, last_seen_ms: i64) -> usize {
        let (tenant, name) = user.texts();
        match &self.peers {
            // Perhaps the user is, and a connector has yet to say so. The stream is gone through again when that is over.
            Some(_) if self.is_unsure() => 0,
            Some(_) => {
                self.log.record(tenant, name, PresenceState::Offline, last_seen_ms);
                // While this node was unsure it has told what the stream says.
                self.push(user, PresenceState::Offline, last_seen_ms)
            }
            None => {
                self.log.record(tenant, name, PresenceState::Offline, last_seen_ms);
                0
            }
        }
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

    /// Tells the watchers, here and elsewhere; how many.
    fn push(&self, user: &UserKey, state: PresenceState, since_ms: i64) -> usize {
        let told = self.watches.push(user, state, since_ms) + self.push_elsewhere(user, state, since_ms);
        if told > 0 {
            self.metrics.presence_changes.add(1);
        }
        told
    }

    fn push_elsewhere(&self, user: &UserKey, state: PresenceState, since_ms: i64) -> usize {
        let Some(peers) = &self.peers else { return 0 };
        let nodes = peers.subscriptions.lock().subscribers(user);
        for node in &nodes {
            let (tenant, name) = user.texts();
            let presences = vec![told(name.to_owned(), state, since_ms)];
            if !peers.say(*node, peer::Body::Presences(Presences { tenant: tenant.to_owned(), presences })) {
                peers.fell_behind(*node);
            }
        }
        nodes.len()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
