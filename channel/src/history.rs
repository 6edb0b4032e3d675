//! Sync: reads conversations from the log, as much as fits one frame and never what the user may not see.

use std::sync::Arc;

use bytes::Bytes;
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::limit::*;
use protocol::node::v1::Identity;
use protocol::splice::{RangeParts, sync_result_frame, synced_entry_len};
use protocol::v1::{Sync, SyncRange, SyncedRange};
use storage::directory::Membership;
use storage::log::{ReadRange, StoredEntry};
use storage::{ConversationKey, Store};

use crate::metrics::Metrics;
use crate::render::served;
use crate::reply::{Asker, Replies, refused_by_store};
use crate::window::{Looked, Window};

/// Bytes of a SyncedRange beside its entries: conversation, four numbers, an error with its text.
const RANGE_OVERHEAD: usize = MAX_CONVERSATION_BYTES + 5 * 11 + 128;
/// Bytes of the frame around the ranges.
const FRAME_OVERHEAD: usize = 64;

// The largest entry fits beside 31 ranges that say "has more", so every answer brings the device forward.
const _: () = assert!(
    MAX_SYNC_RANGES * RANGE_OVERHEAD + FRAME_OVERHEAD + MAX_CONTENT_BYTES + MAX_ENTRY_OVERHEAD_BYTES
        < MAX_FRAME_BYTES
);
const _: () = assert!(MAX_SYNC_MESSAGES >= MAX_SYNC_RANGES);

/// Reads for devices.
pub struct History {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

/// What one answer may still take.
#[derive(Clone, Copy, Debug)]
struct Budget {
    entries: usize,
    bytes: usize,
}

impl History {
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    /// Handles Sync. A range that cannot be read carries its own error; the others are answered all the same.
    pub async fn sync(&self, replies: &Replies, asker: Asker, identity: &Identity, sync: Sync) {
        match self.ranges(identity, &sync.ranges).await {
            Ok(ranges) => replies.encoded(asker, sync_result_frame(asker.re, &ranges)),
            Err(refused) => replies.refuse(asker, refused),
        }
    }

    async fn ranges(&self, me: &Identity, asked: &[SyncRange]) -> Result<Vec<RangeParts>, Refused> {
        check::at_most("ranges", asked.len(), MAX_SYNC_RANGES)?;
        asked.iter().try_for_each(|range| check::conversation(&range.conversation))?;
        let mut left = Budget::of_answer(asked.len());
        let mut ranges = Vec::with_capacity(asked.len());
        for (at, range) in asked.iter().enumerate() {
            let parts = self.range(me, range, left.share(asked.len() - at), left).await;
            left.take(&parts.entries);
            ranges.push(parts);
        }
        self.metrics.syncs.add(1);
        self.metrics.synced_entries.add(ranges.iter().map(|range| range.entries.len() as u64).sum());
        Ok(ranges)
    }

    async fn range(&self, me: &Identity, asked: &SyncRange, share: Budget, all: Budget) -> RangeParts {
        let conversation = asked.conversation.clone();
        match self.read(me, asked, share, all).await {
            Ok((looked, tip, entries)) => {
                let Looked { first, last, has_more } = looked;
                let range =
                    SyncedRange { conversation, first, last, tip, has_more, ..SyncedRange::default() };
                RangeParts { range, entries }
            }
            Err(refused) => {
                let error = Some(refused.error());
                let range = SyncedRange { conversation, error, ..SyncedRange::default() };
                RangeParts { range, entries: Vec::new() }
            }
        }
    }

    /// What was looked at, the tip as this user sees it, and the entries ascending.
    async fn read(
        &self,
        me: &Identity,
        asked: &SyncRange,
        share: Budget,
        all: Budget,
    ) -> Result<(Looked, u64, Vec<Bytes>), Refused> {
        let key = ConversationKey::new(me.tenant.as_str(), asked.conversation.as_str());
        let Membership { member, tip, .. } = entitled(&*self.store, &key, &me.user).await?;
        let tip = member.visible_tip(tip);
        let mut window = Window::new(&member.spans, tip, asked.from, asked.backwards);
        let mut share = share.at_most(asked.limit);
        let mut entries = Vec::new();
        while let Some((first, last)) = window.next_part().filter(|_| share.entries > 0 && share.bytes > 0) {
            let (max_entries, max_bytes) = (share.entries, share.bytes);
            let range = ReadRange { first, last, backwards: asked.backwards, max_entries, max_bytes };
            let read = self.store.read(&key, range).await.map_err(refused_by_store)?;
            let read = unbroken(read, range).ok_or(Code::CORRUPT)?;
            let read = read.into_iter().map(served).collect::<Result<Vec<Bytes>, Code>>()?;
            // The very first entry may exceed the share, as long as the answer can hold it.
            let room = if entries.is_empty() { all.bytes } else { share.bytes };
            let taken = share.fill(read, asked.backwards, room, &mut entries);
            if taken == 0 {
                break;
            }
            window.advance(taken as u64);
        }
        if asked.backwards {
            entries.reverse();
        }
        Ok((window.looked(), tip, entries))
    }
}

/// The user's place in a conversation. Absent, never a member and another tenant's look the same.
pub async fn entitled(store: &dyn Store, key: &ConversationKey, user: &str) -> Result<Membership, Refused> {
    let member = store.member(key, user).await.map_err(refused_by_store)?;
    member.ok_or_else(|| Code::NOT_FOUND.into())
}

/// The entries, if they are what the range promises: from its end on, one after the other, at least one.
fn unbroken(entries: Vec<StoredEntry>, range: ReadRange) -> Option<Vec<StoredEntry>> {
    let starts = match range.backwards {
        false => entries.first()?.seq == range.first,
        true => entries.last()?.seq == range.last,
    };
    let ascends = entries.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq);
    let within = entries.first()?.seq >= range.first && entries.last()?.seq <= range.last;
    (starts && ascends && within).then_some(entries)
}

impl Budget {
    fn of_answer(ranges: usize) -> Budget {
        let bytes = MAX_FRAME_BYTES - FRAME_OVERHEAD - ranges * RANGE_OVERHEAD;
        Budget { entries: MAX_SYNC_MESSAGES, bytes }
    }

    /// An equal part for one of `ranges` that are still to be read; what one leaves is shared by the next.
    fn share(self, ranges: usize) -> Budget {
        Budget { entries: (self.entries / ranges).max(1).min(self.entries), bytes: self.bytes / ranges }
    }

    fn at_most(self, limit: u32) -> Budget {
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        Budget { entries: self.entries.min(limit), ..self }
    }

    fn take(&mut self, entries: &[Bytes]) {
        let bytes: usize = entries.iter().map(|entry| synced_entry_len(entry.len())).sum();
        self.entries = self.entries.saturating_sub(entries.len());
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Moves entries to `out` in reading order while they fit; how many. The first may take up to `room`.
    fn fill(&mut self, read: Vec<Bytes>, backwards: bool, mut room: usize, out: &mut Vec<Bytes>) -> usize {
        let before = out.len();
        let mut read = std::collections::VecDeque::from(read);
        while let Some(entry) = if backwards { read.pop_back() } else { read.pop_front() } {
            let bytes = synced_entry_len(entry.len());
            if bytes > room || self.entries == 0 {
                // Nothing more fits in the reading order.
                self.entries = 0;
                break;
            }
            out.push(entry);
            self.entries -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
            room = self.bytes;
        }
        out.len() - before
    }
}
