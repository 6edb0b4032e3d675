//! Whether what is stored of a conversation agrees with itself. Reads alone; a conversation may be appended to meanwhile.

use super::config::Format;
use super::rows::{Meta, Seated};
use super::tables::*;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::EntryKind;
use crate::rows::Row;

/// Findings of one conversation that are kept; what is found behind them is counted.
pub const MAX_FINDINGS: usize = 1_000;
/// Rows of one read.
const ROWS_AT_ONCE: usize = 1_024;

/// What contradicts what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("entries {first} to {last} are missing")]
    Missing { first: u64, last: u64 },
    #[error("entry {seq} is stored twice")]
    Repeated { seq: u64 },
    #[error("entry {seq} begins a batch and does not say which")]
    Unmarked { seq: u64 },
    #[error("what is beside entry {seq} does not decode")]
    Undecodable { seq: u64 },
    #[error("bucket {bucket} ends at {tip} and its entries at {last}")]
    Tip { bucket: u32, tip: u64, last: u64 },
    #[error("bucket {bucket} ends with a batch that does not stand in it")]
    LastBatch { bucket: u32 },
    #[error("entry {seq} says that {stored} are not shown up to it, and there are {counted}")]
    Silent { seq: u64, stored: u64, counted: u64 },
    #[error("the count of entry {seq}, which is not shown, is missing or another")]
    Silence { seq: u64 },
    #[error("what entry {by} makes of entry {seq} is not stored")]
    Fate { seq: u64, by: u64 },
    #[error("readers see a tip of {copy}, and the log ends at {tip}")]
    CopyLeads { copy: u64, tip: u64 },
    /// No fault if the conversation was appended to just now: the next takeover brings the copy up.
    #[error("readers see a tip of {copy}, and the log ends at {tip}: its owner has not come back")]
    CopyLags { copy: u64, tip: u64 },
    #[error("what readers see of the end is not what the log says")]
    CopyDiffers,
    #[error("the row of member {user} does not decode")]
    Member { user: String },
    #[error("member {user} has spans that are not ascending, or lie behind the end")]
    Spans { user: String },
    #[error("a cursor of {user} is at {cursor}, and the log ends at {tip}")]
    Cursor { user: String, cursor: u64, tip: u64 },
}

impl Finding {
    /// Whether it shows in no answer of the store.
    pub fn is_hidden(&self) -> bool {
        match self {
            Finding::Repeated { .. }
            | Finding::Unmarked { .. }
            | Finding::Tip { .. }
            | Finding::LastBatch { .. }
            | Finding::Silent { .. }
            | Finding::Silence { .. }
            | Finding::Fate { .. }
            | Finding::CopyLeads { .. }
            | Finding::CopyDiffers => true,
            Finding::Missing { .. }
            | Finding::Undecodable { .. }
            | Finding::CopyLags { .. }
            | Finding::Member { .. }
            | Finding::Spans { .. }
            | Finding::Cursor { .. } => false,
        }
    }
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub tip: u64,
    /// How many were read.
    pub entries: u64,
    /// Users with rows.
    pub users: u64,
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
}

impl Checked {
    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// Checks a conversation from the entry `from` on, and some before it. With a retention, entries that are missing at the
/// beginning have outlived their time.
pub async fn conversation<T: Tables>(
    tables: &T,
    format: &Format,
    key: &ConversationKey,
    from: u64,
    retention: bool,
) -> Result<Checked, StoreError> {
    // First, so that it is not ahead of what is read of the log later.
    let copy = tables.conversation(key).await?;
    // The entry may stand in the last batch of the bucket before its own.
    let mut bucket = format.bucket(&LogName::Conversation(key.clone()), from.saturating_sub(1))?;
    bucket.number = bucket.number.saturating_sub(1);
    let mut walk = Walk::new(u64::from(bucket.number) * format.bucket_seqs, retention);
    let mut last = None;
    let seen = copy.as_ref().map_or(0, |(end, _)| end.tip);
    while let Some(head) = tables.head(&bucket, Reading::Serial).await? {
        let Some(end) = walk.begins(head) else { break };
        entries(tables, key, &bucket, (&end, seen), &mut walk).await?;
        walk.ends(format, &bucket, &end);
        last = Some(end);
        bucket.number += 1;
    }
    walk.copy(copy.map(|(end, _)| end), last.as_ref());
    seats(tables, key, &mut walk.checked).await?;
    Ok(walk.checked)
}

/// The entries of one bucket up to its tip, and the rows that go with them.
async fn entries<T: Tables>(
    tables: &T,
    key: &ConversationKey,
    bucket: &Bucket,
    (end, seen): (&End, u64),
    walk: &mut Walk,
) -> Result<(), StoreError> {
    let mut first = 0;
    while first <= end.tip {
        let range =
            EntryRange { first, last: end.tip, backwards: false, limit: ROWS_AT_ONCE, max_bytes: usize::MAX };
        let rows = tables.entries(bucket, range).await?;
        let Some(last) = rows.last() else { break };
        first = last.seq + 1;
        for row in &rows {
            let Some(meta) = walk.row(row, end) else { continue };
            // Behind what readers see it may not be written yet.
            if row.seq > seen {
                continue;
            }
            beside(tables, key, row.seq, &meta, &mut walk.checked).await?;
        }
    }
    Ok(())
}

/// What follows from an entry that is not shown.
async fn beside<T: Tables>(
    tables: &T,
    key: &ConversationKey,
    seq: u64,
    meta: &Meta,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let Some(silence) = meta.silence else { return Ok(()) };
    if tables.silence(key, seq).await? != Some((seq, silence)) {
        checked.find(Finding::Silence { seq });
    }
    let (target, recalls) = match meta.kind {
        EntryKind::Edit(target) => (target, false),
        EntryKind::Recall(target) => (target, true),
        EntryKind::Shown | EntryKind::Silent => return Ok(()),
    };
    let fates = tables.fates(key, target, target).await?;
    let known = fates.first().is_some_and(|fate| if recalls { fate.recalled } else { fate.edited >= seq });
    if !known {
        checked.find(Finding::Fate { seq: target, by: seq });
    }
    Ok(())
}

async fn seats<T: Tables>(
    tables: &T,
    key: &ConversationKey,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let seats = tables.seats(key, &after, ROWS_AT_ONCE).await?;
        let is_last = seats.len() < ROWS_AT_ONCE;
        // Cursors and rows may belong to entries behind the end that was read.
        let tip = tables.conversation(key).await?.map_or(0, |(end, _)| end.tip).max(checked.tip);
        for (user, seat) in seats {
            seat_of(&user, &seat, tip, checked);
            after = user;
        }
        if is_last {
            return Ok(());
        }
    }
}

