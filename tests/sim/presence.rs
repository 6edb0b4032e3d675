//! Presence: the simulated store's streams, and what the backend reads of them.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use storage::StoreError;
use storage::presence::{
    EVENTS_KEPT, EventPage, MAX_EVENTS, PresenceChange, PresenceEvent, PresenceEvents, PresenceState,
    PresentPage, RecordOutcome, UserName,
};
use tokio::sync::oneshot;

use crate::data::Data;
use crate::device::Device;
use crate::hub::Out;
use crate::jobs::{Job, JobBody, SimStore, gone};
use crate::mutant::Mutant;
use crate::support::history::{Event, Op, Presence, Standing};
use crate::world::World;

/// Changes on their way to the store.
pub struct Record {
    pub tenant: String,
    pub epoch: u64,
    pub changes: Vec<PresenceChange>,
}

/// The streams of all tenants, and when nodes were alive. At most [`EVENTS_KEPT`] events fit a run.
#[derive(Clone, Default)]
pub struct Streams {
    tenants: BTreeMap<String, Stream>,
    beats: BTreeMap<u64, i64>,
}

#[derive(Clone, Default)]
struct Stream {
    epoch: u64,
    events: Vec<PresenceEvent>,
    standings: BTreeMap<String, storage::presence::Standing>,
}

impl Streams {
    /// Where a user stands, as some other store has it.
    pub fn stand(&mut self, tenant: String, user: String, standing: storage::presence::Standing) {
        self.tenants.entry(tenant).or_default().standings.insert(user, standing);
    }

    /// The next events of a tenant.
    pub fn tell(&mut self, tenant: &str, events: Vec<PresenceEvent>) {
        self.tenants.entry(tenant.to_owned()).or_default().events.extend(events);
    }

    pub fn tenants(&self) -> Vec<String> {
        self.tenants.keys().cloned().collect()
    }
}

impl Data {
    fn take_presence(&mut self, tenant: &str) -> u64 {
        let stream = self.streams.tenants.entry(tenant.to_owned()).or_default();
        stream.epoch += 1;
        stream.epoch
    }

    pub fn record(&mut self, record: &Record) -> RecordOutcome {
        let mutant = self.mutant;
        let stream = self.streams.tenants.entry(record.tenant.clone()).or_default();
        if stream.epoch != record.epoch {
            return RecordOutcome::Conflict;
        }
        for PresenceChange { user, state, at_ms } in &record.changes {
            let known = stream.standings.get(user).map_or_else(Default::default, |standing| standing.state);
            if known == *state && mutant != Some(Mutant::PresenceTwice) {
                continue;
            }
            let seq = stream.events.len() as u64 + 1;
            let (user, state, at_ms) = (user.clone(), *state, *at_ms);
            let standing = storage::presence::Standing { state, since_ms: at_ms, seq };
            if mutant != Some(Mutant::StandingStays) || state != PresenceState::Offline {
                stream.standings.insert(user.clone(), standing);
            }
            stream.events.push(PresenceEvent { seq, user, state, at_ms, epoch: record.epoch });
        }
        RecordOutcome::Applied { tip: stream.events.len() as u64 }
    }

    fn events(&self, tenant: &str, after: u64, limit: usize) -> EventPage {
        let all = self.streams.tenants.get(tenant).map_or(&[][..], |stream| &stream.events);
        let tip = all.len() as u64;
        assert!(tip <= EVENTS_KEPT, "a run is short");
        let events = all.iter().filter(|event| event.seq > after).take(limit.min(MAX_EVENTS));
        EventPage { first_kept: 1, tip, events: events.cloned().collect() }
    }

    fn standing(&self, tenant: &str, user: &str) -> Option<storage::presence::Standing> {
        self.streams.tenants.get(tenant)?.standings.get(user).copied()
    }

    fn present(&self, after: Option<&UserName>, rows: usize) -> PresentPage {
        let all = self.streams.tenants.iter().flat_map(|(tenant, stream)| {
            stream.standings.iter().map(move |(user, standing)| ((tenant.clone(), user.clone()), *standing))
        });
        let mut all = all.filter(|(name, _)| after.is_none_or(|after| name > after)).peekable();
        let (mut page, mut last) = (PresentPage::default(), None);
        for (name, standing) in all.by_ref().take(rows) {
            last = Some(name.clone());
            if standing.state != PresenceState::Offline {
                page.users.push((name, standing));
            }
        }
        page.next = last.filter(|_| all.peek().is_some());
        page
    }
}

