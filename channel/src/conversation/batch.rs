//! Entries with their seqs, and the answers they owe.

use bytes::Bytes;
use prost::Message as _;
use protocol::check::Refused;
use protocol::limit::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES};
use protocol::v1::{ConversationInfo, Message};
use storage::ConversationKey;
use storage::log::{Append, BatchId, Entry, EntryKind, SenderSlotOf};

use super::event::ReplyTo;
use super::members::{Audience, Changes};
use super::sender::SenderUndo;
use super::target::{Target, TargetKind};

/// One append, from the moment it is made until it has settled.
pub struct Batch {
    pub id: BatchId,
    pub at_ms: i64,
    /// The tip it is appended at.
    pub base: u64,
    pub items: Vec<Item>,
    /// In the order of the requests.
    pub answers: Vec<Answer>,
    pub changes: Changes,
    pub info: Option<ConversationInfo>,
    pub undos: Vec<SenderUndo>,
    /// How often its outcome was unknown.
    pub unknowns: u32,
    bytes: usize,
}

/// One entry.
pub struct Item {
    pub payload: Bytes,
    pub sender: String,
    pub kind: EntryKind,
    pub target: TargetKind,
    pub slot: Option<SenderSlotOf>,
    pub audience: Audience,
}

/// What a request is told when the batch has settled.
pub struct Answer {
    pub to: ReplyTo,
    pub client_msg_id: Bytes,
    pub verdict: Result<Verdict, Refused>,
}

#[derive(Clone, Copy)]
pub enum Verdict {
    /// This batch holds it.
    Appended { seq: u64, duplicate: bool },
    /// It was committed earlier.
    Known { seq: u64 },
}

impl Batch {
    pub fn new(id: BatchId, base: u64, at_ms: i64, changes: Changes) -> Batch {
        Batch {
            id,
            at_ms,
            base,
            items: Vec::new(),
            answers: Vec::new(),
            changes,
            info: None,
            undos: Vec::new(),
            unknowns: 0,
            bytes: 0,
        }
    }

    /// The seq of its last entry so far.
    pub fn tip(&self) -> u64 {
        self.base + self.items.len() as u64
    }

    /// Whether a request of about `bytes` has room. A direct conversation's first send is two entries, and is
    /// always the first of its batch.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.items.is_empty()
            || (self.items.len() < MAX_BATCH_MESSAGES && self.bytes + bytes <= MAX_BATCH_BYTES)
    }

    /// Appends the entry `tip() + 1`, which `message.seq` says already.
    pub fn push(&mut self, message: Message, slot: Option<SenderSlotOf>, audience: Audience) {
        debug_assert_eq!(message.seq, self.tip() + 1);
        let payload = Bytes::from(message.encode_to_vec());
        self.bytes += payload.len();
        let (kind, target) = (EntryKind::of(&message), TargetKind::of(&message));
        self.items.push(Item { payload, sender: message.sender, kind, target, slot, audience });
    }

    /// What a retry of the send with this seq is told.
    pub fn repeat(&self, seq: u64) -> Verdict {
        // A seq behind this batch is in the log already: a later owner has stored the first copy.
        match (self.base + 1..=self.tip()).contains(&seq) {
            true => Verdict::Appended { seq, duplicate: true },
            false => Verdict::Known { seq },
        }
    }

    /// One of its entries, as it is after all that come later.
    pub fn target(&self, seq: u64) -> Option<Target> {
        let item = self.items.get(usize::try_from(seq.checked_sub(self.base + 1)?).ok()?)?;
        Some(Target { author: item.sender.clone(), kind: item.target, recalled: self.recalls(seq) })
    }

    /// Whether it recalls this entry.
    pub fn recalls(&self, seq: u64) -> bool {
        self.items.iter().any(|item| item.kind == EntryKind::Recall(seq))
    }

    /// The append that stores it. The same batch may be appended again under a later epoch.
    pub fn append(&self, key: &ConversationKey, epoch: u64) -> Append {
        let entry = |item: &Item| Entry::new(item.payload.clone(), &item.sender, item.kind, item.slot);
        Append {
            key: key.clone(),
            epoch,
            expected_tip: self.base,
            batch: self.id,
            at_ms: self.at_ms,
            entries: self.items.iter().map(entry).collect(),
            members: self.changes.rows(),
            active: self.changes.users().clone(),
            info: self.info.clone(),
        }
    }

    /// The devices whose sends it holds.
    pub fn devices(&self) -> impl Iterator<Item = u64> {
        self.items.iter().filter_map(|item| item.slot.map(|slot| slot.device))
    }
}
