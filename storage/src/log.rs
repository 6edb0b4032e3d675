//! The append log: one per conversation, entries 1, 2, 3 … without a hole.
//!
//! The trait is the contract; `contract` is the suite that holds every backend to it.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::limit::CLIENT_MSG_ID_BYTES;
use protocol::v1::relation::Kind as Relation;
use protocol::v1::{self, ConversationInfo, Message};

use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::member::MemberRow;

/// User ids, shared by whoever needs the same list.
pub type Users = Arc<[Arc<str>]>;

/// Identifies one append, so that its owner can recognise it when the outcome got lost.
pub type BatchId = [u8; 16];

/// The logs of all conversations.
///
/// # Contract
/// 1. `append` is compare-and-set on (tip, epoch): it is applied whole if the log's tip is `expected_tip` and its
///    epoch is `epoch`, and changes nothing otherwise. Appends of one log never interleave.
/// 2. `Applied` is answered after everything in the append is on stable storage, member rows, sender slots and
///    cursors included; a read begun after that sees it all.
/// 3. `Conflict` is definite: nothing of this append is stored, now or later.
/// 4. `Refused` is definite in the same way. `Unknown` says nothing: the append may be stored, or be stored later
///    until the next `open` of the log returns; that `open` settles it. Nobody appends to the log before that.
/// 5. `open` makes every append under an earlier epoch fail from then on.
/// 6. `read` returns entries of the range asked without a hole and never past the tip.
/// 7. A recall that was answered `Applied` shows in every read begun after that: the [`Fate`] of the entry it refers
///    to, and of every edit of that entry, says `recalled`. Payloads stay as they were appended; whoever serves them
///    leaves the content out. An edit shows in the fate of the entry it refers to.
pub trait Log: Send + Sync + 'static {
    /// Takes a log over: raises its epoch and returns its state. A log nobody appended to has tip 0.
    fn open<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<Opened, StoreError>>;

    /// Appends a batch at the tip.
    fn append(&self, append: Append) -> BoxFuture<'_, AppendOutcome>;

    /// What is known of a device's latest sends in a conversation, by slot, at most `DEDUPE_WINDOW`.
    fn sender<'a>(
        &'a self,
        key: &'a ConversationKey,
        device: u64,
    ) -> BoxFuture<'a, Result<Vec<SenderSlot>, StoreError>>;

    /// Reads entries; see [`ReadRange`].
    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        range: ReadRange,
    ) -> BoxFuture<'a, Result<Vec<StoredEntry>, StoreError>>;

    /// The committed tip; 0 for a log nobody appended to.
    fn tip<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<u64, StoreError>>;
}

/// A log's state at takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Appends carry it.
    pub epoch: u64,
    pub tip: u64,
    /// Batch that committed the tip; zero for an empty log.
    pub last_batch: BatchId,
    /// `None` for a log nobody appended to.
    pub info: Option<ConversationInfo>,
    /// Every user who is or was a member.
    pub members: Vec<MemberRow>,
}

/// One conditional append.
#[derive(Clone, Debug)]
pub struct Append {
    pub key: ConversationKey,
    pub epoch: u64,
    pub expected_tip: u64,
    pub batch: BatchId,
    /// When the owner took the batch, milliseconds since 1970: the conversation's latest activity.
    pub at_ms: i64,
    /// The entries `expected_tip + 1 ..`; at least one.
    pub entries: Vec<Entry>,
    /// Rows that these entries change, as they are afterwards.
    pub members: Vec<MemberRow>,
    /// Everyone who is a member after these entries: whose lists of conversations they change.
    pub active: Users,
    /// Set by the append that creates the conversation.
    pub info: Option<ConversationInfo>,
}

/// One entry to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// An encoded `whimbrel.v1.Message` without its conversation.
    pub payload: Bytes,
    /// Raises the `sent` cursor of this user; empty for entries that count for nobody.
    pub sender: String,
    /// The sender's dedupe state after this entry.
    pub slot: Option<SenderSlotOf>,
    pub kind: EntryKind,
}

impl Entry {
    /// The entry that a message by `sender` becomes.
    pub fn new(payload: Bytes, sender: &str, kind: EntryKind, slot: Option<SenderSlotOf>) -> Entry {
        // Who sends what is not shown need not have read what was said before.
        let sender = if kind == EntryKind::Shown { sender.to_owned() } else { String::new() };
        Entry { payload, sender, slot, kind }
    }
}

/// What an entry means to counts, and to earlier entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryKind {
    /// Counts as unread, and may be the last message of a list.
    #[default]
    Shown,
    /// Does neither. So do the next two.
    Silent,
    /// Replaces the content of this earlier entry.
    Edit(u64),
    /// Takes the content of this earlier entry away, and of every edit of it.
    Recall(u64),
}

impl EntryKind {
    /// What a message means.
    pub fn of(message: &Message) -> EntryKind {
        match change_of(message.relation.as_ref()) {
            Some((Relation::Edit, seq)) => EntryKind::Edit(seq),
            Some((_, seq)) => EntryKind::Recall(seq),
            None if message.hidden => EntryKind::Silent,
            None => EntryKind::Shown,
        }
    }
}

/// Edit or recall, and of what; `None` for every other relation.
pub fn change_of(relation: Option<&v1::Relation>) -> Option<(Relation, u64)> {
    let relation = relation?;
    match relation.kind() {
        kind @ (Relation::Edit | Relation::Recall) => Some((kind, relation.seq)),
        Relation::None | Relation::Reply => None,
    }
}

/// What later entries have made of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// It, or the entry that it edits, was recalled: its content is not to be served any more.
    pub recalled: bool,
    /// The seq of its latest edit; 0 for none.
    pub edited: u64,
}

/// Whether a message is all that is left of an entry that has outlived its time: its seq. Backends give such a stand-in,
/// so that nobody finds a hole.
pub fn is_gone(message: &Message) -> bool {
    *message == Message { seq: message.seq, ..Message::default() }
}

/// A device's slot to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderSlotOf {
    pub device: u64,
    /// 0 to `DEDUPE_WINDOW - 1`: the device's sends in this conversation take the slots in turn.
    pub slot: u8,
    pub client_msg_id: [u8; CLIENT_MSG_ID_BYTES],
}

/// A device's slot as stored: this `client_msg_id` has this `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderSlot {
    pub slot: u8,
    pub client_msg_id: [u8; CLIENT_MSG_ID_BYTES],
    pub seq: u64,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// On stable storage.
    Applied,
    /// Somebody else appended or took the log over.
    Conflict { tip: u64, epoch: u64 },
    /// Not stored and never will be.
    Refused(StoreError),
    /// Perhaps stored.
    Unknown(StoreError),
}

/// Seqs `first..=last`, read from one end until `max_entries` or `max_bytes` of payload is reached; the first
/// entry is returned whatever its size. Seqs beyond the tip are not an error, they are not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRange {
    pub first: u64,
    pub last: u64,
    /// Start at `last`. The entries come back ascending all the same.
    pub backwards: bool,
    pub max_entries: usize,
    pub max_bytes: usize,
}

/// An entry as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    pub seq: u64,
    pub payload: Bytes,
    pub fate: Fate,
}
