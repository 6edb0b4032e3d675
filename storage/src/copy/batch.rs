//! One append of a copy: entries as the source has them, and everything that went with them.

use std::collections::{BTreeSet, HashMap};

use protocol::Proto;
use protocol::v1::Message;

use super::CopyError;
use crate::Store;
use crate::key::ConversationKey;
use crate::log::{BatchId, Entry, EntryKind, SenderSlot, SenderSlotOf, StoredEntry};
use crate::member::MemberRow;
use crate::roster::Roster;

/// Devices whose slots are kept; past it they are read again.
const MAX_DEVICES: usize = 1_024;

/// Entries, and the members that they change.
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) members: Vec<MemberRow>,
    pub(super) at_ms: i64,
}

/// Makes batches of one conversation.
pub(super) struct Maker<'a> {
    source: &'a dyn Store,
    key: &'a ConversationKey,
    /// As it is after the latest batch.
    pub(super) roster: Roster,
    slots: HashMap<u64, Vec<SenderSlot>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(source: &'a dyn Store, key: &'a ConversationKey, roster: Roster) -> Self {
        Self { source, key, roster, slots: HashMap::new() }
    }

    pub(super) async fn batch(&mut self, stored: Vec<StoredEntry>) -> Result<Batch, CopyError> {
        let mut batch = Batch { entries: Vec::with_capacity(stored.len()), members: Vec::new(), at_ms: 0 };
        let mut changed: BTreeSet<String> = BTreeSet::new();
        for StoredEntry { seq, payload, .. } in stored {
            let undecodable = |_| CopyError::Undecodable { key: self.key.clone(), seq };
            let message = Message::decode(&payload[..]).map_err(undecodable)?;
            if let Some(members) = &message.members_changed {
                changed.extend(self.roster.apply(seq, members).map(str::to_owned));
            }
            let slot = self.slot(message.sender_device, seq).await?;
            batch.entries.push(Entry::new(payload, &message.sender, EntryKind::of(&message), slot));
            batch.at_ms = message.at_ms;
        }
        batch.members.extend(changed.iter().filter_map(|user| self.roster.get(user)).cloned());
        Ok(batch)
    }

    /// Rows of the source that its entries do not explain.
    pub(super) fn corrections(&mut self, rows: &[MemberRow]) -> Vec<MemberRow> {
        let wrong = rows.iter().filter(|row| self.roster.get(&row.user) != Some(row));
        let wrong: Vec<MemberRow> = wrong.cloned().collect();
        wrong.iter().for_each(|row| self.roster.put(row.clone()));
        wrong
    }

    /// The slot that the entry `seq` has taken, if no later one has taken it over.
    async fn slot(&mut self, device: u64, seq: u64) -> Result<Option<SenderSlotOf>, CopyError> {
        if device == 0 {
            return Ok(None);
        }
        if !self.slots.contains_key(&device) {
            if self.slots.len() >= MAX_DEVICES {
                self.slots.clear();
            }
            let slots = self.source.sender(self.key, device).await.map_err(CopyError::Source)?;
            self.slots.insert(device, slots);
        }
        let slot = self.slots.get(&device).and_then(|slots| slots.iter().find(|slot| slot.seq == seq));
        Ok(slot.map(|slot| SenderSlotOf { device, slot: slot.slot, client_msg_id: slot.client_msg_id }))
    }
}

/// A name for an append that is not the last of its log.
pub(super) fn batch_id() -> BatchId {
    rand::random()
}
