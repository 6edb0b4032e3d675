//! The presence stream of a tenant: a log like any other, under the same conditions. Where each user stands follows
//! from it.

use std::collections::{BTreeMap, HashMap};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::append::Settled;
use super::rows::{decode, encode};
use super::tables::{Bucket, Commit, End, EntryRow, LogName, Tables, Write};
use super::tail::Tail;
use super::{CqlStore, Found};
use crate::error::StoreError;
use crate::log::{BatchId, ReadRange};
use crate::presence::*;
use crate::rows::EventRow;

/// How often a batch of events is tried again because another of the same writer came before it.
const TURNS: usize = 8;

impl<T: Tables> PresenceEvents for CqlStore<T> {
    fn take<'a>(&'a self, tenant: &'a str) -> BoxFuture<'a, Found<u64>> {
        self.take_stream(tenant).boxed()
    }

    fn record<'a>(
        &'a self,
        tenant: &'a str,
        epoch: u64,
        changes: Vec<PresenceChange>,
    ) -> BoxFuture<'a, RecordOutcome> {
        async move { self.try_record(tenant, epoch, &changes).await.unwrap_or_else(RecordOutcome::Refused) }
            .boxed()
    }

    fn events<'a>(&'a self, tenant: &'a str, after: u64, limit: usize) -> BoxFuture<'a, Found<EventPage>> {
        self.page(tenant, after, limit).boxed()
    }

    fn standings<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Found<Vec<Option<Standing>>>> {
        self.tables.standings(tenant, users)
    }

    fn present(&self, after: Option<UserName>, rows: usize) -> BoxFuture<'_, Found<PresentPage>> {
        async move {
            let mut looked = self.tables.all_standings(after.as_ref(), rows.saturating_add(1)).await?;
            let more = looked.len() > rows;
            looked.truncate(rows);
            let next = looked.last().filter(|_| more).map(|(name, _)| name.clone());
            looked.retain(|(_, standing)| standing.state != PresenceState::Offline);
            Ok(PresentPage { users: looked, next })
        }
        .boxed()
    }

    fn beat(&self, node: u64, at_ms: i64) -> BoxFuture<'_, Found<()>> {
        self.tables.write(vec![Write::Beat { node, at_ms }])
    }

    fn last_beat(&self, node: u64) -> BoxFuture<'_, Found<Option<i64>>> {
        self.tables.beat(node)
    }
}

impl<T: Tables> CqlStore<T> {
    async fn take_stream(&self, tenant: &str) -> Found<u64> {
        let log = LogName::Presence(tenant.to_owned());
        self.recall(&log);
        let tail = self.take(&log).await?;
        self.settle_stream(tenant, &tail).await?;
        let epoch = tail.epoch;
        self.remember(tail);
        Ok(epoch)
    }

    /// Redoes what follows from the last batch.
    async fn settle_stream(&self, tenant: &str, tail: &Tail) -> Found<()> {
        if tail.end.tip == 0 {
            return Ok(());
        }
        let rows = self.last_entries(tail).await?;
        let events = rows.iter().map(|row| event(tenant, row)).collect::<Found<Vec<_>>>()?;
        self.tables.write(standings_of(tenant, &events, tail.end.tip)).await
    }

    /// An error says that nothing was recorded.
    async fn try_record(&self, tenant: &str, epoch: u64, changes: &[PresenceChange]) -> Found<RecordOutcome> {
        let log = LogName::Presence(tenant.to_owned());
        for _ in 0..TURNS {
            let tail = match self.recall(&log).filter(|tail| tail.epoch == epoch) {
                Some(tail) => tail,
                None => {
                    // What this writer did last may be unsettled: standings must be those of the end.
                    let tail = self.locate(&log).await?;
                    if tail.epoch == epoch {
                        self.settle_stream(tenant, &tail).await?;
                    }
                    tail
                }
            };
            if tail.epoch != epoch || epoch == 0 {
                return Ok(RecordOutcome::Conflict);
            }
            let events = self.events_of(tenant, &tail, changes).await?;
            if events.is_empty() {
                let tip = tail.end.tip;
                self.remember(tail);
                return Ok(RecordOutcome::Applied { tip });
            }
            match self.commit_events(tenant, tail, &events).await? {
                Settled::Applied => return Ok(RecordOutcome::Applied { tip: events[events.len() - 1].seq }),
                // Another batch of this writer was faster.
                Settled::Lost { epoch: now, .. } if now == epoch => {}
                Settled::Lost { .. } => return Ok(RecordOutcome::Conflict),
                Settled::Unknown(error) => return Ok(RecordOutcome::Unknown(error)),
            }
        }
        Err(StoreError::Unavailable("the writer of this stream stands in its own way".into()))
    }

