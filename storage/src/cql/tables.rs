//! The tables of the CQL backend, as what stands on them sees them: conditional writes, plain writes, reads. The
//! driver performs them on a real cluster, the fake in memory; everything else of the backend is the same for both.
//!
//! | table | partition | rows | written by |
//! |---|---|---|---|
//! | `log` | tenant, conversation, bucket | one per entry; where the log ends, in static columns | conditions only; plain for a conversation under a ledger |
//! | `conversations` | tenant, conversation | one per user; a copy of where the log ends, in static columns | plain |
//! | `senders` | tenant, conversation | one per device and slot | plain |
//! | `silences`, `fates` | tenant, conversation | one per silent entry; one per edited or recalled entry | plain |
//! | `listings` | tenant, user | kind, period, conversation | plain |
//! | `devices` | tenant, user, type, installation | the id | conditions only |
//! | `device_ids` | id | which device has it | conditions only |
//! | `workers` | worker number | the latest stamp of its ids | plain |
//! | `users` | tenant, user | name and role | plain |
//! | `presence_tips` | tenant | where the tenant's presence stream ends | plain |
//! | `standings` | tenant, shard | one per user | plain |
//! | `beats` | node | when it was alive | plain |
//! | `ledgers` | ledger | where it ended a while ago | plain |
//!
//! The log is the truth. Every other table of a conversation follows from it: a plain write is a pure function of a
//! committed batch and carries a timestamp that rises with the log, so writing it again changes nothing, and one that
//! comes late never replaces a later one. Of two values of one column with equal timestamps the one with the larger
//! bytes stays, and a removal before a value.

use bytes::Bytes;
use futures::future::BoxFuture;

pub use super::bucket::{Bucket, LogName};
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::BatchId;
use crate::presence::{Standing, UserName};

/// The static columns of a bucket. An absent partition has none of them; one that was only fenced has an epoch alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketHead {
    pub epoch: u64,
    /// Where the log ends; `None` before the bucket's first batch.
    pub end: Option<End>,
}

/// Where a log ends, and what the batch did that ended it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub tip: u64,
    pub batch: BatchId,
    /// The tip before that batch.
    pub base: u64,
    pub at_ms: i64,
    /// When the batch was made on the store's clock, microseconds since 1970: its place in lists of conversations.
    pub version: u64,
    /// How many entries are not shown.
    pub silent: u64,
    /// The last entry that is; 0 for none.
    pub shown: u64,
    /// There are too many members to list it for each at every change, or there once were.
    pub wide: bool,
    /// Encoded: the member rows and the description that the batch wrote. Empty for most.
    pub changes: Bytes,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    pub seq: u64,
    pub payload: Bytes,
    /// Encoded: sender, slot, kind.
    pub meta: Bytes,
    /// Of the batch's first entry only.
    pub batch: Option<BatchId>,
}

/// What a bucket's static columns must be for a conditional write to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `None`: there is none yet.
    pub epoch: Option<u64>,
    /// `None`: there is none yet.
    pub tip: Option<u64>,
}

/// A batch to commit: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub bucket: Bucket,
    pub expected: Expected,
    /// What becomes of the epoch: the owner's.
    pub epoch: u64,
    pub end: End,
    pub entries: Vec<EntryRow>,
    /// Seconds after which the entries are gone; the static columns stay. `None`: they stay for good.
    pub ttl: Option<u32>,
}

/// What became of a conditional write.
///
/// # Contract
/// `NotApplied` says that the condition was false when the round ended. It may have been false because an earlier
/// attempt of the same write within the round was applied: whoever cares reads and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cas {
    Applied,
    NotApplied,
}

/// Why a conditional write has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasError {
    /// It was never proposed: nothing is or will be written.
    #[error(transparent)]
    NotSent(StoreError),
    /// Nobody knows. It may be applied now or later. What was proposed is completed, or fails for ever, by the next
    /// conditional write on the partition, or serial read of it, that ends with success. What has not been proposed yet,
    /// because the request is still on its way, may be proposed even after a serial read: only a write that makes its
    /// condition false rules it out.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// How a read of one partition is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Completes what conditional writes have left unfinished first.
    Serial,
    /// Sees every conditional write that was answered `Applied`, and every plain write that was answered.
    Quorum,
}

