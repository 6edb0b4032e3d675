//! A backend as the suite sees it, and short ways to say things to it.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::Store;
use crate::key::ConversationKey;
use crate::log::{
    Append, AppendOutcome, Entry, EntryKind, Log, Opened, ReadRange, SenderSlotOf, StoredEntry, Users,
};

/// One place where a store may live, empty at first.
pub trait Fixture: Send + Sync {
    /// Opens the store. Called once before any `reopen`.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>>;

    /// Ends `store`, of which this is the last handle, and opens it again as a new process would.
    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Arc<dyn Store>>;

    /// Whether several processes may use the store at once. Then whoever held a log before a reopen still holds it, and
    /// versions are times, microseconds, which rise though nothing is written.
    fn is_shared(&self) -> bool {
        false
    }
}

/// A log held open, as its owner would.
pub(super) struct Owner {
    pub(super) key: ConversationKey,
    pub(super) opened: Opened,
    pub(super) tip: u64,
}

impl Owner {
    pub(super) async fn open(store: &dyn Store, key: &ConversationKey) -> Owner {
        let opened = Log::open(store, key).await.unwrap();
        Owner { key: key.clone(), tip: opened.tip, opened }
    }

    /// An append of these payloads at the tip.
    pub(super) fn batch(&self, payloads: &[&str]) -> Append {
        Append {
            key: self.key.clone(),
            epoch: self.opened.epoch,
            expected_tip: self.tip,
            batch: batch_id(self.tip + 1),
            at_ms: 1_000,
            entries: payloads.iter().map(|payload| entry(payload)).collect(),
            members: Vec::new(),
            active: Users::default(),
            info: None,
        }
    }

    /// Appends and moves on; it must be applied.
    pub(super) async fn apply(&mut self, store: &dyn Store, append: Append) {
        let entries = append.entries.len() as u64;
        assert_eq!(store.append(append).await, AppendOutcome::Applied);
        self.tip += entries;
    }

    pub(super) async fn say(&mut self, store: &dyn Store, payloads: &[&str]) {
        self.apply(store, self.batch(payloads)).await;
    }
}

pub(super) fn key(conversation: &str) -> ConversationKey {
    ConversationKey::new("tenant", conversation)
}

pub(super) fn batch_id(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// An entry that counts for nobody.
pub(super) fn entry(payload: &str) -> Entry {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Entry { payload, sender: String::new(), slot: None, kind: EntryKind::Shown }
}

pub(super) fn slot(device: u64, slot: u8, id: u8) -> Option<SenderSlotOf> {
    Some(SenderSlotOf { device, slot, client_msg_id: [id; 16] })
}

/// Everything from `first` to `last`.
pub(super) fn range(first: u64, last: u64) -> ReadRange {
    ReadRange { first, last, backwards: false, max_entries: usize::MAX, max_bytes: usize::MAX }
}

pub(super) async fn read(store: &dyn Store, key: &ConversationKey, range: ReadRange) -> Vec<(u64, String)> {
    texts(store.read(key, range).await.unwrap())
}

pub(super) fn texts(entries: Vec<StoredEntry>) -> Vec<(u64, String)> {
    let text = |entry: StoredEntry| (entry.seq, String::from_utf8(entry.payload.to_vec()).unwrap());
    entries.into_iter().map(text).collect()
}

/// `(first, "first")` … as `read` gives them, where every payload is its seq in words.
pub(super) fn numbered(seqs: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    seqs.into_iter().map(|seq| (seq, seq.to_string())).collect()
}

/// A log with entries `1..=tip`, each saying its seq.
pub(super) async fn filled(store: &dyn Store, key: &ConversationKey, tip: u64) -> Owner {
    let mut owner = Owner::open(store, key).await;
    let payloads: Vec<String> = (1..=tip).map(|seq| seq.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    owner.say(store, &payloads).await;
    owner
}