fn seat_of(user: &str, seat: &Seat, tip: u64, checked: &mut Checked) {
    checked.users += 1;
    if let Some(cursor) = [seat.read, seat.delivered, seat.sent].into_iter().find(|cursor| *cursor > tip) {
        checked.find(Finding::Cursor { user: user.to_owned(), cursor, tip });
    }
    let Some(row) = &seat.row else { return };
    let Some(Seated { member, .. }) = Seated::decode(row) else {
        return checked.find(Finding::Member { user: user.to_owned() });
    };
    let ascending = member.spans.windows(2).all(|pair| pair[0].to < pair[1].from);
    let within =
        member.spans.iter().all(|span| span.from <= tip + 1 && (span.to <= tip || span.to == u64::MAX));
    if !ascending || !within || member.spans.is_empty() {
        checked.find(Finding::Spans { user: user.to_owned() });
    }
}

/// The log, read from its front.
struct Walk {
    checked: Checked,
    /// The next entry.
    next: u64,
    /// How many are not shown up to here, and the last that is; unknown where the walk begins in the middle.
    counted: Option<(u64, u64)>,
    /// Whether entries that are missing at the front may have outlived their time.
    expires: bool,
    /// The last seq of the bucket, and whether its last batch was seen to begin.
    last: u64,
    began: bool,
}

impl Walk {
    /// Behind so many entries.
    fn new(behind: u64, expires: bool) -> Walk {
        let counted = (behind == 0).then_some((0, 0));
        let checked = Checked::default();
        Walk { checked, next: behind + 1, counted, expires, last: 0, began: false }
    }

    fn begins(&mut self, head: BucketHead) -> Option<End> {
        (self.last, self.began) = (self.next - 1, false);
        head.end
    }

    fn row(&mut self, row: &EntryRow, end: &End) -> Option<Meta> {
        let is_first = self.checked.entries == 0;
        self.checked.entries += 1;
        if row.seq < self.next && !(is_first && self.counted.is_none()) {
            self.checked.find(Finding::Repeated { seq: row.seq });
            return None;
        }
        if row.seq > self.next {
            let (first, last) = (self.next, row.seq - 1);
            // Where the walk begins in the middle, a batch of the bucket before may reach into this one.
            if !is_first || (self.counted.is_some() && !self.expires) {
                self.checked.find(Finding::Missing { first, last });
            }
            self.counted = None;
        }
        (self.next, self.last) = (row.seq + 1, row.seq);
        if row.seq == end.base + 1 {
            self.began = row.batch == Some(end.batch);
            if row.batch.is_none() {
                self.checked.find(Finding::Unmarked { seq: row.seq });
            }
        }
        match Meta::decode(&row.meta) {
            Some(meta) => {
                self.count(row.seq, &meta);
                Some(meta)
            }
            None => {
                self.checked.find(Finding::Undecodable { seq: row.seq });
                None
            }
        }
    }

    fn count(&mut self, seq: u64, meta: &Meta) {
        let Some(silence) = meta.silence else {
            self.counted = self.counted.map(|(silent, _)| (silent, seq));
            return;
        };
        if let Some((silent, shown)) = self.counted
            && (silent + 1, shown) != (silence.count, silence.shown)
        {
            self.checked.find(Finding::Silent { seq, stored: silence.count, counted: silent + 1 });
        }
        self.counted = Some((silence.count, silence.shown));
    }

    fn ends(&mut self, format: &Format, bucket: &Bucket, end: &End) {
        self.checked.tip = end.tip;
        let number = bucket.number;
        let gone = self.expires && self.last < end.tip && self.checked.entries == 0;
        if self.last != end.tip && !gone {
            self.checked.find(Finding::Tip { bucket: number, tip: end.tip, last: self.last });
        }
        if gone {
            self.counted = None;
        }
        if !gone && (!self.began || end.base / format.bucket_seqs != u64::from(number)) {
            self.checked.find(Finding::LastBatch { bucket: number });
        }
        if let Some((silent, shown)) = self.counted
            && (silent, shown) != (end.silent, end.shown)
        {
            self.checked.find(Finding::Silent { seq: end.tip, stored: end.silent, counted: silent });
        }
        self.next = end.tip + 1;
    }

    fn copy(&mut self, copy: Option<ConversationEnd>, end: Option<&End>) {
        let (copy, Some(end)) = (copy.unwrap_or_default(), end) else { return };
        let (seen, tip) = (copy.tip, end.tip);
        if seen > tip {
            self.checked.find(Finding::CopyLeads { copy: seen, tip });
        } else if seen < tip {
            self.checked.find(Finding::CopyLags { copy: seen, tip });
        } else if super::effects::copy(end, copy.changed) != copy {
            self.checked.find(Finding::CopyDiffers);
        }
    }
}
