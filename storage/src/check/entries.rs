//! The entries of a log, past those that cannot be read.

use super::finding::Fault;
use crate::Store;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{ReadRange, StoredEntry};

/// Entries read at once.
const CHUNK: usize = 256;
/// Bytes of payload read at once.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Unreadable entries one after the other, after which the rest of a log is given up: its end is no end.
const MAX_UNREADABLE: u64 = 1_000;

/// Reads seqs up to `last`, one part after the other.
pub(super) struct Entries<'a> {
    store: &'a dyn Store,
    key: &'a ConversationKey,
    next: u64,
    last: u64,
    /// That could not be read, one after the other, up to here.
    unreadable: u64,
    given_up: bool,
}

/// What was read.
pub(super) struct Part {
    pub(super) entries: Vec<StoredEntry>,
    /// Seqs without an entry.
    pub(super) faults: Vec<(u64, Fault)>,
    /// Seqs that it covers.
    pub(super) seqs: u64,
}

impl<'a> Entries<'a> {
    pub(super) fn new(store: &'a dyn Store, key: &'a ConversationKey, first: u64, last: u64) -> Self {
        Self { store, key, next: first, last, unreadable: 0, given_up: false }
    }

    /// The next part; `None` at the end.
    pub(super) async fn part(&mut self) -> Result<Option<Part>, StoreError> {
        if self.given_up || self.next > self.last {
            return Ok(None);
        }
        let first = self.next;
        let mut part = Part { entries: Vec::new(), faults: Vec::new(), seqs: 0 };
        match self.read(self.last, CHUNK).await {
            Ok(entries) => self.take(entries, self.next, &mut part),
            Err(StoreError::Corrupt(_)) => self.one_by_one(&mut part).await?,
            Err(error) => return Err(error),
        }
        part.seqs = self.next - first;
        if self.unreadable > MAX_UNREADABLE && self.next <= self.last {
            part.faults.push((self.next, Fault::Rest { first: self.next }));
            self.given_up = true;
        }
        Ok(Some(part))
    }

    /// Somewhere among the next entries is one that cannot be read.
    async fn one_by_one(&mut self, part: &mut Part) -> Result<(), StoreError> {
        let until = self.last.min(self.next.saturating_add(CHUNK as u64 - 1));
        while self.next <= until && self.unreadable <= MAX_UNREADABLE {
            let seq = self.next;
            match self.read(seq, 1).await {
                Ok(entries) => self.take(entries, seq, part),
                Err(StoreError::Corrupt(why)) => {
                    part.faults.push((seq, Fault::Unreadable { what: format!("entry {seq}"), why }));
                    self.unreadable += 1;
                    self.next = self.next.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Holds what was read against what must be there, up to `until` at least.
    fn take(&mut self, entries: Vec<StoredEntry>, until: u64, part: &mut Part) {
        for entry in entries {
            self.lacks(entry.seq.saturating_sub(1), part);
            if entry.seq == self.next {
                self.next = self.next.saturating_add(1);
                self.unreadable = 0;
                part.entries.push(entry);
            }
        }
        self.lacks(until, part);
    }

    fn lacks(&mut self, until: u64, part: &mut Part) {
        while self.next <= until.min(self.last) && self.unreadable <= MAX_UNREADABLE {
            part.faults.push((self.next, Fault::Missing { seq: self.next, tip: self.last }));
            self.unreadable += 1;
            self.next = self.next.saturating_add(1);
        }
    }

    async fn read(&self, last: u64, max_entries: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let range =
            ReadRange { first: self.next, last, backwards: false, max_entries, max_bytes: CHUNK_BYTES };
        self.store.read(self.key, range).await
    }
}
