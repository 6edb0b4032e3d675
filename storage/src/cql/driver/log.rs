//! The log's table: heads, entries, and the two conditional writes.

use bytes::Bytes;
use scylla::statement::prepared::PreparedStatement;

use super::request::Bound;
use super::statement::Statements;
use super::value::{Value, count, id16};
use super::{Driver, Found};
use crate::cql::tables::{
    Bucket, BucketHead, Cas, CasError, Commit, End, EntryRange, EntryRow, LogName, Reading,
};

/// What a head's row holds, in the statement's order.
type HeadColumns = (
    Option<i64>,
    Option<i64>,
    Option<Bytes>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<bool>,
    Option<Bytes>,
);
type EntryColumns = (i64, Option<Bytes>, Option<Bytes>, Option<Bytes>);

const CONVERSATION: i16 = 1;
const PRESENCE: i16 = 2;
/// And those behind it: one for each ledger.
const LEDGERS: i16 = 1_000;

/// The columns of a bucket's partition, in their order.
pub(super) fn partition(bucket: &Bucket) -> [Value<'_>; 4] {
    let (kind, tenant, conversation) = match &bucket.log {
        LogName::Conversation(key) => (CONVERSATION, &*key.tenant, &*key.conversation),
        LogName::Presence(tenant) => (PRESENCE, tenant.as_str(), ""),
        // There are few enough of them.
        LogName::Ledger(number) => (LEDGERS.saturating_add_unsigned(*number), "", ""),
    };
    let number = i32::try_from(bucket.number).unwrap_or(i32::MAX);
    [Value::Small(kind), Value::Text(tenant), Value::Text(conversation), Value::Int(number)]
}

impl Driver {
    pub(super) async fn read_head(&self, bucket: &Bucket, reading: Reading) -> Found<Option<BucketHead>> {
        let all = &self.statements;
        let row: Option<HeadColumns> = match reading {
            Reading::Quorum => self.requests.row(Bound::new(&all.head, partition(bucket))).await?,
            Reading::Serial => {
                self.requests.serial_row(Bound::new(&all.head_serial, partition(bucket))).await?
            }
        };
        let Some((epoch, tip, batch, base, at_ms, version, silent, shown, wide, changes)) = row else {
            return Ok(None);
        };
        if tip.is_none() {
            return Ok(Some(BucketHead { epoch: count(epoch)?, end: None }));
        }
        let end = End {
            tip: count(tip)?,
            batch: id16(&batch.unwrap_or_default())?,
            base: count(base)?,
            at_ms: at_ms.unwrap_or_default(),
            version: count(version)?,
            silent: count(silent)?,
            shown: count(shown)?,
            wide: wide.unwrap_or_default(),
            changes: changes.unwrap_or_default(),
        };
        Ok(Some(BucketHead { epoch: count(epoch)?, end: Some(end) }))
    }

    pub(super) async fn read_entries(&self, bucket: &Bucket, range: EntryRange) -> Found<Vec<EntryRow>> {
        let EntryRange { first, last, backwards, limit, max_bytes } = range;
        if limit == 0 || first > last {
            return Ok(Vec::new());
        }
        let statement = match backwards {
            false => &self.statements.entries,
            true => &self.statements.entries_backwards,
        };
        let rows = Value::Int(i32::try_from(limit).unwrap_or(i32::MAX));
        let values = [&partition(bucket)[..], &[Value::count(first), Value::count(last), rows]].concat();
        let (mut found, mut bytes) = (Vec::new(), 0);
        let take = |(seq, payload, meta, batch): EntryColumns| {
            let payload = payload.unwrap_or_default();
            bytes += payload.len();
            let batch = batch.as_deref().map(id16).transpose()?;
            found.push(EntryRow { seq: count(Some(seq))?, payload, meta: meta.unwrap_or_default(), batch });
            Ok(bytes < max_bytes)
        };
        self.requests.each_row(Bound::new(statement, values), take).await?;
        if backwards {
            found.reverse();
        }
        Ok(found)
    }

    pub(super) async fn try_fence(
        &self,
        bucket: &Bucket,
        was: Option<u64>,
        epoch: u64,
    ) -> Result<Cas, CasError> {
        let values = [&[Value::count(epoch)], &partition(bucket)[..], &[Value::maybe_count(was)]].concat();
        let answer = self.requests.conditional(Bound::new(&self.statements.fence, values)).await?;
        Ok(if answer.is_applied { Cas::Applied } else { Cas::NotApplied })
    }

    pub(super) async fn try_commit(&self, commit: &Commit) -> Result<Cas, CasError> {
        let all = &self.statements;
        let condition = [Value::maybe_count(commit.expected.epoch), Value::maybe_count(commit.expected.tip)];
        let head = [&end_of(commit)[..], &partition(&commit.bucket), &condition].concat();
        let mut batch = vec![Bound::new(&all.commit, head)];
        batch.extend(entries_of(commit, &all.entry, &all.first_entry, &[ttl(commit)]));
        let answer = self.requests.conditional_batch(&self.statements.profiles, batch).await?;
        Ok(if answer.is_applied { Cas::Applied } else { Cas::NotApplied })
    }
}

impl Statements {
    /// The plain statements of a commit, at a timestamp.
    pub(super) fn bind_committed<'a>(&'a self, commit: &'a Commit, at: u64) -> Vec<Bound<'a>> {
        let at = Value::count(at);
        let head = [&[at], &end_of(commit)[..], &partition(&commit.bucket)].concat();
        let mut bound = vec![Bound::new(&self.put_end, head)];
        bound.extend(entries_of(commit, &self.put_entry, &self.put_first_entry, &[at, ttl(commit)]));
        bound
    }
}

/// The static columns.
fn end_of(commit: &Commit) -> [Value<'_>; 10] {
    let end = &commit.end;
    [
        Value::count(commit.epoch),
        Value::count(end.tip),
        Value::Blob(&end.batch),
        Value::count(end.base),
        Value::Big(end.at_ms),
        Value::count(end.version),
        Value::count(end.silent),
        Value::count(end.shown),
        Value::Bool(end.wide),
        Value::Blob(&end.changes),
    ]
}

/// The rows, by a statement for those that name the batch and one for the others.
fn entries_of<'a>(
    commit: &'a Commit,
    entry: &'a PreparedStatement,
    first_entry: &'a PreparedStatement,
    using: &[Value<'a>],
) -> Vec<Bound<'a>> {
    let partition = partition(&commit.bucket);
    let bind = |row: &'a EntryRow| {
        let columns = [Value::count(row.seq), Value::Blob(&row.payload), Value::Blob(&row.meta)];
        match &row.batch {
            Some(id) => {
                Bound::new(first_entry, [&partition[..], &columns, &[Value::Blob(id)], using].concat())
            }
            None => Bound::new(entry, [&partition[..], &columns, using].concat()),
        }
    };
    commit.entries.iter().map(bind).collect()
}

fn ttl(commit: &Commit) -> Value<'static> {
    Value::Int(commit.ttl.map_or(0, |ttl| i32::try_from(ttl).unwrap_or(i32::MAX)))
}
