//! Bugs between the store and its tables. A checker that none of them makes fail would be none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use whimbrel_storage::cql::fake::FakeTables;
use whimbrel_storage::cql::tables::*;
use whimbrel_storage::directory::{DeviceKey, UserInfo};
use whimbrel_storage::presence::{Standing, UserName};
use whimbrel_storage::{ConversationKey, StoreError};

type Found<'a, T> = BoxFuture<'a, Result<T, StoreError>>;
type Tried<'a, T> = BoxFuture<'a, Result<T, CasError>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An unknown outcome is taken for a refusal.
    UnknownIsRefused,
    /// A condition that was false is never taken for an own success.
    NotCompared,
    /// A takeover writes nothing of what follows from the last batch.
    NotRedone,
    /// A takeover fences no bucket but the first.
    NextUnfenced,
    /// A takeover fences nothing at all.
    Unfenced,
    /// An append has no condition.
    Unconditional,
    /// An append is answered before what follows from it is written.
    AnsweredEarly,
    /// A takeover reads the end of the log without settling what is pending.
    NotSettled,
    /// Takeovers tell of the latest entry at its old place.
    ToldInThePast,
    /// The first append of a period does not list the conversation.
    NotListed,
    /// An append lists the conversation behind everything else.
    ListedLate,
    /// A read cursor that rises is not listed.
    ReadNotListed,
    /// A round of a ledger says that what it commits is written.
    TakenForWritten,
    /// What a ledger has committed is written as if it had come first.
    WrittenAsTheFirst,
}

impl Bug {
    pub const ALL: [Bug; 12] = [
        Bug::UnknownIsRefused,
        Bug::NotCompared,
        Bug::NotRedone,
        Bug::NextUnfenced,
        Bug::Unfenced,
        Bug::Unconditional,
        Bug::AnsweredEarly,
        Bug::NotSettled,
        Bug::ToldInThePast,
        Bug::NotListed,
        Bug::ListedLate,
        Bug::ReadNotListed,
    ];
    /// Those that break a conversation under a ledger. To fence it is not needed: whoever takes a conversation over
    /// commits a record, and the condition on the tip keeps out whatever was on its way.
    pub const OF_LEDGERS: [Bug; 8] = [
        Bug::UnknownIsRefused,
        Bug::NotCompared,
        Bug::NotRedone,
        Bug::Unconditional,
        Bug::NotSettled,
        Bug::NotListed,
        Bug::TakenForWritten,
        Bug::WrittenAsTheFirst,
    ];
    /// Those that break a presence stream.
    pub const OF_PRESENCE: [Bug; 5] =
        [Bug::NotRedone, Bug::Unfenced, Bug::NextUnfenced, Bug::Unconditional, Bug::AnsweredEarly];
}

/// Tables with a bug, or without.
pub struct Planted {
    tables: FakeTables,
    bug: Option<Bug>,
    /// The last conditional write of the log was a fence.
    opening: AtomicBool,
    /// The last commit was answered "not applied".
    refused: AtomicBool,
    /// Epochs that were never written.
    claimed: Mutex<HashMap<Bucket, u64>>,
    /// List rows that are written behind what comes next.
    held: Mutex<Vec<Write>>,
}

