//! What follows from a committed batch. Timestamps are seqs, so a write that comes again or late changes nothing.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::rows::{Seated, encode};
use super::tables::{ConversationEnd, End, Write};
use crate::log::EntryKind;

impl Batch {
    /// What the entries mean to counts and to earlier entries. Has to be there before the tip is: readers count up to it.
    pub(super) fn meanings(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (seq, meta) in &self.metas {
            let (key, by) = (self.key.clone(), *seq);
            match meta.kind {
                EntryKind::Edit(seq) => writes.push(Write::Edited { key, seq, by }),
                EntryKind::Recall(seq) => writes.push(Write::Recalled { key, seq }),
                EntryKind::Shown | EntryKind::Silent => {}
            }
            if let Some(silence) = meta.silence {
                writes.push(Write::Silence { key: self.key.clone(), seq: *seq, silence });
            }
        }
        writes
    }

    /// The members' rows.
    pub(super) fn seats(&self, changed: u64) -> Vec<Write> {
        let write = |member: &crate::member::MemberRow| {
            let seated = Seated { version: self.end.version, changed, member: member.clone() };
            let (key, user) = (self.key.clone(), member.user.clone());
            Write::Member { key, user, row: encode(&seated), seq: self.end.tip }
        };
        self.changes.members.iter().map(write).collect()
    }

    /// What the senders leave: how far each has read by having spoken, and the ids of the sends.
    pub(super) fn senders(&self) -> Vec<Write> {
        let mut last = BTreeMap::new();
        let mut writes = Vec::new();
        for (seq, meta) in &self.metas {
            if !meta.sender.is_empty() {
                last.insert(meta.sender.as_str(), *seq);
            }
            if let Some(slot) = meta.slot {
                let (key, client_msg_id) = (self.key.clone(), slot.client_msg_id);
                let (device, slot) = (slot.device, slot.slot);
                writes.push(Write::Slot { key, device, slot, client_msg_id, seq: *seq });
            }
        }
        let sent =
            |(user, seq): (&str, u64)| Write::Sent { key: self.key.clone(), user: user.to_owned(), seq };
        writes.extend(last.into_iter().map(sent));
        writes
    }

    /// The copy of the log's end that readers go by.
    pub(super) fn conversation(&self, changed: u64) -> Write {
        let info = self.changes.info.as_ref().map(encode);
        Write::Conversation { key: self.key.clone(), end: copy(&self.end, changed), info }
    }
}

pub(super) fn copy(end: &End, changed: u64) -> ConversationEnd {
    let End { tip, at_ms, version, silent, shown, wide, .. } = *end;
    ConversationEnd { tip, at_ms, version, changed, silent, shown, wide }
}
