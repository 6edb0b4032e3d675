//! What the store has done.

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
    /// Rows looked up by their key, found or not, by reads and by the writer. What a commit in the making already holds
    /// is not looked up.
    pub point_reads: u64,
    /// Ranges of rows begun, however many rows each had.
    pub range_reads: u64,
}

/// The same, counting. Numbers that order nothing else, so every access is relaxed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    appends: AtomicU64,
    entries: AtomicU64,
    fsyncs: AtomicU64,
    point_reads: AtomicU64,
    range_reads: AtomicU64,
}

impl Counters {
    /// Adds what a commit did; reads are counted as they happen.
    pub(super) fn add(&self, stats: Stats) {
        self.commits.fetch_add(stats.commits, Relaxed);
        self.appends.fetch_add(stats.appends, Relaxed);
        self.entries.fetch_add(stats.entries, Relaxed);
        self.fsyncs.fetch_add(stats.fsyncs, Relaxed);
    }

    pub(super) fn point_read(&self) {
        self.point_reads.fetch_add(1, Relaxed);
    }

    pub(super) fn range_read(&self) {
        self.range_reads.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        Stats {
            commits: self.commits.load(Relaxed),
            appends: self.appends.load(Relaxed),
            entries: self.entries.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            point_reads: self.point_reads.load(Relaxed),
            range_reads: self.range_reads.load(Relaxed),
        }
    }
}