impl Planted {
    pub fn new(tables: FakeTables, bug: Option<Bug>) -> Planted {
        let (opening, refused) = (AtomicBool::new(false), AtomicBool::new(false));
        let (claimed, held) = (Mutex::new(HashMap::new()), Mutex::new(Vec::new()));
        Planted { tables, bug, opening, refused, claimed, held }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether this bug leaves the bucket unfenced.
    fn skips(&self, bucket: &Bucket) -> bool {
        self.has(Bug::Unfenced) || (self.has(Bug::NextUnfenced) && bucket.number > 0)
    }

    async fn head_of(&self, bucket: &Bucket, reading: Reading) -> Result<Option<BucketHead>, StoreError> {
        let reading = if self.has(Bug::NotSettled) { Reading::Quorum } else { reading };
        let mut head = self.tables.head(bucket, reading).await?;
        if self.has(Bug::NotCompared)
            && self.refused.swap(false, Relaxed)
            && let Some(end) = head.as_mut().and_then(|head| head.end.as_mut())
        {
            end.batch = [0; 16];
        }
        if let Some(epoch) = self.claimed.lock().get(bucket) {
            head.get_or_insert_default().epoch = *epoch;
        }
        Ok(head)
    }

    async fn fence_of(&self, bucket: &Bucket, was: Option<u64>, epoch: u64) -> Result<Cas, CasError> {
        self.opening.store(true, Relaxed);
        if self.skips(bucket) {
            self.claimed.lock().insert(bucket.clone(), epoch);
            return Ok(Cas::Applied);
        }
        self.tables.fence(bucket, was, epoch).await
    }

    async fn commit_of(&self, mut commit: Commit) -> Result<Cas, CasError> {
        self.opening.store(false, Relaxed);
        let is_claimed = self.claimed.lock().contains_key(&commit.bucket);
        if is_claimed || self.has(Bug::Unconditional) {
            let head = self.tables.head(&commit.bucket, Reading::Quorum).await.map_err(CasError::NotSent)?;
            commit.expected.epoch = head.as_ref().map(|head| head.epoch);
            if self.has(Bug::Unconditional) {
                commit.expected.tip = head.and_then(|head| head.end).map(|end| end.tip);
            }
        }
        if self.has(Bug::TakenForWritten) && matches!(commit.bucket.log, LogName::Ledger(_)) {
            // One byte of a version, and a number.
            commit.end.changes = [&[1][..], &commit.end.tip.to_be_bytes()].concat().into();
        }
        let answer = self.tables.commit(commit).await;
        self.refused.store(answer == Ok(Cas::NotApplied), Relaxed);
        match answer {
            Err(CasError::Unknown(reason)) if self.has(Bug::UnknownIsRefused) => {
                Err(CasError::NotSent(StoreError::Unavailable(reason)))
            }
            answer => answer,
        }
    }

    async fn write_of(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        let opening = self.opening.load(Relaxed);
        if (self.has(Bug::NotRedone) && opening) || self.has(Bug::AnsweredEarly) {
            return Ok(());
        }
        let lists = |kind| move |write: &Write| matches!(write, Write::List { row, .. } if row.kind == kind);
        if self.has(Bug::NotListed) && !opening {
            writes.retain(|write| !lists(ListKind::Entry)(write));
        }
        if self.has(Bug::ReadNotListed) && !opening {
            writes.retain(|write| !lists(ListKind::Moved)(write));
        }
        if self.has(Bug::WrittenAsTheFirst) {
            for write in &mut writes {
                if let Write::Committed { at, .. } | Write::Fenced { at, .. } = write {
                    *at = 1;
                }
            }
        }
        let behind = std::mem::take(&mut *self.held.lock());
        if self.has(Bug::ListedLate) && !opening {
            let (held, now) = writes.into_iter().partition(lists(ListKind::Entry));
            (*self.held.lock(), writes) = (held, now);
        }
        if self.has(Bug::ToldInThePast) && opening {
            writes.retain(|write| !lists(ListKind::Moved)(write));
            for write in &mut writes {
                if let Write::Conversation { end, .. } = write {
                    end.changed = end.version;
                }
            }
        }
        self.tables.write(writes).await?;
        self.tables.write(behind).await
    }
}

impl Tables for Planted {
    fn head<'a>(&'a self, bucket: &'a Bucket, reading: Reading) -> Found<'a, Option<BucketHead>> {
        self.head_of(bucket, reading).boxed()
    }

    fn entries<'a>(&'a self, bucket: &'a Bucket, range: EntryRange) -> Found<'a, Vec<EntryRow>> {
        self.tables.entries(bucket, range)
    }

