//! What stands in a row: one version byte, then numbers big endian. Entries are stored as they came.

use protocol::v1::{ConversationInfo, Role};

use super::identity::StoreId;
use crate::directory::UserInfo;
use crate::log::BatchId;
use crate::member::{Cursors, MemberRow, Span};

/// The first byte of every row but entries.
const VERSION: u8 = 1;

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) tip: u64,
    pub(super) tip_at_ms: i64,
    pub(super) last_batch: BatchId,
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

/// A row's bytes and back; `None` if they are none.
pub(super) trait Row: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Row for Head {
    fn encode(&self) -> Vec<u8> {
        Out::new().u64(self.tip).u64(self.tip_at_ms.cast_unsigned()).bytes(&self.last_batch).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let head = Self { tip: row.u64()?, tip_at_ms: row.u64()?.cast_signed(), last_batch: row.array()? };
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

impl Row for Cursors {
    fn encode(&self) -> Vec<u8> {
        Out::new().u64(self.read).u64(self.delivered).u64(self.sent).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let cursors = Self { read: row.u64()?, delivered: row.u64()?, sent: row.u64()? };
        row.end(cursors)
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
        same(Head { tip: 3, tip_at_ms: -5, last_batch: [9; 16] });
        same(Commit { store: [1; 16], number: 2, incarnation: 3 });
        same(Cursors { read: 1, delivered: u64::MAX, sent: 0 });
        same(7u64);
        same(([4; 16], 8u64));
        same(ConversationInfo { kind: 1, title: "ü".into() });
        same(UserInfo { name: String::new(), role: Role::Agent });
        same(MemberRow { spans: vec![Span { from: 1, to: 2 }], ..MemberRow::join("", Role::Owner, 4) });
    }

    #[test]
    fn cut_rows_are_none() {
        let head = Head::default().encode();
        for length in 0..head.len() {
            assert!(Head::decode(&head[..length]).is_none());
        }
        let mut member = MemberRow::join("", Role::Member, 1).encode();
        member.pop();
        assert!(MemberRow::decode(&member).is_none());
    }
}
