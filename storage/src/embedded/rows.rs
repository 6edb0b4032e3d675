//! What stands in a row: one version byte, then numbers big endian. Entries are stored as they came.

use protocol::v1::{ConversationInfo, Role};

use super::identity::StoreId;
use crate::directory::UserInfo;
use crate::log::{BatchId, Fate};
use crate::member::{Cursors, MemberRow, Span};
use crate::presence::{PresenceState, Standing};

/// The first byte of every row but entries.
const VERSION: u8 = 1;

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

/// One event of a tenant's presence log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventRow {
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) state: PresenceState,
    pub(super) at_ms: i64,
    pub(super) user: String,
}

/// A row's bytes and back; `None` if they are none.
pub(super) trait Row: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Row for Head {
    fn encode(&self) -> Vec<u8> {
        let out = Out::new().u64(self.tip).u64(self.tip_at_ms.cast_unsigned()).bytes(&self.last_batch);
        out.u64(self.version).u64(self.silent).u64(self.shown).bytes(&[u8::from(self.wide)]).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let (tip, tip_at_ms) = (row.u64()?, row.u64()?.cast_signed());
        let mut head = Self { tip, tip_at_ms, last_batch: row.array()?, shown: tip, ..Self::default() };
        // A row of format 1 ends here: all of its entries are shown.
        if !row.0.is_empty() {
            (head.version, head.silent, head.shown) = (row.u64()?, row.u64()?, row.u64()?);
            head.wide = row.array()? != [0];
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

/// A number alone: the latest own message, or a device's id.
impl Row for u64 {
    fn encode(&self) -> Vec<u8> {
        Out::new().u64(*self).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let number = row.u64()?;
        row.end(number)
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

impl Row for ConversationInfo {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(&self.kind.to_be_bytes()).bytes(self.title.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        Some(Self { kind: i32::from_be_bytes(row.array()?), title: row.text()? })
    }
}

impl Row for UserInfo {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(&(self.role as i32).to_be_bytes()).bytes(self.name.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        Some(Self { role: role(row.array()?)?, name: row.text()? })
    }
}

/// A member's row without the user, who is in the key.
impl Row for MemberRow {
    fn encode(&self) -> Vec<u8> {
        let out = Out::new().bytes(&(self.role as i32).to_be_bytes());
        self.spans.iter().fold(out, |out, span| out.u64(span.from).u64(span.to)).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let mut member = Self { user: String::new(), role: role(row.array()?)?, spans: Vec::new() };
        while !row.0.is_empty() {
            member.spans.push(Span { from: row.u64()?, to: row.u64()? });
        }
        Some(member)
    }
}

impl Row for EventRow {
    fn encode(&self) -> Vec<u8> {
        let numbers = Out::new().u64(self.seq).u64(self.epoch).u64(self.at_ms.cast_unsigned());
        numbers.bytes(&[self.state as u8]).bytes(self.user.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let (seq, epoch, at_ms) = (row.u64()?, row.u64()?, row.u64()?.cast_signed());
        Some(Self { seq, epoch, at_ms, state: presence(row.array()?)?, user: row.text()? })
    }
}

impl Row for Standing {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(&[self.state as u8]).u64(self.since_ms.cast_unsigned()).u64(self.seq).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let state = presence(row.array()?)?;
        let standing = Self { state, since_ms: row.u64()?.cast_signed(), seq: row.u64()? };
        row.end(standing)
    }
}

fn presence([byte]: [u8; 1]) -> Option<PresenceState> {
    [PresenceState::Offline, PresenceState::Away, PresenceState::Online]
        .into_iter()
        .find(|state| *state as u8 == byte)
}

fn role(bytes: [u8; 4]) -> Option<Role> {
    Role::try_from(i32::from_be_bytes(bytes)).ok()
}

struct Out(Vec<u8>);

impl Out {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn done(self) -> Vec<u8> {
        self.0
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.strip_prefix(&[VERSION]).map(Self)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The rest.
    fn text(&mut self) -> Option<String> {
        String::from_utf8(std::mem::take(&mut self.0).to_vec()).ok()
    }

    fn end<T>(self, row: T) -> Option<T> {
        self.0.is_empty().then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn same<R: Row + PartialEq + Debug>(row: R) {
        let bytes = row.encode();
        assert_eq!(R::decode(&bytes).as_ref(), Some(&row));
        assert!(R::decode(&[]).is_none());
        let mut later = bytes;
        later[0] = VERSION + 1;
        assert!(R::decode(&later).is_none(), "a version nobody knows");
    }

    #[test]
    fn every_row_comes_back() {
        let ends = Head { tip: 3, tip_at_ms: -5, last_batch: [9; 16], ..Head::default() };
        same(Head { version: 4, silent: 2, shown: 1, wide: true, ..ends });
        same(Silent { count: 1, shown: 2, edits: 3 });
        same(Fate { recalled: true, edited: 5 });
        same(Commit { store: [1; 16], number: 2, incarnation: 3 });
        same(Moved { cursors: Cursors { read: 1, delivered: u64::MAX, sent: 0 }, version: 6 });
        same(7u64);
        same(([4; 16], 8u64));
        same(ConversationInfo { kind: 1, title: "ü".into() });
        let state = PresenceState::Away;
        same(EventRow { seq: 1, epoch: 2, state, at_ms: -3, user: "ü".into() });
        same(Standing { state, since_ms: i64::MIN, seq: 4 });
        same(UserInfo { name: String::new(), role: Role::Agent });
        same(MemberRow { spans: vec![Span { from: 1, to: 2 }], ..MemberRow::join("", Role::Owner, 4) });
    }

    #[test]
    fn cut_rows_are_none() {
        let head = Head::default().encode();
        let format_1 = 1 + 8 + 8 + 16;
        for length in (0..head.len()).filter(|&length| length != format_1) {
            assert!(Head::decode(&head[..length]).is_none());
        }
    }

    #[test]
    fn rows_of_format_1_are_read() {
        let ends = Head { tip: 3, tip_at_ms: -5, last_batch: [9; 16], shown: 3, ..Head::default() };
        let row = ends.encode();
        assert_eq!(Head::decode(&row[..33]), Some(ends));
        let moved = Moved { cursors: Cursors { read: 1, delivered: 2, sent: 3 }, version: 0 };
        assert_eq!(Moved::decode(&moved.encode()[..25]), Some(moved));
    }

    #[test]
    fn cut_members_are_none() {
        let mut member = MemberRow::join("", Role::Member, 1).encode();
        member.pop();
        assert!(MemberRow::decode(&member).is_none());
    }
}
