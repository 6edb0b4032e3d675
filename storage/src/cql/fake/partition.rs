//! One partition of the log table under conditional writes.

use std::collections::BTreeMap;

use crate::cql::tables::{BucketHead, Cas, Commit, EntryRange, EntryRow};

/// A conditional write.
#[derive(Clone, Debug)]
pub(super) enum Conditional {
    Fence { was: Option<u64>, epoch: u64 },
    Commit(Box<Commit>),
}

/// What is decided, and what readers may still see in its stead.
#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    decided: Rows,
    /// The rows before a write that is decided and has not reached a quorum of readers yet.
    before: Option<Box<Rows>>,
    /// Accepted by too few to be decided; its condition was true.
    pending: Option<Conditional>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    epoch: Option<u64>,
    /// Timestamps of the epoch and of the end, where they are written plainly.
    epoch_at: u64,
    end_at: u64,
    head: BucketHead,
    /// With the time at which each is gone, microseconds.
    entries: BTreeMap<u64, (EntryRow, u64)>,
}

impl Partition {
    /// Completes what is pending, or makes it fail for ever.
    pub(super) fn settle(&mut self, completes: bool, now: u64) {
        self.before = None;
        if let Some(pending) = self.pending.take()
            && completes
        {
            self.decided.apply(pending, now);
        }
    }

    pub(super) fn perform(&mut self, write: Conditional, now: u64) -> Cas {
        if !self.decided.allows(&write) {
            return Cas::NotApplied;
        }
        self.before = Some(Box::new(self.decided.clone()));
        self.decided.apply(write, now);
        Cas::Applied
    }

    /// Some replicas accept it.
    pub(super) fn accept(&mut self, write: Conditional) {
        self.pending = Some(write).filter(|write| self.decided.allows(write));
    }

    /// What was decided has reached a quorum of readers.
    pub(super) fn show(&mut self) {
        self.before = None;
    }

    /// What a quorum of readers sees: the latest, or, while it is on its way, perhaps what was before. Whoever has
    /// seen the latest has made sure that all others do.
    pub(super) fn seen(&mut self, lags: bool) -> &Rows {
        if !lags {
            self.before = None;
        }
        self.before.as_deref().unwrap_or(&self.decided)
    }

    /// Where the log is decided to end.
    pub(super) fn tip(&self) -> u64 {
        self.decided.head.end.as_ref().map_or(0, |end| end.tip)
    }

    /// A plain write of what a ledger has committed.
    pub(super) fn put(&mut self, commit: Commit, at: u64, now: u64) {
        self.put_epoch(commit.epoch, at);
        let rows = &mut self.decided;
        if at >= rows.end_at {
            (rows.head.end, rows.end_at) = (Some(commit.end), at);
        }
        let ends = ends(commit.ttl, now);
        rows.entries.extend(commit.entries.into_iter().map(|row| (row.seq, (row, ends))));
    }

    pub(super) fn put_epoch(&mut self, epoch: u64, at: u64) {
        let rows = &mut self.decided;
        if at >= rows.epoch_at {
            (rows.epoch, rows.head.epoch, rows.epoch_at) = (Some(epoch), epoch, at);
        }
    }

    pub(super) fn trim(&mut self) {
        self.decided.entries.clear();
        self.before = None;
    }
}

impl Rows {
    fn allows(&self, write: &Conditional) -> bool {
        match write {
            Conditional::Fence { was, .. } => self.epoch == *was,
            Conditional::Commit(commit) => {
                let tip = self.head.end.as_ref().map(|end| end.tip);
                self.epoch == commit.expected.epoch && tip == commit.expected.tip
            }
        }
    }

    fn apply(&mut self, write: Conditional, now: u64) {
        match write {
            Conditional::Fence { epoch, .. } => self.epoch = Some(epoch),
            Conditional::Commit(commit) => {
                let ends = ends(commit.ttl, now);
                self.epoch = Some(commit.epoch);
                self.head.end = Some(commit.end);
                self.entries.extend(commit.entries.into_iter().map(|row| (row.seq, (row, ends))));
            }
        }
        self.head.epoch = self.epoch.unwrap_or_default();
    }

    /// `None` for an absent partition.
    pub(super) fn head(&self) -> Option<BucketHead> {
        self.epoch.map(|_| self.head.clone())
    }

    pub(super) fn entries(&self, range: EntryRange, now: u64) -> Vec<EntryRow> {
        if range.first > range.last {
            return Vec::new();
        }
        let rows = self.entries.range(range.first..=range.last).map(|(_, row)| row);
        let rows: Vec<&EntryRow> = rows.filter(|(_, ends)| *ends > now).map(|(row, _)| row).collect();
        let mut bytes = 0;
        let mut fits = |row: &&EntryRow| {
            let room = bytes < range.max_bytes;
            bytes += row.payload.len();
            room
        };
        let mut rows: Vec<EntryRow> = if range.backwards {
            rows.into_iter().rev().take(range.limit).take_while(&mut fits).cloned().collect()
        } else {
            rows.into_iter().take(range.limit).take_while(&mut fits).cloned().collect()
        };
        if range.backwards {
            rows.reverse();
        }
        rows
    }
}

/// When entries are gone, microseconds.
fn ends(ttl: Option<u32>, now: u64) -> u64 {
    ttl.map_or(u64::MAX, |ttl| now + u64::from(ttl) * 1_000_000)
}
