//! Where a log ends, as far as one process knows.

use bytes::Bytes;

use super::CqlStore;
use super::tables::{Bucket, End, Expected, LogName, Tables};

/// A log's end and the condition of the next append. What is remembered may be outdated: then the condition is false.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// Of the next batch.
    pub(super) bucket: Bucket,
    /// That bucket's static columns.
    pub(super) expected: Expected,
    /// Whose turn it is; 0 if the log was never opened.
    pub(super) epoch: u64,
    pub(super) end: End,
    /// The place of the latest change in lists of conversations.
    pub(super) changed: u64,
    /// Of a conversation under a ledger: in which tenure of the ledger it was found.
    pub(super) tenure: u64,
}

impl Tail {
    /// That of a log that ends there, before anything is known of the next append's condition.
    pub(super) fn new(bucket: Bucket, epoch: u64, end: End) -> Tail {
        let (expected, changed) = (Expected { epoch: None, tip: None }, end.version);
        Tail { bucket, expected, epoch, end, changed, tenure: 0 }
    }

    /// Whether this epoch may append at this tip.
    pub(super) fn is(&self, epoch: u64, tip: u64) -> bool {
        self.epoch == epoch && epoch > 0 && self.end.tip == tip
    }

    /// Behind a batch that was applied in the bucket. The log rolls into a bucket nobody has written to once it is full.
    pub(super) fn followed_by(self, end: End, changed: u64, next: Bucket) -> Tail {
        let expected = if next == self.bucket {
            Expected { epoch: Some(self.epoch), tip: Some(end.tip) }
        } else {
            Expected { epoch: None, tip: None }
        };
        let end = End { changes: Bytes::new(), ..end };
        Tail { bucket: next, expected, end, changed, ..self }
    }
}

impl<T: Tables> CqlStore<T> {
    /// Takes what is remembered of a log. Whoever takes it puts it back when the log's end is known again.
    pub(super) fn recall(&self, log: &LogName) -> Option<Tail> {
        self.tails.lock().remove(log)
    }

    pub(super) fn remember(&self, tail: Tail) {
        self.tails.lock().insert(tail.bucket.log.clone(), tail);
    }
}
