//! Taking a log over.
//!
//! # Why nobody appends under an earlier epoch once `take` has returned
//!
//! The bucket of an append is a function of its expected tip, and its condition names that bucket's columns. Let `take`
//! have fenced bucket `n` and then read, serially, that `n` is not full: the log ends at a tip whose bucket is `n`, and
//! `n` has the new epoch. An append that is under way, or sent later, expects a tip `t`:
//! - Its bucket lies before `n`: that one is full, so its tip is higher than `t` and stays so. False.
//! - Its bucket is `n`: it expects an earlier epoch, or none, and `n` has the new one. False.
//! - Its bucket lies behind `n`: then the log has reached `t`, which nobody but the new owner brings about, or the
//!   append's owner took something for applied that was not, which it never does.
//!
//! What was pending in `n` is completed by the fence, or fails for ever; that is why the end is read behind it. If
//! that fills `n`, the next bucket is fenced too, and so on. A bucket that is full needs no fence.
//!
//! The walk begins where `conversations` says that the log ends. That copy never leads, and lags by one batch at most:
//! nobody appends before the effects of the last batch are written.

use std::collections::BTreeMap;

use super::CqlStore;
use super::Found;
use super::batch::Batch;
use super::rows::{Changes, Seated, decode};
use super::tables::{Bucket, BucketHead, Cas, CasError, EntryRange, EntryRow, Expected, LogName, Reading};
use super::tables::{Seat, Tables};
use super::tail::Tail;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::Opened;
use crate::member::MemberRow;
use crate::rows::Row;
use protocol::v1::ConversationInfo;

/// How often a takeover tries to fence before it takes it that somebody else fights for the log.
const FENCES: usize = 16;
/// Members read at once.
pub(super) const SEATS_AT_ONCE: usize = 1_000;

impl<T: Tables> CqlStore<T> {
    pub(super) async fn open_log(&self, key: &ConversationKey) -> Found<Opened> {
        let log = LogName::Conversation(key.clone());
        self.recall(&log);
        let mut tail = self.take(&log).await?;
        let (info, members) = self.settle(key, &mut tail).await?;
        let (epoch, tip, last_batch) = (tail.epoch, tail.end.tip, tail.end.batch);
        self.remember(tail);
        Ok(Opened { epoch, tip, last_batch, info, members })
    }

