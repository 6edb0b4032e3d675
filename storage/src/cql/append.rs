//! One append: one conditional write, then what follows from it.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::CqlStore;
use super::Found;
use super::batch::Batch;
use super::tables::{
    Bucket, Cas, CasError, Commit, EntryRange, EntryRow, LogName, Reading, SlotRow, Tables, Write,
};
use super::tail::Tail;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, BatchId, Log, Opened, ReadRange, SenderSlot, StoredEntry, Users};

/// How often the effects of a batch are written again because they took too long.
const TELLINGS: usize = 3;

impl<T: Tables> Log for CqlStore<T> {
    fn open<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Found<Opened>> {
        async move {
            let opened = match self.ledgers.is_empty() {
                true => self.open_log(key).await?,
                false => self.open_in_ledger(key).await?,
            };
            self.counters.opened();
            Ok(opened)
        }
        .boxed()
    }

    fn append(&self, append: Append) -> BoxFuture<'_, AppendOutcome> {
        async move {
            let entries = append.entries.len();
            let outcome = match self.ledgers.is_empty() {
                true => self.try_append(append).await,
                false => self.append_in_ledger(append).await,
            };
            let outcome = outcome.unwrap_or_else(AppendOutcome::Refused);
            self.counters.appended(&outcome, entries);
            outcome
        }
        .boxed()
    }

    fn sender<'a>(&'a self, key: &'a ConversationKey, device: u64) -> BoxFuture<'a, Found<Vec<SenderSlot>>> {
        async move {
            let rows = self.tables.slots(key, device).await?;
            let slot = |SlotRow { slot, client_msg_id, seq }| SenderSlot { slot, client_msg_id, seq };
            Ok(rows.into_iter().map(slot).collect())
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        range: ReadRange,
    ) -> BoxFuture<'a, Found<Vec<StoredEntry>>> {
        self.read_entries(key, range).boxed()
    }

    /// What readers see. The log may be a batch ahead, of which nobody was told yet.
    fn tip<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Found<u64>> {
        async move { Ok(self.tables.conversation(key).await?.map_or(0, |(end, _)| end.tip)) }.boxed()
    }
}

/// What became of a conditional write, seen from its batch.
pub(super) enum Settled {
    Applied,
    /// The condition is false and will stay so.
    Lost {
        tip: u64,
        epoch: u64,
    },
    Unknown(StoreError),
}

impl<T: Tables> CqlStore<T> {
    /// An error says that nothing was written.
    async fn try_append(&self, append: Append) -> Found<AppendOutcome> {
        let log = LogName::Conversation(append.key.clone());
        self.check_size(&log, append.entries.len())?;
        let tail = match self.recall(&log).filter(|tail| tail.is(append.epoch, append.expected_tip)) {
            Some(tail) => tail,
            None => self.locate(&log).await?,
        };
        if !tail.is(append.epoch, append.expected_tip) {
            return Ok(AppendOutcome::Conflict { tip: tail.end.tip, epoch: tail.epoch });
        }
        let (batch, commit) = self.planned(&append, &tail);
        match self.commit(commit).await? {
            Settled::Applied => {}
            Settled::Lost { tip, epoch } => {
                self.counters.stale();
                return Ok(AppendOutcome::Conflict { tip, epoch });
            }
            Settled::Unknown(error) => return Ok(AppendOutcome::Unknown(error)),
        }
        match self.follow(batch, tail, &append.active, Vec::new()).await {
            Ok(tail) => self.remember(tail),
            Err(error) => return Ok(AppendOutcome::Unknown(error)),
        }
        Ok(AppendOutcome::Applied)
    }

    /// What an append is where the log ends.
    pub(super) fn planned(&self, append: &Append, tail: &Tail) -> (Batch, Commit) {
        let version = self.tables.now().max(tail.changed + 1);
        let (batch, entries) = Batch::of(append, &tail.end, version);
        let commit = Commit {
            bucket: tail.bucket.clone(),
            expected: tail.expected,
            epoch: tail.epoch,
            end: batch.end.clone(),
            entries,
            ttl: self.ttl(),
        };
        (batch, commit)
    }

