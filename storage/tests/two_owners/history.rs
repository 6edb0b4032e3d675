//! What was tried and what was answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;
use whimbrel_storage::log::{Append, BatchId, Opened, StoredEntry};
use whimbrel_storage::member::Cursors;

/// What an owner knows of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    None,
    Applied,
    Never,
}

pub struct Tried {
    pub append: Append,
    /// The latest under which it was tried.
    pub epoch: u64,
    pub answer: Answer,
}

#[derive(Default)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub struct Inner {
    pub tried: HashMap<BatchId, Tried>,
    /// By epoch: what each open returned.
    pub opened: BTreeMap<u64, (u64, BatchId)>,
    /// What readers saw.
    pub seen: BTreeMap<u64, Vec<u8>>,
    /// By user: cursors that were answered, and the highest that were asked for.
    pub raised: BTreeMap<String, (Cursors, Cursors)>,
    pub violations: BTreeSet<String>,
    pub unknown: u64,
    pub conflicts: u64,
    pub refused: u64,
}

impl Inner {
    /// The highest tip that was answered `Applied`.
    pub fn applied_tip(&self) -> u64 {
        let applied = self.tried.values().filter(|tried| tried.answer == Answer::Applied);
        let tip = |tried: &Tried| tried.append.expected_tip + tried.append.entries.len() as u64;
        applied.map(tip).max().unwrap_or(0)
    }

    /// The highest read cursor of a user that was answered.
    pub fn answered_read(&self, user: &str) -> u64 {
        self.raised.get(user).map_or(0, |(answered, _)| answered.read)
    }
}

impl History {
    pub fn with<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        look(&mut self.inner.lock())
    }

    pub fn violation(&self, what: String) {
        self.with(|inner| inner.violations.insert(what));
    }

    pub fn hold(&self, so: bool, what: impl FnOnce() -> String) {
        if !so {
            self.violation(what());
        }
    }

    /// The highest epoch that was handed out.
    pub fn epoch(&self) -> u64 {
        self.with(|inner| inner.opened.last_key_value().map_or(0, |(epoch, _)| *epoch))
    }

    /// `before` is the highest epoch when the open began.
    pub fn opened(&self, before: u64, opened: &Opened) {
        self.hold(opened.epoch > before, || format!("epoch {} after {before}", opened.epoch));
        let known = self.with(|inner| inner.opened.insert(opened.epoch, (opened.tip, opened.last_batch)));
        self.hold(known.is_none(), || format!("epoch {} was handed out twice", opened.epoch));
    }

    pub fn trying(&self, append: &Append) {
        let tried = Tried { append: append.clone(), epoch: append.epoch, answer: Answer::None };
        self.with(|inner| inner.tried.insert(append.batch, tried));
    }

    pub fn answered(&self, batch: BatchId, answer: Answer) {
        self.with(|inner| inner.tried.get_mut(&batch).unwrap().answer = answer);
    }

    /// Entries are one after the other and never change.
    pub fn saw(&self, entries: &[StoredEntry]) {
        let ascends = entries.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq);
        self.hold(ascends, || "a read shows a hole".into());
        for entry in entries {
            let before = self.with(|inner| inner.seen.insert(entry.seq, entry.payload.to_vec()));
            let same = before.is_none_or(|before| before == entry.payload);
            self.hold(same, || format!("entry {} changed", entry.seq));
        }
    }
}