    /// Raises the epoch where the log ends.
    pub(super) async fn take(&self, log: &LogName) -> Found<Tail> {
        let mut tail = self.locate(log).await?;
        for _ in 0..FENCES {
            let (bucket, epoch) = (tail.bucket.clone(), tail.epoch + 1);
            match self.tables.fence(&bucket, tail.expected.epoch, epoch).await {
                Ok(Cas::Applied) => {
                    tail = self.walk(bucket.clone()).await?;
                    if tail.bucket == bucket && tail.epoch == epoch {
                        return Ok(tail);
                    }
                }
                // Somebody else was faster, or an own attempt that nobody heard of.
                Ok(Cas::NotApplied) | Err(CasError::Unknown(_)) => tail = self.walk(bucket).await?,
                Err(CasError::NotSent(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable(format!("others take {log} over again and again")))
    }

    /// Where the log ends, and whose it is. Settles what was pending there, and changes nothing else.
    pub(super) async fn locate(&self, log: &LogName) -> Found<Tail> {
        let (tip, changed) = match log {
            LogName::Conversation(key) => {
                self.tables.conversation(key).await?.map_or((0, 0), |(end, _)| (end.tip, end.changed))
            }
            LogName::Presence(tenant) => (self.tables.presence_tip(tenant).await?, 0),
            LogName::Ledger(number) => (self.tables.ledger_tip(*number).await?, 0),
        };
        let mut tail = self.walk(self.config.format.bucket(log, tip)?).await?;
        tail.changed = tail.changed.max(changed);
        Ok(tail)
    }

    /// From a bucket that the log has reached to the one where it ends.
    async fn walk(&self, mut bucket: Bucket) -> Found<Tail> {
        let mut before = None;
        let reading = self.reading(&bucket.log);
        let head = loop {
            let head = self.tables.head(&bucket, reading).await?;
            match head {
                Some(head) if self.is_full(&bucket, &head) => before = Some(head),
                head => break head,
            }
            bucket.number += 1;
        };
        let expected = Expected {
            epoch: head.as_ref().map(|head| head.epoch),
            tip: head.as_ref().and_then(|head| head.end.as_ref()).map(|end| end.tip),
        };
        let head = head.unwrap_or_default();
        let mut epoch = head.epoch;
        let end = match (head.end, bucket.before()) {
            (Some(end), _) => end,
            (None, None) => Default::default(),
            (None, Some(previous)) => {
                let before = match before {
                    Some(before) => before,
                    None => self.full_head(&previous).await?,
                };
                epoch = epoch.max(before.epoch);
                before.end.unwrap_or_default()
            }
        };
        Ok(Tail { expected, ..Tail::new(bucket, epoch, end) })
    }

    /// Under a ledger nothing is pending in the log itself.
    fn reading(&self, log: &LogName) -> Reading {
        match log {
            LogName::Conversation(_) if !self.ledgers.is_empty() => Reading::Quorum,
            _ => Reading::Serial,
        }
    }

    fn is_full(&self, bucket: &Bucket, head: &BucketHead) -> bool {
        head.end.as_ref().is_some_and(|end| self.config.format.is_full(bucket, end.tip))
    }

    async fn full_head(&self, bucket: &Bucket) -> Found<BucketHead> {
        let head = self.tables.head(bucket, self.reading(&bucket.log)).await?;
        head.filter(|head| self.is_full(bucket, head))
            .ok_or_else(|| StoreError::Corrupt(format!("{} goes on behind its end", bucket.log)))
    }

    /// Redoes the effects of the last batch, whose owner may have died before it wrote them, or written them late. The
    /// batch changes at a place of its own: readers may have passed the one at which it was made.
    pub(super) async fn settle(
        &self,
        key: &ConversationKey,
        tail: &mut Tail,
    ) -> Found<(Option<ConversationInfo>, Vec<MemberRow>)> {
        if tail.end.tip == 0 {
            return Ok((None, Vec::new()));
        }
        let rows = self.last_entries(tail).await?;
        let batch = Batch::stored(key, &tail.end, &rows)?;
        let stored = self.tables.conversation(key).await?;
        let told = stored.as_ref().map_or(0, |(end, _)| end.changed).max(tail.changed);
        let changed = self.tables.now().max(told + 1);
        let members = with(self.members_of(key).await?, &batch.changes.members);
        let active = members.iter().filter(|row| row.is_active()).map(|row| row.user.as_str());
        let lists = batch.listed_again(&self.config.format, changed, active);
        self.write([batch.meanings(), lists].concat()).await?;
        // Together, as the append would have: who has sent beyond the tip that readers see has nothing unread.
        let mut rest = [batch.seats(changed), batch.senders()].concat();
        rest.push(batch.conversation(changed));
        self.write(rest).await?;
        tail.changed = changed;
        tail.end.changes = bytes::Bytes::new();
        let Changes { info, .. } = batch.changes;
        let info = match (info, stored.and_then(|(_, info)| info)) {
            (Some(info), _) => Some(info),
            (None, Some(stored)) => Some(decode(&stored, || format!("the description of {key}"))?),
            (None, None) => None,
        };
        Ok((info, members))
    }

    /// The entries of a log's last batch that have not outlived their time.
    pub(super) async fn last_entries(&self, tail: &Tail) -> Found<Vec<EntryRow>> {
        let (base, tip) = (tail.end.base, tail.end.tip);
        let bucket = self.config.format.bucket(&tail.bucket.log, base)?;
        let limit = usize::try_from(tip - base).unwrap_or(usize::MAX);
        let range = EntryRange { first: base + 1, last: tip, backwards: false, limit, max_bytes: usize::MAX };
        let rows = self.tables.entries(&bucket, range).await?;
        if self.config.retention.is_none() && rows.len() != limit {
            return Err(StoreError::Corrupt(format!("the last batch of {} is not whole", bucket.log)));
        }
        Ok(rows)
    }

    /// Every user who is or was a member, by bytes.
    pub(super) async fn members_of(&self, key: &ConversationKey) -> Found<Vec<MemberRow>> {
        let (mut members, mut after) = (Vec::new(), String::new());
        loop {
            let seats = self.tables.seats(key, &after, SEATS_AT_ONCE).await?;
            let is_last = seats.len() < SEATS_AT_ONCE;
            if let Some((user, _)) = seats.last() {
                after.clone_from(user);
            }
            for (user, seat) in seats {
                if let Some(seated) = seated(key, &user, &seat)? {
                    members.push(seated.member);
                }
            }
            if is_last {
                return Ok(members);
            }
        }
    }
}

/// The members' rows, as changes leave them.
fn with(members: Vec<MemberRow>, changes: &[MemberRow]) -> Vec<MemberRow> {
    let all = members.into_iter().chain(changes.iter().cloned());
    all.map(|row| (row.user.clone(), row)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// A user's row as a member.
pub(super) fn seated(key: &ConversationKey, user: &str, seat: &Seat) -> Found<Option<Seated>> {
    let Some(row) = &seat.row else { return Ok(None) };
    let seated = Seated::decode(row);
    let mut seated =
        seated.ok_or_else(|| StoreError::Corrupt(format!("the row of {user} in {key} does not decode")))?;
    user.clone_into(&mut seated.member.user);
    Ok(Some(seated))
}
