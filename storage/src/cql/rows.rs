//! Encodings that the tables of this backend hold beside those that all backends share.

use bytes::Bytes;
use protocol::v1::ConversationInfo;

use super::tables::Silence;
use crate::error::StoreError;
use crate::log::{EntryKind, SenderSlotOf};
use crate::member::MemberRow;
use crate::rows::{In, Out, Row};

/// What an entry is beside its payload. What follows from the entry follows from this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// Whose `sent` cursor it raises; empty for nobody's.
    pub(super) sender: String,
    pub(super) slot: Option<SenderSlotOf>,
    pub(super) kind: EntryKind,
    /// Of an entry that is not shown.
    pub(super) silence: Option<Silence>,
}

/// The rows that a batch changed beside its entries, as they were afterwards.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) members: Vec<MemberRow>,
    pub(super) info: Option<ConversationInfo>,
}

/// A member's row, and the places in the user's lists of the batch that wrote it: who has left stays there. They come
/// first, so that of two rows of one batch the later told of is the larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seated {
    pub(super) version: u64,
    pub(super) changed: u64,
    pub(super) member: MemberRow,
}

/// Decodes what stands at `what`.
pub(super) fn decode<R: Row>(bytes: &[u8], what: impl FnOnce() -> String) -> Result<R, StoreError> {
    R::decode(bytes).ok_or_else(|| StoreError::Corrupt(format!("{} does not decode", what())))
}

pub(super) fn encode<R: Row>(row: &R) -> Bytes {
    row.encode().into()
}

impl Row for Meta {
    fn encode(&self) -> Vec<u8> {
        let (kind, target) = match self.kind {
            EntryKind::Shown => (0, 0),
            EntryKind::Silent => (1, 0),
            EntryKind::Edit(seq) => (2, seq),
            EntryKind::Recall(seq) => (3, seq),
        };
        let mut out = Out::new().bytes(&[kind]).u64(target);
        let silence = self.silence.unwrap_or_default();
        out = out.u64(silence.count).u64(silence.shown);
        out = match self.slot {
            Some(slot) => out.bytes(&[1, slot.slot]).u64(slot.device).bytes(&slot.client_msg_id),
            None => out.bytes(&[0]),
        };
        out.bytes(self.sender.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let ([kind], target) = (row.array()?, row.u64()?);
        let kind = match kind {
            0 => EntryKind::Shown,
            1 => EntryKind::Silent,
            2 => EntryKind::Edit(target),
            3 => EntryKind::Recall(target),
            _ => return None,
        };
        let silence = Silence { count: row.u64()?, shown: row.u64()? };
        let slot = match row.array()? {
            [0] => None,
            _ => {
                let [slot] = row.array()?;
                Some(SenderSlotOf { slot, device: row.u64()?, client_msg_id: row.array()? })
            }
        };
        let silence = (kind != EntryKind::Shown).then_some(silence);
        Some(Self { sender: row.text()?, slot, kind, silence })
    }
}

impl Row for Changes {
    fn encode(&self) -> Vec<u8> {
        if self.members.is_empty() && self.info.is_none() {
            return Vec::new();
        }
        let out =
            self.info.as_ref().map_or_else(|| Out::new().part(&[]), |info| Out::new().part(&info.encode()));
        let add = |out: Out, member: &MemberRow| out.part(member.user.as_bytes()).part(&member.encode());
        self.members.iter().fold(out, add).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut row = In::new(bytes)?;
        let info = match row.part()? {
            [] => None,
            info => Some(ConversationInfo::decode(info)?),
        };
        let mut members = Vec::new();
        while !row.0.is_empty() {
            let user = String::from_utf8(row.part()?.to_vec()).ok()?;
            members.push(MemberRow { user, ..MemberRow::decode(row.part()?)? });
        }
        Some(Self { members, info })
    }
}

impl Row for Seated {
    fn encode(&self) -> Vec<u8> {
        Out::new().u64(self.version).u64(self.changed).bytes(&self.member.encode()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        Some(Self { version: row.u64()?, changed: row.u64()?, member: MemberRow::decode(row.0)? })
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1::Role;

    use super::*;
    use crate::rows::tests::same;

    #[test]
    fn every_row_comes_back() {
        let slot = SenderSlotOf { device: 7, slot: 127, client_msg_id: [9; 16] };
        same(Meta { sender: "ü".into(), slot: Some(slot), ..Meta::default() });
        let silence = Some(Silence { count: 3, shown: 2 });
        for kind in [EntryKind::Silent, EntryKind::Edit(4), EntryKind::Recall(5)] {
            same(Meta { kind, silence, ..Meta::default() });
        }
        let member = MemberRow::join("", Role::Agent, 8);
        same(Seated { version: 1, changed: 2, member: member.clone() });
        let members = vec![MemberRow { user: "ann".into(), ..member }, MemberRow::join("ü", Role::Owner, 1)];
        let info = Some(ConversationInfo { kind: 1, title: "Tea".into() });
        let all = Changes { members: members.clone(), info };
        for changes in [all, Changes { members, info: None }, Changes::default()] {
            assert_eq!(Changes::decode(&changes.encode()), Some(changes));
        }
    }

    #[test]
    fn what_is_told_of_later_is_larger() {
        let seated = |changed| Seated { version: 9, changed, member: MemberRow::join("", Role::Agent, 8) };
        assert!(encode(&seated(256)) > encode(&seated(255)));
    }

    #[test]
    fn a_cut_row_is_none() {
        let changes = Changes { members: vec![MemberRow::join("ann", Role::Owner, 1)], info: None };
        let bytes = changes.encode();
        let whole = |length: usize| length == 0 || length == 1 + 4 || length == bytes.len();
        for length in (0..=bytes.len()).filter(|&length| !whole(length)) {
            assert_eq!(Changes::decode(&bytes[..length]), None, "{length}");
        }
    }
}
