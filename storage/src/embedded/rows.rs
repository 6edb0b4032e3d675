//! Rows that this backend alone has, and those it shares. Entries are stored as they came.

use super::identity::StoreId;
use crate::log::{BatchId, Fate};
use crate::member::Cursors;
pub(super) use crate::rows::{EventRow, Row};
use crate::rows::{In, Out};

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) tip: u64,
    pub(super) tip_at_ms: i64,
    pub(super) last_batch: BatchId,
    /// The commit that wrote it.
    pub(super) version: u64,
    /// How many of the entries are not shown.
    pub(super) silent: u64,
    /// The last entry that is; 0 for none.
    pub(super) shown: u64,
    /// There are too many members to keep a row for each: see `listing`.
    pub(super) wide: bool,
    /// The commit at which it stands in its members' lists: see `listing`.
    pub(super) place: u64,
}

/// An entry that is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silent {
    /// How many are not shown up to here, this one included.
    pub(super) count: u64,
    /// The last entry before it that is shown; 0 for none.
    pub(super) shown: u64,
    /// The entry that it edits; 0 for none.
    pub(super) edits: u64,
}

/// A user's cursors, and the commit by which the read cursor rose last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) cursors: Cursors,
    pub(super) version: u64,
}

/// Written first in every commit: which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) store: StoreId,
    /// 1, 2, 3 … without a hole.
    pub(super) number: u64,
    /// How often the store was opened.
    pub(super) incarnation: u64,
}

impl Row for Head {
    fn encode(&self) -> Vec<u8> {
        let out = Out::new().u64(self.tip).u64(self.tip_at_ms.cast_unsigned()).bytes(&self.last_batch);
        out.u64(self.version)
            .u64(self.silent)
            .u64(self.shown)
            .bytes(&[u8::from(self.wide)])
            .u64(self.place)
            .done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let (tip, tip_at_ms) = (row.u64()?, row.u64()?.cast_signed());
        let mut head = Self { tip, tip_at_ms, last_batch: row.array()?, shown: tip, ..Self::default() };
        // A row of format 1 ends here: all of its entries are shown.
        if !row.0.is_empty() {
            (head.version, head.silent, head.shown) = (row.u64()?, row.u64()?, row.u64()?);
            head.wide = row.array()? != [0];
            // One of format 2 ends here: its place is that of its latest entry.
            head.place = if row.0.is_empty() { head.version } else { row.u64()? };
        }
        row.end(head)
    }
}

impl Row for Commit {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(&self.store).u64(self.number).u64(self.incarnation).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let commit = Self { store: row.array()?, number: row.u64()?, incarnation: row.u64()? };
        row.end(commit)
    }
}

impl Row for Moved {
    fn encode(&self) -> Vec<u8> {
        let Cursors { read, delivered, sent } = self.cursors;
        Out::new().u64(read).u64(delivered).u64(sent).u64(self.version).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let cursors = Cursors { read: row.u64()?, delivered: row.u64()?, sent: row.u64()? };
        // A row of format 1 has no version.
        let version = if row.0.is_empty() { 0 } else { row.u64()? };
        row.end(Self { cursors, version })
    }
}

impl Row for Silent {
    fn encode(&self) -> Vec<u8> {
        Out::new().u64(self.count).u64(self.shown).u64(self.edits).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let silent = Self { count: row.u64()?, shown: row.u64()?, edits: row.u64()? };
        row.end(silent)
    }
}

impl Row for Fate {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(&[u8::from(self.recalled)]).u64(self.edited).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let fate = Self { recalled: row.array()? != [0], edited: row.u64()? };
        row.end(fate)
    }
}

/// `client_msg_id` and seq of a sender's slot.
impl Row for ([u8; 16], u64) {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(&self.0).u64(self.1).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let slot = (row.array()?, row.u64()?);
        row.end(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::same;

    #[test]
    fn every_row_comes_back() {
        let ends = Head { tip: 3, tip_at_ms: -5, last_batch: [9; 16], ..Head::default() };
        same(Head { version: 4, silent: 2, shown: 1, wide: true, place: 3, ..ends });
        same(Silent { count: 1, shown: 2, edits: 3 });
        same(Fate { recalled: true, edited: 5 });
        same(Commit { store: [1; 16], number: 2, incarnation: 3 });
        same(Moved { cursors: Cursors { read: 1, delivered: u64::MAX, sent: 0 }, version: 6 });
        same(([4; 16], 8u64));
    }

    #[test]
    fn cut_rows_are_none() {
        let head = Head::default().encode();
        let format_1 = 1 + 8 + 8 + 16;
        let format_2 = format_1 + 3 * 8 + 1;
        for length in (0..head.len()).filter(|&length| length != format_1 && length != format_2) {
            assert!(Head::decode(&head[..length]).is_none());
        }
    }

    #[test]
    fn rows_of_older_formats_are_read() {
        let ends = Head { tip: 3, tip_at_ms: -5, last_batch: [9; 16], shown: 3, ..Head::default() };
        let row = ends.encode();
        assert_eq!(Head::decode(&row[..33]), Some(ends));
        let of_2 = Head { version: 7, silent: 1, ..ends };
        assert_eq!(Head::decode(&of_2.encode()[..58]), Some(Head { place: 7, ..of_2 }));
        let moved = Moved { cursors: Cursors { read: 1, delivered: 2, sent: 3 }, version: 0 };
        assert_eq!(Moved::decode(&moved.encode()[..25]), Some(moved));
    }
}
