//! Entries, without a hole, and what later ones have made of them.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use protocol::Proto;
use protocol::v1::Message;

use super::rows::{Meta, decode};
use super::tables::{EntryRange, EntryRow, FateRow, LogName, Tables};
use super::{CqlStore, Found, READS_AT_ONCE};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{EntryKind, Fate, ReadRange, StoredEntry};

/// Rows of one read of a partition.
const ROWS_AT_ONCE: u64 = 1_024;

/// What an answer may still take.
struct Room {
    entries: usize,
    bytes: usize,
    is_empty: bool,
}

impl Room {
    /// Whether the row fits, and then it is in.
    fn takes(&mut self, row: &EntryRow) -> bool {
        if self.entries == 0 || (row.payload.len() > self.bytes && !self.is_empty) {
            return false;
        }
        self.entries -= 1;
        self.bytes = self.bytes.saturating_sub(row.payload.len());
        self.is_empty = false;
        true
    }
}

impl<T: Tables> CqlStore<T> {
    pub(super) async fn read_entries(
        &self,
        key: &ConversationKey,
        range: ReadRange,
    ) -> Found<Vec<StoredEntry>> {
        let Some((end, _)) = self.tables.conversation(key).await? else { return Ok(Vec::new()) };
        let log = LogName::Conversation(key.clone());
        let range = ReadRange { last: range.last.min(end.tip), ..range };
        let rows = self.rows_of(&log, range).await?;
        let mut metas = Vec::with_capacity(rows.len());
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let is_gone = row.meta.is_empty();
            metas.push(if is_gone { Meta::default() } else { meta_of(key, &row)? });
            let fate = Fate { recalled: is_gone, edited: 0 };
            entries.push(StoredEntry { seq: row.seq, payload: row.payload, fate });
        }
        if end.silent > 0 {
            self.fates_of(key, &mut entries, &metas).await?;
        }
        Ok(entries)
    }

    /// Rows of a range that does not pass the tip, ascending.
    pub(super) async fn rows_of(&self, log: &LogName, range: ReadRange) -> Found<Vec<EntryRow>> {
        let (mut first, mut last) = (range.first.max(1), range.last);
        let mut room = Room { entries: range.max_entries, bytes: range.max_bytes, is_empty: true };
        let mut found = Vec::new();
        'full: while first <= last && room.entries > 0 {
            let part = EntryRange { first, last, backwards: range.backwards, limit: 0, max_bytes: 0 };
            for row in self.part(log, part, &room).await? {
                let seq = row.seq;
                if !room.takes(&row) {
                    break 'full;
                }
                found.push(row);
                if range.backwards {
                    last = seq - 1;
                } else {
                    first = seq + 1;
                }
            }
        }
        if range.backwards {
            found.reverse();
        }
        Ok(found)
    }

    /// At least one row, from that end of the range on, one after the other in the order of reading.
    async fn part(&self, log: &LogName, range: EntryRange, room: &Room) -> Found<Vec<EntryRow>> {
        let at = if range.backwards { range.last } else { range.first };
        let limit = (range.last - range.first).saturating_add(1).min(ROWS_AT_ONCE);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(room.entries);
        let range = EntryRange { limit, max_bytes: room.bytes.max(1), ..range };
        let bucket = self.config.format.bucket(log, at - 1)?;
        let mut nearest = None;
        // The last batch of the bucket before may reach into the range of this one.
        for bucket in [Some(bucket.clone()), bucket.before()].into_iter().flatten() {
            let mut rows = self.tables.entries(&bucket, range).await?;
            if range.backwards {
                rows.reverse();
            }
            match rows.first() {
                Some(row) if row.seq == at => return Ok(unbroken(rows)),
                Some(row) => nearest = nearest.into_iter().chain([row.seq]).min(),
                None => {}
            }
        }
        let edge = self.config.format.seqs(log).saturating_mul(u64::from(bucket.number) + 1);
        self.gone(log, range, at, nearest, edge).await
    }

    /// Stands in for entries that have outlived their time, or says that there is a hole. Time takes the oldest first.
    async fn gone(
        &self,
        log: &LogName,
        range: EntryRange,
        at: u64,
        nearest: Option<u64>,
        edge: u64,
    ) -> Found<Vec<EntryRow>> {
        let lasts = self.config.retention.is_none() || !matches!(log, LogName::Conversation(_));
        if lasts || (range.backwards && nearest.is_some()) {
            return Err(StoreError::Corrupt(format!("{log} lacks entry {at}")));
        }
        let (first, last) = if range.backwards {
            (range.first.max(edge - self.config.format.seqs(log) + 1), at)
        } else {
            (at, range.last.min(edge).min(nearest.map_or(u64::MAX, |seq| seq - 1)))
        };
        let rows = first..=last;
        let stand_in = |seq| EntryRow { seq, payload: without_content(seq), meta: Bytes::new(), batch: None };
        Ok(if range.backwards {
            rows.rev().take(range.limit).map(stand_in).collect()
        } else {
            rows.take(range.limit).map(stand_in).collect()
        })
    }

    async fn fates_of(
        &self,
        key: &ConversationKey,
        entries: &mut [StoredEntry],
        metas: &[Meta],
    ) -> Found<()> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (first, last) = (first.seq, last.seq);
        let known: HashMap<u64, FateRow> =
            self.tables.fates(key, first, last).await?.into_iter().map(|row| (row.seq, row)).collect();
        let target = |meta: &Meta| if let EntryKind::Edit(seq) = meta.kind { Some(seq) } else { None };
        let mut elsewhere: Vec<u64> = metas.iter().filter_map(target).collect();
        elsewhere.retain(|seq| !(first..=last).contains(seq));
        elsewhere.dedup();
        let look = |seq: u64| self.tables.fates(key, seq, seq);
        let others: Vec<Vec<FateRow>> =
            stream::iter(elsewhere).map(look).buffered(READS_AT_ONCE).try_collect().await?;
        let is_recalled = |seq: u64| {
            let other = || others.iter().flatten().find(|row| row.seq == seq);
            known.get(&seq).or_else(other).is_some_and(|row| row.recalled)
        };
        for (entry, meta) in entries.iter_mut().zip(metas) {
            if let Some(row) = known.get(&entry.seq) {
                entry.fate.recalled |= row.recalled;
                entry.fate.edited = if row.recalled { 0 } else { row.edited };
            }
            entry.fate.recalled |= target(meta).is_some_and(is_recalled);
        }
        Ok(())
    }
}

fn meta_of(key: &ConversationKey, row: &EntryRow) -> Found<Meta> {
    decode(&row.meta, || format!("what is beside the entry {} of {key}", row.seq))
}

/// The rows up to the first that is missing.
fn unbroken(mut rows: Vec<EntryRow>) -> Vec<EntryRow> {
    let gap = rows.windows(2).position(|pair| pair[0].seq.abs_diff(pair[1].seq) != 1);
    if let Some(gap) = gap {
        rows.truncate(gap + 1);
    }
    rows
}

/// What readers get of an entry that has outlived its time: its seq alone. It is served as a recalled one is, without
/// content, so that nobody finds a hole.
fn without_content(seq: u64) -> Bytes {
    Message { seq, ..Message::default() }.encode_to_vec().into()
}