    /// A batch reaches at most into the bucket behind its own.
    pub(super) fn check_size(&self, log: &LogName, entries: usize) -> Found<()> {
        if entries == 0 {
            return Err(StoreError::Corrupt("an append without entries".into()));
        }
        if entries as u64 > self.config.format.seqs(log) {
            return Err(StoreError::Corrupt(format!("an append of {entries} entries is too large")));
        }
        Ok(())
    }

    /// An error says that nothing was proposed.
    pub(super) async fn commit(&self, commit: Commit) -> Found<Settled> {
        let (bucket, batch, base) = (commit.bucket.clone(), commit.end.batch, commit.end.base);
        match self.tables.commit(commit).await {
            Ok(Cas::Applied) => Ok(Settled::Applied),
            Ok(Cas::NotApplied) => {
                let found = self.look_for(&bucket, batch, base).await;
                Ok(found.unwrap_or_else(Settled::Unknown))
            }
            Err(CasError::NotSent(error)) => Err(error),
            Err(CasError::Unknown(reason)) => Ok(Settled::Unknown(StoreError::Unavailable(reason))),
        }
    }

    /// The condition was false: perhaps because the batch was applied before.
    async fn look_for(&self, bucket: &Bucket, batch: BatchId, base: u64) -> Found<Settled> {
        let head = self.tables.head(bucket, Reading::Serial).await?.unwrap_or_default();
        let lost = |tip| Settled::Lost { tip, epoch: head.epoch };
        match &head.end {
            Some(end) if end.tip > base && end.base == base => {
                Ok(if end.batch == batch { Settled::Applied } else { lost(end.tip) })
            }
            Some(end) if end.tip > base => match self.first_entry(bucket, base + 1).await? {
                Some(row) if row.batch == Some(batch) => Ok(Settled::Applied),
                Some(_) => Ok(lost(end.tip)),
                None => Err(StoreError::Unavailable(format!("entry {} cannot be read", base + 1))),
            },
            Some(end) => Ok(lost(end.tip)),
            None => Ok(lost(base)),
        }
    }

    async fn first_entry(&self, bucket: &Bucket, seq: u64) -> Found<Option<EntryRow>> {
        let range = EntryRange { first: seq, last: seq, backwards: false, limit: 1, max_bytes: usize::MAX };
        Ok(self.tables.entries(bucket, range).await?.pop())
    }

    /// Writes what follows from a committed batch, and `first` before readers see it; the log's end behind it.
    pub(super) async fn follow(
        &self,
        batch: Batch,
        tail: Tail,
        active: &Users,
        first: Vec<Write>,
    ) -> Found<Tail> {
        let format = &self.config.format;
        let mut changed = batch.end.version;
        let lists = batch.listed(format, &tail.end, tail.changed, active);
        self.write([first, batch.meanings(), lists.list].concat()).await?;
        let mut rest = [batch.seats(changed), batch.senders()].concat();
        rest.push(batch.conversation(changed));
        self.write(rest).await?;
        for telling in 0.. {
            let now = self.tables.now();
            if self.overlap_us() == 0 || now.saturating_sub(changed) <= self.overlap_us() / 2 {
                break;
            }
            if telling == TELLINGS {
                return Err(StoreError::Unavailable("writes take too long".into()));
            }
            // Readers may have passed the place of the change already.
            changed = now;
            let users = active.iter().map(|user| &**user);
            self.write([batch.listed_again(format, changed, users), batch.seats(changed)].concat()).await?;
            self.write(vec![batch.conversation(changed)]).await?;
        }
        if let Err(error) = self.write(lists.unlist).await {
            // Rows that are left behind are seen through.
            tracing::debug!(key = %batch.key, %error, "old list rows stay");
        }
        let next = format.bucket(&tail.bucket.log, batch.end.tip)?;
        Ok(tail.followed_by(batch.end, changed, next))
    }

    pub(super) async fn write(&self, writes: Vec<Write>) -> Found<()> {
        if writes.is_empty() { Ok(()) } else { self.tables.write(writes).await }
    }
}
