//! Writes the presence stream, and settles what an earlier run of this node has left in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use idgen::{Clock, NodeId};
use parking_lot::Mutex;
use storage::presence::{EventPage, PresenceEvents, PresenceState, RecordOutcome};
use storage::{Store, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::peers::{Peers, UNSURE};
use crate::pending::{Pending, Taken};
use crate::presence::Noted;
use crate::watch::Watches;

/// Changes recorded by one write.
const RECORDED_AT_ONCE: usize = 512;
/// How often the node says that it is alive. After a crash, who was online was last seen at the latest beat.
pub const BEAT: Duration = Duration::from_secs(30);
/// Times that a stream is taken over in a row before it is left to others for a while.
const MAX_CONFLICTS: usize = 16;
/// Wait after a failure of the store.
const BACKOFF: Duration = Duration::from_secs(1);
/// Standings looked at by one read after a start.
const STANDINGS_AT_ONCE: usize = 1_000;
/// Tenants whose log is held open; past it all are taken over afresh.
const MAX_TENANTS: usize = 4_096;

/// The node's way to the presence stream.
pub struct PresenceLog {
    store: Arc<dyn Store>,
    node: NodeId,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    pending: Mutex<Pending>,
    wake: Notify,
    unsettled: AtomicBool,
    peers: Option<Arc<Peers>>,
}

impl PresenceLog {
    pub fn new(
        store: Arc<dyn Store>,
        node: NodeId,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        peers: Option<Arc<Peers>>,
    ) -> Self {
        let (pending, wake, unsettled) = (Mutex::default(), Notify::new(), AtomicBool::new(true));
        Self { store, node, clock, metrics, pending, wake, unsettled, peers }
    }

    /// Has a user's new state recorded. It waits with others for the next write.
    pub fn record(&self, tenant: &str, user: &str, state: PresenceState, at_ms: i64) {
        if self.store.presence().is_some() {
            self.pending.lock().push(tenant, user, state, at_ms);
            self.wake.notify_one();
        }
    }

    /// Another node may have written of users who are not here: they are looked for once more.
    pub fn settle_again(&self) {
        self.unsettled.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// A part of a tenant's stream, for the backend: events after the seq `after`.
    ///
    /// # Errors
    /// From the store; UNAVAILABLE where it keeps no presence.
    pub async fn events(&self, tenant: &str, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        match self.store.presence() {
            Some(stream) => stream.events(tenant, after, limit).await,
            None => Err(StoreError::Unavailable("this store keeps no presence".into())),
        }
    }

    /// Records until stopped, and then what is left. `grace` after the start, users whom the stream shows as
    /// present and who are not connected are noted in `watches` as ghosts.
    pub async fn run(self: Arc<Self>, watches: Arc<Watches>, grace: Duration, stop: CancellationToken) {
        let Some(stream) = self.store.presence() else { return };
        let mut epochs = BTreeMap::new();
        // By then connectors have told of their sessions.
        let grace = self.peers.as_ref().map_or(grace, |_| grace.max(UNSURE));
        let mut settled = Settling { due: Instant::now() + grace, after: None, last_beat: None, done: true };
        let mut beat = Instant::now() + BEAT;
        loop {
            if self.unsettled.swap(false, Ordering::Relaxed) {
                settled = Settling { after: None, last_beat: None, done: false, ..settled };
            }
            let timer = if settled.done { beat } else { settled.due };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(timer) => {}
            }
            let now = Instant::now();
            if !settled.done && now >= settled.due {
                self.settle(stream, &watches, &mut settled).await;
            } else if settled.done && now >= beat {
                // The first beat comes after the settling, which needs the last one of the run before.
                self.beat(stream).await;
                beat = now + BEAT;
            }
            if !self.flush(stream, &mut epochs).await {
                self.metrics.presence_delays.add(1);
                stop.run_until_cancelled(tokio::time::sleep(BACKOFF)).await;
                self.wake.notify_one();
            }
        }
        self.flush(stream, &mut epochs).await;
        if settled.done {
            self.beat(stream).await;
        }
    }

    async fn beat(&self, stream: &dyn PresenceEvents) {
        if let Err(error) = stream.beat(self.node.as_u64(), self.clock.unix_millis()).await {
            tracing::debug!(%error, "the store took no beat");
        }
    }

    /// One part of the users who are present in the stream; who is not connected was last seen at the last beat.
    async fn settle(&self, stream: &dyn PresenceEvents, watches: &Watches, settling: &mut Settling) {
        let page = match self.ghosts(stream, settling).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%error, "presence of the run before is not settled yet");
                settling.due = Instant::now() + BACKOFF;
                return;
            }
        };
        for ((tenant, user), since_ms) in page {
            let last_seen_ms = settling.last_beat.map_or(since_ms, |beat| beat.max(since_ms));
            watches.note(&tenant, &user, Noted { ghost: Some(last_seen_ms), ..Noted::default() });
        }
    }

    async fn ghosts(
        &self,
        stream: &dyn PresenceEvents,
        settling: &mut Settling,
    ) -> Result<Vec<((String, String), i64)>, StoreError> {
        if settling.last_beat.is_none() {
            settling.last_beat = stream.last_beat(self.node.as_u64()).await?;
        }
        let page = stream.present(settling.after.clone(), STANDINGS_AT_ONCE).await?;
        settling.done = page.next.is_none();
        settling.after = page.next;
        // Those of other nodes are theirs to look for.
        let is_own = |(tenant, user): &(String, String)| {
            self.peers.as_ref().is_none_or(|peers| peers.owns(tenant, user))
        };
        let own = page.users.into_iter().filter(|(name, _)| is_own(name));
        Ok(own.map(|(name, standing)| (name, standing.since_ms)).collect())
    }

    /// Records all that waits; false if the store refuses.
    async fn flush(&self, stream: &dyn PresenceEvents, epochs: &mut BTreeMap<String, u64>) -> bool {
        let mut conflicts = 0;
        loop {
            let Some(taken) = self.pending.lock().take(RECORDED_AT_ONCE) else { return true };
            let tenant = taken.tenant.clone();
            let had_epoch = epochs.contains_key(&tenant);
            if let Err(taken) = self.write(stream, epochs, taken).await {
                self.pending.lock().put_back(taken);
                // Several nodes write one stream in turn: each takes it over where another has written since.
                let taken_over = had_epoch && !epochs.contains_key(&tenant);
                conflicts += 1;
                if !taken_over || conflicts > MAX_CONFLICTS {
                    return false;
                }
            }
        }
    }

    /// Recording twice is recording once, so whatever is not known to be recorded is recorded again.
    async fn write(
        &self,
        stream: &dyn PresenceEvents,
        epochs: &mut BTreeMap<String, u64>,
        taken: Taken,
    ) -> Result<(), Taken> {
        let tenant = taken.tenant.as_str();
        let epoch = match epochs.get(tenant) {
            Some(epoch) => *epoch,
            None => match stream.take(tenant).await {
                Ok(epoch) => {
                    if epochs.len() >= MAX_TENANTS {
                        epochs.clear();
                    }
                    epochs.insert(tenant.to_owned(), epoch);
                    epoch
                }
                Err(error) => {
                    tracing::debug!(%error, "the presence stream is out of reach");
                    return Err(taken);
                }
            },
        };
        let changes = taken.changes.iter().map(|(_, change)| change.clone()).collect();
        match stream.record(tenant, epoch, changes).await {
            RecordOutcome::Applied { .. } => {
                self.metrics.presence_recorded.add(taken.changes.len() as u64);
                Ok(())
            }
            outcome => {
                tracing::debug!(?outcome, "presence is not recorded yet");
                epochs.remove(tenant);
                Err(taken)
            }
        }
    }
}

/// How far the look at the run before has come.
struct Settling {
    due: Instant,
    after: Option<(String, String)>,
    last_beat: Option<i64>,
    done: bool,
}
