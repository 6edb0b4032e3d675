//! What the writer has done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups committed.
    pub commits: u64,
    /// Appends applied.
    pub appends: u64,
    /// Entries they held.
    pub entries: u64,
    /// Waits for the disk: one per commit, none without `sync`.
    pub fsyncs: u64,
}

/// The same, counting. Numbers that order nothing else, so every access is relaxed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    appends: AtomicU64,
    entries: AtomicU64,
    fsyncs: AtomicU64,
}

impl Counters {
    pub(super) fn add(&self, stats: Stats) {
        self.commits.fetch_add(stats.commits, Relaxed);
        self.appends.fetch_add(stats.appends, Relaxed);
        self.entries.fetch_add(stats.entries, Relaxed);
        self.fsyncs.fetch_add(stats.fsyncs, Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        Stats {
            commits: self.commits.load(Relaxed),
            appends: self.appends.load(Relaxed),
            entries: self.entries.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
        }
    }
}