    /// What of the changes is one.
    async fn events_of(&self, tenant: &str, tail: &Tail, changes: &[PresenceChange]) -> Found<Vec<EventRow>> {
        let mut users: Vec<String> = changes.iter().map(|change| change.user.clone()).collect();
        users.sort_unstable();
        users.dedup();
        let standings = self.tables.standings(tenant, &users).await?;
        let state = |standing: Option<Standing>| standing.map_or_else(Default::default, |found| found.state);
        let mut known: HashMap<String, PresenceState> =
            users.into_iter().zip(standings.into_iter().map(state)).collect();
        let mut events = Vec::new();
        for PresenceChange { user, state, at_ms } in changes {
            if known.insert(user.clone(), *state) != Some(*state) {
                let seq = tail.end.tip + events.len() as u64 + 1;
                events.push(EventRow {
                    seq,
                    epoch: tail.epoch,
                    state: *state,
                    at_ms: *at_ms,
                    user: user.clone(),
                });
            }
        }
        Ok(events)
    }

    async fn commit_events(&self, tenant: &str, tail: Tail, events: &[EventRow]) -> Found<Settled> {
        let log = tail.bucket.log.clone();
        self.check_size(&log, events.len())?;
        let (base, tip) = (tail.end.tip, tail.end.tip + events.len() as u64);
        let version = self.tables.now().max(tail.changed + 1);
        let batch = batch_id(tail.epoch, self.tables.now());
        let end = End { tip, base, batch, version, ..End::default() };
        let commit = Commit {
            bucket: tail.bucket.clone(),
            expected: tail.expected,
            epoch: tail.epoch,
            end: end.clone(),
            entries: entries_of(events, end.batch),
            ttl: None,
        };
        match self.commit(commit).await? {
            Settled::Applied => {}
            other => return Ok(other),
        }
        if let Err(error) = self.tables.write(standings_of(tenant, events, tip)).await {
            return Ok(Settled::Unknown(error));
        }
        if tail.expected.tip.is_none() {
            self.trim(&tail.bucket, version).await;
        }
        let next = self.config.format.bucket(&log, tip)?;
        self.remember(tail.followed_by(end, version, next));
        Ok(Settled::Applied)
    }

    /// Removes the events of the bucket that has just become too old: the last batch of it may reach into the next.
    async fn trim(&self, newest: &Bucket, at: u64) {
        let kept = EVENTS_KEPT.div_ceil(self.config.format.seqs(&newest.log));
        let old = u64::from(newest.number).checked_sub(kept + 2);
        let Some(number) = old.and_then(|number| u32::try_from(number).ok()) else { return };
        let bucket = Bucket { log: newest.log.clone(), number };
        if let Err(error) = self.write(vec![Write::Trim { bucket, at }]).await {
            tracing::debug!(log = %newest.log, number, %error, "old events stay");
        }
    }

    async fn page(&self, tenant: &str, after: u64, limit: usize) -> Found<EventPage> {
        let tip = self.tables.presence_tip(tenant).await?;
        let first_kept = tip.saturating_sub(EVENTS_KEPT) + 1;
        let range = ReadRange {
            first: after.saturating_add(1).max(first_kept),
            last: tip,
            backwards: false,
            max_entries: limit.min(MAX_EVENTS),
            max_bytes: usize::MAX,
        };
        let rows = self.rows_of(&LogName::Presence(tenant.to_owned()), range).await?;
        let told = |row: &EntryRow| {
            let EventRow { seq, epoch, state, at_ms, user } = event(tenant, row)?;
            Ok(PresenceEvent { seq, user, state, at_ms, epoch })
        };
        Ok(EventPage { first_kept, tip, events: rows.iter().map(told).collect::<Found<_>>()? })
    }
}

fn event(tenant: &str, row: &EntryRow) -> Found<EventRow> {
    let what = || format!("event {} of the presence of {tenant}", row.seq);
    let event: EventRow = decode(&row.payload, what)?;
    if event.seq == row.seq { Ok(event) } else { Err(StoreError::Corrupt(format!("{} is another", what()))) }
}

/// Unique in a stream: an epoch has one writer, and its clock rises.
fn batch_id(epoch: u64, now: u64) -> BatchId {
    (u128::from(epoch) << 64 | u128::from(now)).to_be_bytes()
}

fn entries_of(events: &[EventRow], batch: BatchId) -> Vec<EntryRow> {
    let row = |(at, event): (usize, &EventRow)| EntryRow {
        seq: event.seq,
        payload: encode(event),
        meta: bytes::Bytes::new(),
        batch: (at == 0).then_some(batch),
    };
    events.iter().enumerate().map(row).collect()
}

/// Where users stand after these events, and where the stream ends.
fn standings_of(tenant: &str, events: &[EventRow], tip: u64) -> Vec<Write> {
    let last: BTreeMap<&str, &EventRow> = events.iter().map(|event| (event.user.as_str(), event)).collect();
    let write = |event: &EventRow| {
        let standing = Standing { state: event.state, since_ms: event.at_ms, seq: event.seq };
        Write::Standing { user: (tenant.to_owned(), event.user.clone()), standing }
    };
    let tip = Write::PresenceTip { tenant: tenant.to_owned(), tip };
    last.into_values().map(write).chain([tip]).collect()
}