impl PresenceEvents for SimStore {
    fn take<'a>(&'a self, tenant: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        let named = tenant.to_owned();
        self.ask(format!("take presence of {tenant}"), true, move |data| data.take_presence(&named))
    }

    fn record<'a>(
        &'a self,
        tenant: &'a str,
        epoch: u64,
        changes: Vec<PresenceChange>,
    ) -> BoxFuture<'a, RecordOutcome> {
        let (answer, outcome) = oneshot::channel();
        let told: Vec<_> =
            changes.iter().map(|change| format!("{} {:?}", change.user, change.state)).collect();
        let what = format!("record {tenant} epoch {epoch}: {}", told.join(", "));
        let record = Record { tenant: tenant.to_owned(), epoch, changes };
        self.hub.put(Out::Job(Job { what, body: JobBody::Record(record, answer) }));
        outcome.map(|answer| answer.unwrap_or_else(|_| RecordOutcome::Unknown(gone()))).boxed()
    }

    fn events<'a>(
        &'a self,
        tenant: &'a str,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<EventPage, StoreError>> {
        let named = tenant.to_owned();
        let what = format!("events of {tenant} after {after}");
        self.ask(what, false, move |data| data.events(&named, after, limit))
    }

    fn standings<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<storage::presence::Standing>>, StoreError>> {
        let (named, users) = (tenant.to_owned(), users.to_vec());
        let read = move |data: &mut Data| users.iter().map(|user| data.standing(&named, user)).collect();
        self.ask(format!("standings of {tenant}"), false, read)
    }

    fn present(
        &self,
        after: Option<UserName>,
        rows: usize,
    ) -> BoxFuture<'_, Result<PresentPage, StoreError>> {
        self.ask("who is present".into(), false, move |data| data.present(after.as_ref(), rows))
    }

    fn beat(&self, node: u64, at_ms: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(format!("beat of {node:x}"), true, move |data| {
            data.streams.beats.insert(node, at_ms);
        })
    }

    fn last_beat(&self, node: u64) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        self.ask(format!("last beat of {node:x}"), false, move |data| data.streams.beats.get(&node).copied())
    }
}

impl World {
    /// Of whom the stream says that they are offline; the history judges whether they are.
    pub fn said(&mut self, record: &Record) {
        for change in record.changes.iter().filter(|change| change.state == PresenceState::Offline) {
            let of = |device: &&Device| (&device.tenant, &device.user) == (&record.tenant, &change.user);
            let longest = self.devices.iter().filter(of).filter(|device| device.reachable);
            if let Some(device) = longest.min_by_key(|device| device.reachable_since) {
                let user = format!("{}/{}", record.tenant, change.user);
                let (device, reachable_ms) = (device.number, self.now - device.reachable_since);
                self.history.push(Event::SaidOffline { user, device, reachable_ms });
            }
        }
    }

    /// The backend reads a part of a tenant's stream, through the gateway.
    pub fn reads_stream(&mut self, d: usize) {
        let Some(up) = self.gateway_up() else { return };
        let tenant = self.devices[d].tenant.clone();
        let op = self.history.asks_stream(&tenant);
        let (after, limit) = (self.rng.range(0, 40), *self.rng.pick(&[3, MAX_EVENTS]));
        let after = if self.rng.chance(500) { 0 } else { after };
        let hub = self.gateways[up].hub.clone();
        self.gateways[up].run(|parts| {
            let node = parts.node.clone();
            async move {
                let Some(node) = node else { return };
                if let Ok(page) = node.presence_events(&tenant, after, limit).await {
                    hub.put(Out::Stream { op, after, limit, page });
                }
            }
        });
    }

    pub fn stream_read(&mut self, op: Op, after: u64, limit: usize, page: EventPage) {
        self.note_world(format!("the presence stream ends at #{}", page.tip));
        let (limit, tip) = (limit as u64, page.tip);
        let events = page.events.into_iter().map(presence).collect();
        self.history.push(Event::StreamRead { op, after, limit, tip, events });
    }

    /// Records the streams as they are stored, and what devices make of their users.
    pub fn final_presence(&mut self) {
        for (tenant, stream) in std::mem::take(&mut self.store.data.streams.tenants) {
            let standings = stream.standings.into_iter();
            let standings = standings.map(|(user, at)| (user, standing(at.state))).collect();
            let events = stream.events.into_iter().map(presence).collect();
            self.history.push(Event::FinalPresence { tenant, events, standings });
        }
        let mut users: BTreeMap<(String, String), Standing> = BTreeMap::new();
        for device in &self.devices {
            let known = users.entry((device.tenant.clone(), device.user.clone())).or_default();
            *known = (*known).max(match (device.is_up(), device.away) {
                (false, _) => Standing::Offline,
                (true, true) => Standing::Away,
                (true, false) => Standing::Online,
            });
        }
        for ((tenant, user), standing) in users {
            self.history.push(Event::PresentAtRest { tenant, user, standing });
        }
    }
}

fn presence(event: PresenceEvent) -> Presence {
    let PresenceEvent { seq, user, state, epoch, .. } = event;
    Presence { seq, user, standing: standing(state), epoch }
}

fn standing(state: PresenceState) -> Standing {
    match state {
        PresenceState::Offline => Standing::Offline,
        PresenceState::Away => Standing::Away,
        PresenceState::Online => Standing::Online,
    }
}