    fn fence<'a>(&'a self, bucket: &'a Bucket, was: Option<u64>, epoch: u64) -> Tried<'a, Cas> {
        self.fence_of(bucket, was, epoch).boxed()
    }

    fn commit(&self, commit: Commit) -> Tried<'_, Cas> {
        self.commit_of(commit).boxed()
    }

    fn write(&self, writes: Vec<Write>) -> Found<'_, ()> {
        self.write_of(writes).boxed()
    }

    fn conversation<'a>(
        &'a self,
        key: &'a ConversationKey,
    ) -> Found<'a, Option<(ConversationEnd, Option<Bytes>)>> {
        self.tables.conversation(key)
    }

    fn seat<'a>(&'a self, key: &'a ConversationKey, user: &'a str) -> Found<'a, Option<Seat>> {
        self.tables.seat(key, user)
    }

    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> Found<'a, Vec<(String, Seat)>> {
        self.tables.seats(key, after, limit)
    }

    fn slots<'a>(&'a self, key: &'a ConversationKey, device: u64) -> Found<'a, Vec<SlotRow>> {
        self.tables.slots(key, device)
    }

    fn silence<'a>(&'a self, key: &'a ConversationKey, seq: u64) -> Found<'a, Option<(u64, Silence)>> {
        self.tables.silence(key, seq)
    }

    fn fates<'a>(&'a self, key: &'a ConversationKey, first: u64, last: u64) -> Found<'a, Vec<FateRow>> {
        self.tables.fates(key, first, last)
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        range: ListRange,
        limit: usize,
    ) -> Found<'a, Vec<ListRow>> {
        self.tables.listed(tenant, user, range, limit)
    }

    fn device<'a>(&'a self, key: &'a DeviceKey, reading: Reading) -> Found<'a, Option<u64>> {
        self.tables.device(key, reading)
    }

    fn claim_id<'a>(&'a self, id: u64, key: &'a DeviceKey) -> Tried<'a, DeviceKey> {
        self.tables.claim_id(id, key)
    }

    fn name_device<'a>(&'a self, key: &'a DeviceKey, id: u64) -> Tried<'a, u64> {
        self.tables.name_device(key, id)
    }

    fn last_device(&self, worker: u16) -> Found<'_, Option<u64>> {
        self.tables.last_device(worker)
    }

    fn users<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<UserInfo>>> {
        self.tables.users(tenant, users)
    }

    fn all_conversations<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        limit: usize,
    ) -> Found<'a, Scanned<ConversationKey, Option<ConversationEnd>>> {
        self.tables.all_conversations(after, limit)
    }

    fn all_users<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Scanned<UserName, UserInfo>> {
        self.tables.all_users(after, limit)
    }

    fn all_devices<'a>(
        &'a self,
        after: Option<&'a DevicePlace>,
        limit: usize,
    ) -> Found<'a, Scanned<DevicePlace, u64>> {
        self.tables.all_devices(after, limit)
    }

    fn all_slots<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Found<'a, Scanned<(u64, i16), SlotRow>> {
        self.tables.all_slots(key, after, limit)
    }

    fn ledgers(&self) -> u16 {
        self.tables.ledgers()
    }

    fn ledger_tip(&self, ledger: u16) -> Found<'_, u64> {
        self.tables.ledger_tip(ledger)
    }

    fn presence_tip<'a>(&'a self, tenant: &'a str) -> Found<'a, u64> {
        self.tables.presence_tip(tenant)
    }

    fn standings<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<Standing>>> {
        self.tables.standings(tenant, users)
    }

    fn all_standings<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Vec<(UserName, Standing)>> {
        self.tables.all_standings(after, limit)
    }

    fn beat(&self, node: u64) -> Found<'_, Option<i64>> {
        self.tables.beat(node)
    }

    fn store_id(&self) -> Found<'_, u64> {
        self.tables.store_id()
    }

    fn now(&self) -> u64 {
        self.tables.now()
    }
}
