//! One conversation.

use std::collections::HashMap;
use std::time::Duration;

use protocol::Proto;
use protocol::limit::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES};
use protocol::v1::Message;

use super::batch::{Maker, batch_id};
use super::people::whole;
use super::{Copied, CopyError, News, Tell};
use crate::Store;
use crate::error::StoreError;
use crate::inventory::{Held, MAX_ROWS, Seat};
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, Opened, ReadRange, StoredEntry, is_gone};
use crate::member::Cursors;
use crate::roster::Roster;

/// Entries that are compared at once.
const COMPARED_AT_ONCE: usize = 512;
/// Bytes of payload that are compared at once.
const COMPARED_BYTES: usize = 1024 * 1024;
/// How often an append is tried whose outcome is unknown, or for which the store had no room.
const ATTEMPTS: u32 = 8;
/// Before the second attempt; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// From where to where.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) source: &'a dyn Store,
    pub(super) target: &'a dyn Store,
}

/// Appends what the target lacks.
pub(super) async fn copy(
    stores: Stores<'_>,
    held: &Held,
    copied: &mut Copied,
    tell: &mut Tell<'_>,
) -> Result<(), CopyError> {
    let key = &held.key;
    let source = stores.source.open(key).await.map_err(CopyError::Source)?;
    let target = stores.target.open(key).await.map_err(CopyError::Target)?;
    if target.tip > source.tip {
        return Err(CopyError::Ahead { key: key.clone(), source_tip: source.tip, target: target.tip });
    }
    let mut copy = Copy { stores, held, key, source, target, copied, tell };
    copy.compare().await?;
    copy.append_rest().await?;
    copy.cursors().await?;
    copy.copied.conversations += 1;
    Ok(())
}

struct Copy<'a, 'n> {
    stores: Stores<'a>,
    held: &'a Held,
    key: &'a ConversationKey,
    source: Opened,
    target: Opened,
    copied: &'a mut Copied,
    tell: &'a mut Tell<'n>,
}

impl Copy<'_, '_> {
    /// What the target has is what the source has.
    async fn compare(&mut self) -> Result<(), CopyError> {
        let mut next = 1;
        while next <= self.target.tip {
            let ours = self.read(next, self.target.tip, COMPARED_AT_ONCE, COMPARED_BYTES).await?;
            let last = next + ours.len() as u64 - 1;
            let mut theirs = Vec::new();
            while next + (theirs.len() as u64) <= last {
                let range = range(next + theirs.len() as u64, last, COMPARED_AT_ONCE, COMPARED_BYTES);
                let read = self.stores.target.read(self.key, range).await.map_err(CopyError::Target)?;
                if read.is_empty() {
                    break;
                }
                theirs.extend(read);
            }
            // The source may have forgotten since what it was.
            let is_gone =
                |entry: &StoredEntry| Message::decode(&entry.payload[..]).is_ok_and(|m| is_gone(&m));
            let same = |(ours, theirs): &(&StoredEntry, &StoredEntry)| {
                ours.seq == theirs.seq && (ours.payload == theirs.payload || is_gone(ours))
            };
            let same = ours.iter().zip(&theirs).take_while(same).count() as u64;
            if same < ours.len() as u64 {
                return Err(CopyError::Differs { key: self.key.clone(), seq: next + same });
            }
            self.told(same, 0);
            next = last + 1;
        }
        Ok(())
    }

    async fn append_rest(&mut self) -> Result<(), CopyError> {
        let mut maker =
            Maker::new(self.stores.source, self.key, Roster::new(std::mem::take(&mut self.target.members)));
        let Held { tip: end, tip_at_ms, .. } = *self.held;
        while self.target.tip < self.source.tip {
            let tip = self.target.tip;
            let stored = self.read(tip + 1, self.source.tip, MAX_BATCH_MESSAGES, MAX_BATCH_BYTES).await?;
            let mut batch = maker.batch(stored).await?;
            let count = batch.entries.len() as u64;
            let is_last = tip + count == self.source.tip;
            if is_last {
                batch.members.extend(maker.corrections(&self.source.members));
            }
            let append = Append {
                key: self.key.clone(),
                epoch: self.target.epoch,
                expected_tip: tip,
                batch: if is_last { self.source.last_batch } else { batch_id() },
                at_ms: if tip + count == end { tip_at_ms } else { batch.at_ms },
                entries: batch.entries,
                members: batch.members,
                active: maker.roster.active(),
                info: if tip == 0 { self.source.info.clone() } else { None },
            };
            self.append(append).await?;
            self.target.tip += count;
            self.told(count, count);
        }
        Ok(())
    }

    /// Appends, and makes sure of it.
    async fn append(&mut self, mut append: Append) -> Result<(), CopyError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            match self.stores.target.append(append.clone()).await {
                AppendOutcome::Applied => return Ok(()),
                AppendOutcome::Conflict { .. } => break,
                AppendOutcome::Refused(error) if attempt == ATTEMPTS || !may_pass(&error) => {
                    return Err(CopyError::Target(error));
                }
                AppendOutcome::Unknown(error) if attempt == ATTEMPTS => return Err(CopyError::Target(error)),
                AppendOutcome::Refused(_) => {}
                AppendOutcome::Unknown(_) => {
                    let opened = self.stores.target.open(self.key).await.map_err(CopyError::Target)?;
                    self.target.epoch = opened.epoch;
                    append.epoch = opened.epoch;
                    if opened.last_batch == append.batch {
                        return Ok(());
                    }
                    if opened.tip != append.expected_tip {
                        break;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(CopyError::Busy { key: self.key.clone() })
    }

    async fn cursors(&mut self) -> Result<(), CopyError> {
        let mut after = None;
        loop {
            let page = self.stores.source.inventory().seats(self.key, after, MAX_ROWS).await;
            let page = whole(page.map_err(CopyError::Source)?)?;
            self.raise(page.rows).await?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Only where the target is behind: a cursor that rises changes a list.
    async fn raise(&mut self, seats: Vec<Seat>) -> Result<(), CopyError> {
        let users: Vec<String> = seats.iter().map(|seat| seat.user.clone()).collect();
        let theirs = self.stores.target.cursors(self.key, &users).await.map_err(CopyError::Target)?;
        let theirs: HashMap<String, Cursors> = users.into_iter().zip(theirs).collect();
        for Seat { user, cursors, .. } in seats {
            let there = theirs.get(&user).copied().unwrap_or_default();
            if there.max(cursors) != there {
                let raised = self.stores.target.raise_cursors(self.key, &user, cursors).await;
                raised.map_err(CopyError::Target)?;
            }
        }
        Ok(())
    }

    /// Entries of the source; there is at least one.
    async fn read(
        &self,
        first: u64,
        last: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, CopyError> {
        let read = self.stores.source.read(self.key, range(first, last, max_entries, max_bytes)).await;
        let read = read.map_err(CopyError::Source)?;
        if read.first().is_none_or(|entry| entry.seq != first) {
            return Err(CopyError::Broken(format!("{} lacks entry {first}", self.key)));
        }
        Ok(read)
    }

    fn told(&mut self, entries: u64, appended: u64) {
        self.copied.entries += entries;
        self.copied.appended += appended;
        (self.tell)(News::Copied(*self.copied));
    }
}

/// Whether it may go better at another time.
fn may_pass(error: &StoreError) -> bool {
    matches!(error, StoreError::Overloaded | StoreError::Unavailable(_))
}

fn range(first: u64, last: u64, max_entries: usize, max_bytes: usize) -> ReadRange {
    ReadRange { first, last, backwards: false, max_entries, max_bytes }
}
