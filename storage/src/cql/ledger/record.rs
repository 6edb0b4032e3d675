//! What a ledger commits of one conversation.

use bytes::Bytes;

use crate::cql::tables::{Bucket, Commit, End, EntryRow, Expected, LogName, Write};
use crate::key::ConversationKey;
use crate::log::BatchId;
use crate::rows::{In, Out, Row};

const FENCE: u8 = 1;
const BATCH: u8 = 2;

/// It names the conversation's bucket, and says all that is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The epoch rises.
    Fence { bucket: Bucket, epoch: u64 },
    /// A batch. Its condition and its time to live are not part of it.
    Batch(Box<Commit>),
}

impl Record {
    pub(super) fn log(&self) -> &LogName {
        match self {
            Record::Fence { bucket, .. } => &bucket.log,
            Record::Batch(commit) => &commit.bucket.log,
        }
    }

    /// What stands in the conversation's own log.
    pub(super) fn write(&self, at: u64) -> Write {
        match self {
            Record::Fence { bucket, epoch } => Write::Fenced { bucket: bucket.clone(), epoch: *epoch, at },
            Record::Batch(commit) => Write::Committed { commit: commit.clone(), at },
        }
    }
}

impl Row for Record {
    fn encode(&self) -> Vec<u8> {
        let (kind, bucket, epoch) = match self {
            Record::Fence { bucket, epoch } => (FENCE, bucket, *epoch),
            Record::Batch(commit) => (BATCH, &commit.bucket, commit.epoch),
        };
        let (tenant, conversation) = match &bucket.log {
            LogName::Conversation(key) => (&*key.tenant, &*key.conversation),
            // No other log is under a ledger.
            LogName::Presence(_) | LogName::Ledger(_) => ("", ""),
        };
        let out = Out::new().bytes(&[kind]).part(tenant.as_bytes()).part(conversation.as_bytes());
        let out = out.bytes(&bucket.number.to_be_bytes()).u64(epoch);
        match self {
            Record::Fence { .. } => out.done(),
            Record::Batch(commit) => encode_batch(out, commit),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let [kind] = row.array()?;
        let (tenant, conversation) = (text(&mut row)?, text(&mut row)?);
        let log = LogName::Conversation(ConversationKey::new(tenant, conversation));
        let bucket = Bucket { log, number: u32::from_be_bytes(row.array()?) };
        let epoch = row.u64()?;
        match kind {
            FENCE => row.end(Record::Fence { bucket, epoch }),
            BATCH => decode_batch(row, bucket, epoch),
            _ => None,
        }
    }
}

fn encode_batch(out: Out, commit: &Commit) -> Vec<u8> {
    let end = &commit.end;
    let out = out.bytes(&end.batch).u64(end.base).u64(end.at_ms.cast_unsigned()).u64(end.version);
    let out = out.u64(end.silent).u64(end.shown).bytes(&[u8::from(end.wide)]).part(&end.changes);
    // The seqs are those behind the base.
    let add = |out: Out, row: &EntryRow| out.part(&row.payload).part(&row.meta);
    commit.entries.iter().fold(out, add).done()
}

fn decode_batch(mut row: In<'_>, bucket: Bucket, epoch: u64) -> Option<Record> {
    let batch: BatchId = row.array()?;
    let (base, at_ms, version) = (row.u64()?, row.u64()?.cast_signed(), row.u64()?);
    let (silent, shown, [wide]) = (row.u64()?, row.u64()?, row.array()?);
    let changes = Bytes::copy_from_slice(row.part()?);
    let (mut entries, mut tip) = (Vec::new(), base);
    while !row.0.is_empty() {
        tip = tip.checked_add(1)?;
        let (payload, meta) = (row.part()?, row.part()?);
        entries.push(EntryRow {
            seq: tip,
            payload: Bytes::copy_from_slice(payload),
            meta: Bytes::copy_from_slice(meta),
            batch: entries.is_empty().then_some(batch),
        });
    }
    let wide = wide != 0;
    let end = End { tip, batch, base, at_ms, version, silent, shown, wide, changes };
    let expected = Expected { epoch: None, tip: None };
    Some(Record::Batch(Box::new(Commit { bucket, expected, epoch, end, entries, ttl: None })))
}

fn text(row: &mut In<'_>) -> Option<String> {
    String::from_utf8(row.part()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::same;

    fn bucket() -> Bucket {
        Bucket { log: LogName::Conversation(ConversationKey::new("t", "ü")), number: 3 }
    }

    #[test]
    fn every_record_comes_back() {
        same(Record::Fence { bucket: bucket(), epoch: 9 });
        let entry = |seq, batch| EntryRow {
            seq,
            payload: Bytes::from_static(b"payload"),
            meta: Bytes::from_static(b"m"),
            batch,
        };
        let changes = Bytes::from_static(b"changes");
        let (batch, at_ms) = ([7; 16], -5);
        let end =
            End { tip: 12, batch, base: 10, at_ms, version: 4, silent: 2, shown: 9, wide: true, changes };
        let entries = vec![entry(11, Some(batch)), entry(12, None)];
        let expected = Expected { epoch: None, tip: None };
        same(Record::Batch(Box::new(Commit {
            bucket: bucket(),
            expected,
            epoch: 9,
            end,
            entries,
            ttl: None,
        })));
    }
}