/// A plain write. Answered when a quorum has it on stable storage; one that is not answered may be done later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The static columns of `conversations`, at the timestamp `end.tip`; `info` only if it is given.
    Conversation { key: ConversationKey, end: ConversationEnd, info: Option<Bytes> },
    /// A member's row at the timestamp `seq`.
    Member { key: ConversationKey, user: String, row: Bytes, seq: u64 },
    /// Max-register: the timestamp is the value.
    Sent { key: ConversationKey, user: String, seq: u64 },
    /// Max-register. `moved` is a version, written with the same timestamp, and rises with it.
    Read { key: ConversationKey, user: String, seq: u64, moved: u64 },
    /// Max-register.
    Delivered { key: ConversationKey, user: String, seq: u64 },
    /// At the timestamp `seq`.
    Slot { key: ConversationKey, device: u64, slot: u8, client_msg_id: [u8; 16], seq: u64 },
    /// Of the silent entry `seq`, at the timestamp `seq`: see [`Silence`].
    Silence { key: ConversationKey, seq: u64, silence: Silence },
    /// The entry `by` edits the entry `seq`. Max-register.
    Edited { key: ConversationKey, seq: u64, by: u64 },
    /// The entry `seq` was recalled. Never taken back.
    Recalled { key: ConversationKey, seq: u64 },
    /// The conversation stands in a user's list, at the timestamp `at`.
    List { tenant: String, user: String, row: ListRow, at: u64 },
    /// And does not any more, if it was put there at `at` or before.
    Unlist { tenant: String, user: String, row: ListRow, at: u64 },
    /// At the timestamp `at`, microseconds.
    User { tenant: String, user: String, info: UserInfo, at: u64 },
    /// Max-register: the id of that worker number with the latest stamp.
    LastDevice { worker: u16, stamp: u64, id: u64 },
    /// Max-register: the tip of a tenant's presence stream.
    PresenceTip { tenant: String, tip: u64 },
    /// At the timestamp `standing.seq`.
    Standing { user: UserName, standing: Standing },
    /// Removes the entries of a bucket, at the timestamp `at`. Its static columns stay, for conditions to be false on.
    Trim { bucket: Bucket, at: u64 },
    /// Max-register.
    Beat { node: u64, at_ms: i64 },
    /// A batch that a ledger has committed, in its own log, at the timestamp `at`: the number that the ledger gave it.
    Committed { commit: Box<Commit>, at: u64 },
    /// An epoch that a ledger has committed, at the timestamp `at`.
    Fenced { bucket: Bucket, epoch: u64, at: u64 },
    /// Max-register: where a ledger ends, or ended a while ago.
    LedgerTip { ledger: u16, tip: u64 },
}

/// Why a conversation stands in a user's list. The number is the column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum ListKind {
    /// Its latest entry was made in the period, or the entry by which the user left.
    Entry = 1,
    /// Something else changed in the period: the user's read cursor rose, or a takeover tells of the latest entry again.
    Moved = 2,
    /// It is wide, and the user is a member. The period is 0.
    Wide = 3,
}

/// A row of `listings`. Ordered as there: by kind, by period, by the bytes of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListRow {
    pub kind: ListKind,
    /// Of versions: version / length of a period.
    pub period: u64,
    pub conversation: String,
}

/// The copy of a log's end that `conversations` has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationEnd {
    pub tip: u64,
    pub at_ms: i64,
    /// The place of the latest entry in lists.
    pub version: u64,
    /// The place of the latest change, `version` or later.
    pub changed: u64,
    pub silent: u64,
    pub shown: u64,
    pub wide: bool,
}

/// What a silent entry's row says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// How many are not shown up to here, this one included.
    pub count: u64,
    /// The last entry before it that is shown; 0 for none.
    pub shown: u64,
}

/// One user's row of a conversation, and its static columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    pub end: ConversationEnd,
    pub info: Option<Bytes>,
    /// The member row; `None` for one who never was a member.
    pub row: Option<Bytes>,
    pub read: u64,
    pub delivered: u64,
    pub sent: u64,
    /// Version at which `read` rose last.
    pub moved: u64,
}

/// A row of `fates`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FateRow {
    pub seq: u64,
    pub edited: u64,
    pub recalled: bool,
}

/// A row of `senders`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRow {
    pub slot: u8,
    pub client_msg_id: [u8; 16],
    pub seq: u64,
}

/// Seqs of one bucket to read, `first..=last`, from one end, at most `limit` rows and about `max_bytes` of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRange {
    pub first: u64,
    pub last: u64,
    pub backwards: bool,
    pub limit: usize,
    pub max_bytes: usize,
}

/// Rows of a user's list to read, of one kind, by (period, conversation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListRange {
    /// Descending, those before (`period`, `conversation`).
    Falling { kind: ListKind, before: (u64, String) },
    /// Ascending, from (`period`, `conversation`) on, that one included.
    Rising { kind: ListKind, first: (u64, String) },
}

/// Rows of a scan under their keys. What does not parse is an error in its place.
pub type Scanned<K, V> = Vec<(K, Result<V, StoreError>)>;

/// Tenant, user, type and installation of a device, as they are stored.
pub type DevicePlace = (String, String, i16, String);

