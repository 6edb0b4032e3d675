//! What the store has done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::log::AppendOutcome;

/// Counts since the store was opened. An append is counted once, by what its caller was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Appends applied.
    pub appends: u64,
    /// Entries they held.
    pub entries: u64,
    /// Appends refused because somebody else had appended or taken the log over: none of them is stored.
    pub conflicts: u64,
    /// Those of them that the cluster refused: they were stale, and the condition was what kept them out. The others were
    /// not sent, because their log was seen to have moved on.
    pub stale: u64,
    /// Appends not made because the cluster was out of reach.
    pub refused: u64,
    /// Appends of which nobody knew whether they were applied until their log was opened again.
    pub unknown: u64,
    /// Logs taken over.
    pub opens: u64,
    /// Conditional rounds of ledgers.
    pub rounds: u64,
    /// Ledgers taken over.
    pub ledgers: u64,
}

/// The same, counting. Numbers that order nothing else, so every access is relaxed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    appends: AtomicU64,
    entries: AtomicU64,
    conflicts: AtomicU64,
    stale: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    opens: AtomicU64,
    rounds: AtomicU64,
    ledgers: AtomicU64,
}

impl Counters {
    pub(super) fn appended(&self, outcome: &AppendOutcome, entries: usize) {
        let counter = match outcome {
            AppendOutcome::Applied => {
                self.entries.fetch_add(entries as u64, Relaxed);
                &self.appends
            }
            AppendOutcome::Conflict { .. } => &self.conflicts,
            AppendOutcome::Refused(_) => &self.refused,
            AppendOutcome::Unknown(_) => &self.unknown,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    pub(super) fn opened(&self) {
        self.opens.fetch_add(1, Relaxed);
    }

    pub(super) fn round(&self) {
        self.rounds.fetch_add(1, Relaxed);
    }

    pub(super) fn ledger(&self) {
        self.ledgers.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        Stats {
            appends: self.appends.load(Relaxed),
            entries: self.entries.load(Relaxed),
            conflicts: self.conflicts.load(Relaxed),
            stale: self.stale.load(Relaxed),
            refused: self.refused.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            opens: self.opens.load(Relaxed),
            rounds: self.rounds.load(Relaxed),
            ledgers: self.ledgers.load(Relaxed),
        }
    }
}
