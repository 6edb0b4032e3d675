//! Logs, and which partition holds what of them: arithmetic alone.

use std::fmt;

use super::config::Format;
use crate::error::StoreError;
use crate::key::ConversationKey;

/// One partition of the log table: so many seqs as [`Format`](super::Format) says. A batch stands whole in the bucket of
/// its first entry, so the last batch of a bucket may reach into the range of the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub log: LogName,
    pub number: u32,
}

/// Which log: that of a conversation; a tenant's presence stream; or a ledger, which commits for many conversations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogName {
    Conversation(ConversationKey),
    Presence(String),
    Ledger(u16),
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogName::Conversation(key) => write!(f, "{key}"),
            LogName::Presence(tenant) => write!(f, "the presence of {tenant}"),
            LogName::Ledger(number) => write!(f, "ledger {number}"),
        }
    }
}

impl Format {
    /// Seqs of a bucket of this log, at least one.
    pub(super) fn seqs(&self, log: &LogName) -> u64 {
        match log {
            LogName::Conversation(_) => self.bucket_seqs.max(1),
            LogName::Presence(_) => self.bucket_events.max(1),
            LogName::Ledger(_) => self.bucket_records.max(1),
        }
    }

    /// The bucket of a batch that begins behind `tip`.
    pub(super) fn bucket(&self, log: &LogName, tip: u64) -> Result<Bucket, StoreError> {
        let number = u32::try_from(tip / self.seqs(log))
            .map_err(|_| StoreError::Corrupt(format!("{log} cannot have a tip of {tip}")))?;
        Ok(Bucket { log: log.clone(), number })
    }

    /// Whether no batch can begin in the bucket any more, as the log ends at `tip`.
    pub(super) fn is_full(&self, bucket: &Bucket, tip: u64) -> bool {
        tip / self.seqs(&bucket.log) > u64::from(bucket.number)
    }

    /// The period of a version.
    pub(super) fn period(&self, version: u64) -> u64 {
        version / self.period_us.max(1)
    }

    /// The last version of a period.
    pub(super) fn end_of_period(&self, period: u64) -> u64 {
        period.saturating_add(1).saturating_mul(self.period_us.max(1)) - 1
    }
}

impl Bucket {
    /// `None` for the first.
    pub(super) fn before(&self) -> Option<Bucket> {
        Some(Bucket { log: self.log.clone(), number: self.number.checked_sub(1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_stands_in_the_bucket_of_its_first_entry() {
        let format = Format { bucket_seqs: 4, ..Format::default() };
        let log = LogName::Conversation(crate::ConversationKey::new("t", "c"));
        let number = |tip| format.bucket(&log, tip).map(|bucket| bucket.number);
        assert_eq!([0, 3, 4, 7, 8].map(|tip| number(tip).unwrap()), [0, 0, 1, 1, 2]);
        assert!(number(u64::MAX).is_err());
        let bucket = format.bucket(&log, 4).unwrap();
        assert_eq!([4, 7, 8, 11].map(|tip| format.is_full(&bucket, tip)), [false, false, true, true]);
        assert_eq!(bucket.before().and_then(|bucket| bucket.before()), None);
    }

    #[test]
    fn a_period_ends_before_the_next_begins() {
        let format = Format { period_us: 10, ..Format::default() };
        assert_eq!([0, 9, 10, 19].map(|version| format.period(version)), [0, 0, 1, 1]);
        assert_eq!([0, 1].map(|period| format.end_of_period(period)), [9, 19]);
    }
}
