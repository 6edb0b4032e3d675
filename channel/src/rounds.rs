//! Rounds: what another owner has committed and not told, found and told.
//!
//! Where several nodes share a store, a node may die between a commit and its push, and one that has lost its slots may
//! commit once more before it notices. Nobody is left to tell that. The store's lists know: so for a while after a change
//! of owners each online user's list of changes is read every few seconds, and tips are told to the user's devices.
//! What this node has pushed itself its connectors have seen; they let that end there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use storage::directory::{Listing, Place};
use storage::presence::PresenceState;
use storage::{ConversationKey, Store, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::conversation::action::{Except, Push, Telling};
use crate::fanout::Fanout;
use crate::presence::Noted;
use crate::presence_log::PresenceLog;
use crate::routes::Routes;
use crate::watch::Watches;

/// From one round to the next.
pub const EVERY: Duration = Duration::from_secs(10);
/// For how long rounds are made after a change of owners. A node that has lost its slots must not commit any more by
/// then: its lease has to see to that.
pub const FOR: Duration = Duration::from_secs(60);
/// How far back a change of owners may have begun before this node hears of it, in rounds.
const LOOK_BACK: usize = 4;
/// Users looked at between two pauses, and at once.
const USERS_AT_ONCE: usize = 32;
/// Over how long the reads of a round are spread.
const SPREAD: Duration = Duration::from_secs(5);
/// Conversations of one read.
const ROWS: usize = 64;

/// Makes the rounds of one node.
pub struct Rounds {
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    watches: Arc<Watches>,
    presence: Arc<PresenceLog>,
    fanout: Mutex<Fanout>,
    sole_owner: bool,
    on: AtomicBool,
    /// They are to go on for as long as if they had just begun.
    prolonged: AtomicBool,
    wake: Notify,
}

impl Rounds {
    pub fn new(
        store: Arc<dyn Store>,
        routes: Arc<Routes>,
        watches: Arc<Watches>,
        presence: Arc<PresenceLog>,
        fanout: Fanout,
        sole_owner: bool,
    ) -> Rounds {
        let (fanout, on, wake) = (Mutex::new(fanout), AtomicBool::new(false), Notify::new());
        let prolonged = AtomicBool::new(false);
        Rounds { store, routes, watches, presence, fanout, sole_owner, on, prolonged, wake }
    }

    /// Whether an owner before this node may have left something untold.
    pub fn are_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Owners have changed: rounds are made from now on for a while, unless nobody else can be an owner.
    pub fn begin(&self) {
        if self.sole_owner {
            return;
        }
        self.on.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Something may be left untold as long as this is said again and again: rounds go on, or begin.
    pub fn prolong(&self) {
        if self.are_on() {
            self.prolonged.store(true, Ordering::Relaxed);
        } else {
            self.begin();
        }
    }

    /// The store's version now. Fails as the store does.
    pub async fn version(&self) -> Result<u64, StoreError> {
        let nobody = self.store.listed("", "", Listing::Latest { before: None }, 1).await?;
        Ok(nobody.version)
    }

    /// Makes rounds when they are due, until stopped. The first ones look for what was committed after `version`.
    pub async fn run(self: Arc<Self>, version: u64, stop: CancellationToken) {
        let mut noted = VecDeque::from([version]);
        let mut course: Option<Course> = None;
        let mut tick = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wake.notified() => {
                    let since = course.map_or(noted[0], |course| course.since.min(noted[0]));
                    course = Some(Course { since, next: since, until: Instant::now() + FOR });
                    continue;
                }
                _ = tick.tick() => {}
            }
            if let Some(Course { since, next, until }) = course {
                let prolonged = self.prolonged.swap(false, Ordering::Relaxed);
                let until = if prolonged { Instant::now() + FOR } else { until };
                let is_last = Instant::now() >= until;
                let Some(read) = stop.run_until_cancelled(self.round(since)).await else { return };
                let (since, next) = read.map_or((since, next), |read| (next, read.max(next)));
                let is_over = is_last && read.is_some();
                course = (!is_over).then_some(Course { since, next, until });
                if is_over {
                    self.on.store(false, Ordering::Relaxed);
                    self.presence.settle_again();
                }
            }
            if let Ok(version) = self.version().await {
                noted.push_back(version);
                noted.drain(..noted.len().saturating_sub(LOOK_BACK));
            }
        }
    }

    /// Tells every online user what has changed after `since`; the version up to which that is all. `None` if not every
    /// list could be read.
    async fn round(self: &Arc<Self>, since: u64) -> Option<u64> {
        let users = self.routes.users();
        let pause = SPREAD / u32::try_from(users.len().div_ceil(USERS_AT_ONCE)).unwrap_or(u32::MAX).max(1);
        let (mut lowest, mut failed) = (None::<u64>, false);
        for users in users.chunks(USERS_AT_ONCE) {
            let look =
                |(tenant, user): &(String, String)| self.clone().look(tenant.clone(), user.clone(), since);
            let mut looks: FuturesUnordered<_> = users.iter().map(look).collect();
            while let Some(looked) = looks.next().await {
                match looked {
                    Ok(version) => lowest = Some(lowest.map_or(version, |lowest| lowest.min(version))),
                    Err(error) => {
                        tracing::debug!(%error, "a user's changes cannot be read");
                        failed = true;
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
        (!failed).then(|| lowest.unwrap_or(since))
    }

    /// One user: tells tips, and has the presence stream put right; the version that was read.
    async fn look(self: Arc<Self>, tenant: String, user: String, since: u64) -> Result<u64, StoreError> {
        let (tenant, user) = (tenant.as_str(), user.as_str());
        let mut after = Place { version: since.saturating_add(1), conversation: String::new() };
        let mut version = None;
        loop {
            let listed = self.store.listed(tenant, user, Listing::Changed { after }, ROWS).await?;
            let version = *version.get_or_insert(listed.version);
            for (place, row) in &listed.rows {
                let key = ConversationKey::new(tenant, place.conversation.as_str());
                // Later pushes of a conversation say nothing of whether who has left knows of the leaving.
                let telling = if row.member.is_active() { Telling::IfMissed } else { Telling::Anyway };
                let tip = row.member.visible_tip(row.tip);
                let head = Push::head(&key, [user.into()].into(), tip, Except::Nobody, telling);
                self.fanout.lock().push(&key, head, 0);
            }
            match listed.next {
                Some(next) => after = next,
                None => {
                    self.look_at_presence(tenant, user).await?;
                    return Ok(version);
                }
            }
        }
    }

    /// An earlier owner may have written, after this node, that a user is gone.
    async fn look_at_presence(&self, tenant: &str, user: &str) -> Result<(), StoreError> {
        let Some(stream) = self.store.presence() else { return Ok(()) };
        let standings = stream.standings(tenant, &[user.to_owned()]).await?;
        let stored = standings.into_iter().flatten().next().map(|standing| standing.state);
        let told = self.routes.seen(tenant, user).told;
        if told != PresenceState::Offline && stored != Some(told) {
            self.watches.note(tenant, user, Noted { unwritten: true, ..Noted::default() });
        }
        Ok(())
    }
}

/// Rounds under way.
#[derive(Clone, Copy)]
struct Course {
    /// The version after which the next one looks for changes, and the one behind it: each change is told in two
    /// rounds, for the telling may be lost too.
    since: u64,
    next: u64,
    until: Instant,
}