type Found<'a, T> = BoxFuture<'a, Result<T, StoreError>>;
type Tried<'a, T> = BoxFuture<'a, Result<T, CasError>>;

/// The operations. None is retried behind the caller's back, with one exception: plain writes and reads may be.
pub trait Tables: Send + Sync + 'static {
    // -- log
    /// A bucket's static columns; `None` for an absent partition.
    fn head<'a>(&'a self, bucket: &'a Bucket, reading: Reading) -> Found<'a, Option<BucketHead>>;
    /// Entries ascending whichever end is read from. At quorum.
    fn entries<'a>(&'a self, bucket: &'a Bucket, range: EntryRange) -> Found<'a, Vec<EntryRow>>;
    /// Sets the epoch, on the condition that it is `was` (`None`: there is none yet). The tip does not matter.
    fn fence<'a>(&'a self, bucket: &'a Bucket, was: Option<u64>, epoch: u64) -> Tried<'a, Cas>;
    fn commit(&self, commit: Commit) -> Tried<'_, Cas>;

    // -- plain writes
    /// All of them; those of one partition go together. An error says that some may not be done.
    fn write(&self, writes: Vec<Write>) -> Found<'_, ()>;

    // -- conversations
    fn conversation<'a>(
        &'a self,
        key: &'a ConversationKey,
    ) -> Found<'a, Option<(ConversationEnd, Option<Bytes>)>>;
    /// `None` if the user has no row.
    fn seat<'a>(&'a self, key: &'a ConversationKey, user: &'a str) -> Found<'a, Option<Seat>>;
    /// Users with rows after `after`, ascending by bytes, whether they have a member row or not. Without the static
    /// columns, which a cluster would repeat in every row.
    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> Found<'a, Vec<(String, Seat)>>;
    fn slots<'a>(&'a self, key: &'a ConversationKey, device: u64) -> Found<'a, Vec<SlotRow>>;
    /// The row of the last silent entry up to `seq`.
    fn silence<'a>(&'a self, key: &'a ConversationKey, seq: u64) -> Found<'a, Option<(u64, Silence)>>;
    /// Ascending by seq.
    fn fates<'a>(&'a self, key: &'a ConversationKey, first: u64, last: u64) -> Found<'a, Vec<FateRow>>;
    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        range: ListRange,
        limit: usize,
    ) -> Found<'a, Vec<ListRow>>;

    // -- devices and users
    fn device<'a>(&'a self, key: &'a DeviceKey, reading: Reading) -> Found<'a, Option<u64>>;
    /// Takes an id for a device unless it is taken; who has it now.
    fn claim_id<'a>(&'a self, id: u64, key: &'a DeviceKey) -> Tried<'a, DeviceKey>;
    /// Gives a device its id unless it has one; which it has now.
    fn name_device<'a>(&'a self, key: &'a DeviceKey, id: u64) -> Tried<'a, u64>;
    fn last_device(&self, worker: u16) -> Found<'_, Option<u64>>;
    fn users<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<UserInfo>>>;

    // -- presence
    /// 0 if there is none.
    fn presence_tip<'a>(&'a self, tenant: &'a str) -> Found<'a, u64>;
    fn standings<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<Standing>>>;
    /// Standings of all tenants in an order that stays, behind `after`.
    fn all_standings<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Vec<(UserName, Standing)>>;
    fn beat(&self, node: u64) -> Found<'_, Option<i64>>;

    // -- ledgers
    /// How many there are: chosen when the tables were made, and the same for every process. 0: every log commits for
    /// itself.
    fn ledgers(&self) -> u16;
    /// 0 if there is none.
    fn ledger_tip(&self, ledger: u16) -> Found<'_, u64>;

    // -- all there is, for whoever takes stock: in an order that stays (a cluster's is by token), those behind `after`
    /// Conversations of all tenants; `None` for one that has users' rows and no end yet.
    fn all_conversations<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        limit: usize,
    ) -> Found<'a, Scanned<ConversationKey, Option<ConversationEnd>>>;
    fn all_users<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Scanned<UserName, UserInfo>>;
    fn all_devices<'a>(
        &'a self,
        after: Option<&'a DevicePlace>,
        limit: usize,
    ) -> Found<'a, Scanned<DevicePlace, u64>>;
    /// Slots of one conversation, by device and slot.
    fn all_slots<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Found<'a, Scanned<(u64, i16), SlotRow>>;

    /// Which store this is: made once, with the schema.
    fn store_id(&self) -> Found<'_, u64>;

    /// The store's clock, microseconds since 1970: that of the nodes that keep the rows, so that gateways whose clocks
    /// differ agree about it. Rises from call to call within a process.
    fn now(&self) -> u64;
}
