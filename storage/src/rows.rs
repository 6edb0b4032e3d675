//! What stands in a row, whatever the backend: one version byte, then numbers big endian.

use protocol::v1::{ConversationInfo, Role};

use crate::directory::UserInfo;
use crate::member::{MemberRow, Span};
use crate::presence::{PresenceState, Standing};

/// The first byte of every row but entries.
pub(crate) const VERSION: u8 = 1;

/// One event of a tenant's presence log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRow {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) state: PresenceState,
    pub(crate) at_ms: i64,
    pub(crate) user: String,
}

/// A row's bytes and back; `None` if they are none.
pub(crate) trait Row: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Option<Self>;
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

pub(crate) fn role(bytes: [u8; 4]) -> Option<Role> {
    Role::try_from(i32::from_be_bytes(bytes)).ok()
}

/// A row in the making.
pub(crate) struct Out(Vec<u8>);

impl Out {
    pub(crate) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(crate) fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// With its length in front.
    pub(crate) fn part(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes(&length.to_be_bytes()).bytes(bytes)
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// A row being read: what is left of it.
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.strip_prefix(&[VERSION]).map(Self)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes with their length in front.
    pub(crate) fn part(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        let (part, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(part)
    }

    /// The rest.
    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(std::mem::take(&mut self.0).to_vec()).ok()
    }

    pub(crate) fn end<T>(self, row: T) -> Option<T> {
        self.0.is_empty().then_some(row)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Debug;

    use super::*;

    pub(crate) fn same<R: Row + PartialEq + Debug>(row: R) {
        let bytes = row.encode();
        assert_eq!(R::decode(&bytes).as_ref(), Some(&row));
        assert!(R::decode(&[]).is_none());
        let mut later = bytes;
        later[0] = VERSION + 1;
        assert!(R::decode(&later).is_none(), "a version nobody knows");
    }

    #[test]
    fn every_row_comes_back() {
        same(7u64);
        same(ConversationInfo { kind: 1, title: "ü".into() });
        let state = PresenceState::Away;
        same(EventRow { seq: 1, epoch: 2, state, at_ms: -3, user: "ü".into() });
        same(Standing { state, since_ms: i64::MIN, seq: 4 });
        same(UserInfo { name: String::new(), role: Role::Agent });
        same(MemberRow { spans: vec![Span { from: 1, to: 2 }], ..MemberRow::join("", Role::Owner, 4) });
    }

    #[test]
    fn cut_members_are_none() {
        let mut member = MemberRow::join("", Role::Member, 1).encode();
        member.pop();
        assert!(MemberRow::decode(&member).is_none());
    }
}
