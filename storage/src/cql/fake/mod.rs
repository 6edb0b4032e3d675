//! A cluster in memory: what tests and the simulation have in place of a real one.
//!
//! Conditional writes decide as they do there: one at a time for each partition, `null` for what is absent, and with all
//! that can become of one – lost on the way or on the way back, late, accepted by too few and completed or killed by
//! whoever comes next, applied by a first attempt that the second denies. Plain writes reconcile by timestamp, and those
//! that were answered with an error may arrive much later. A read at quorum sees whatever was answered; what is decided
//! and not answered yet it may see or not, but never twice in different ways.
//!
//! Everything follows from the seed, and time is tokio's. Handles share the tables; each has a clock that may be wrong, and
//! may stand on a runtime of its own.

mod cells;
mod faults;
mod journal;
mod partition;
mod plain;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

pub use faults::Faults;
pub use journal::{Happened, Step};

use super::tables::*;
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::presence::{Standing, UserName};
use partition::Conditional;
use world::World;

type Found<'a, T> = BoxFuture<'a, Result<T, StoreError>>;
type Tried<'a, T> = BoxFuture<'a, Result<T, CasError>>;

/// Where the clock begins, microseconds since 1970.
const BEGINNING: u64 = 1_800_000_000_000_000;

/// One process's way to the tables.
pub struct FakeTables {
    world: Arc<Mutex<World>>,
    /// When the clock of its runtime was looked at, and how long the tables had been there then.
    started: Instant,
    passed: Duration,
    skew_us: i64,
    ledgers: u16,
    /// The latest that the clock has said.
    told: Mutex<u64>,
}

impl FakeTables {
    /// Empty tables, and a cluster that is well.
    pub fn new(seed: u64) -> FakeTables {
        let world = Arc::new(Mutex::new(World::new(seed, BEGINNING)));
        let (started, passed) = (Instant::now(), Duration::ZERO);
        FakeTables { world, started, passed, skew_us: 0, ledgers: 0, told: Mutex::new(0) }
    }

    /// Tables that were made with so many ledgers.
    pub fn with_ledgers(self, ledgers: u16) -> FakeTables {
        FakeTables { ledgers, ..self }
    }

    /// Another process's way to the same tables; its clock is wrong by so much.
    pub fn handle(&self, skew_us: i64) -> FakeTables {
        let (world, started, passed) = (self.world.clone(), self.started, self.passed);
        FakeTables { world, started, passed, skew_us, ledgers: self.ledgers, told: Mutex::new(0) }
    }

    /// That of a process on the runtime of the caller, whose clock says nothing of how long the tables have been there.
    pub fn handle_after(&self, passed: Duration, skew_us: i64) -> FakeTables {
        FakeTables { started: Instant::now(), passed, ..self.handle(skew_us) }
    }

    /// Has steps of logs kept from now on.
    pub fn keep_journal(&self) {
        self.world.lock().journal.keep();
    }

    /// The steps since they were last taken.
    pub fn take_journal(&self) -> Vec<Step> {
        self.world.lock().journal.take()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.world.lock().faults = faults;
    }

    /// Nothing is answered, and nothing is done, while it is down.
    pub fn set_down(&self, is_down: bool) {
        self.world.lock().is_down = is_down;
    }

    /// Everything that is on its way arrives.
    pub fn arrive_all(&self) {
        self.world.lock().arrive_all();
    }

    /// Operations so far, and how many of them were conditional writes.
    pub fn operations(&self) -> (u64, u64) {
        let world = self.world.lock();
        (world.operations, world.conditional)
    }

    fn time(&self) -> u64 {
        let passed = self.passed + self.started.elapsed();
        BEGINNING + u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }

    /// The tables, at this handle's time. Theirs does not fall where a process has stood still.
    fn now_there(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock();
        world.now = world.now.max(self.time());
        world
    }

    async fn delay(&self) {
        let delay = self.world.lock().delay();
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
    }

    async fn read<R>(&self, read: impl FnOnce(&mut World) -> R) -> Result<R, StoreError> {
        self.delay().await;
        let found = {
            let mut world = self.now_there();
            world.begin_read()?;
            read(&mut world)
        };
        self.delay().await;
        Ok(found)
    }

    async fn conditional(&self, bucket: &Bucket, write: Conditional) -> Result<Cas, CasError> {
        self.delay().await;
        let answer = self.now_there().conditional(bucket, write);
        self.delay().await;
        if matches!(answer, Ok(Cas::Applied))
            && let Some(partition) = self.world.lock().log.get_mut(bucket)
        {
            partition.show();
        }
        answer
    }

    /// A conditional write of one row that stays as it is once it is there.
    async fn once<R>(&self, write: impl FnOnce(&mut World) -> R) -> Result<R, CasError> {
        self.delay().await;
        let answer = {
            let mut world = self.now_there();
            world.begin();
            let faults = world.faults;
            if world.is_down || world.chance(faults.refused) {
                return Err(CasError::NotSent(world::out_of_reach()));
            }
            if world.chance(faults.lost) {
                return Err(world::no_answer());
            }
            let answer = write(&mut world);
            if world.chance(faults.unanswered) { Err(world::no_answer()) } else { Ok(answer) }
        };
        self.delay().await;
        answer
    }

    async fn entries_of(&self, bucket: &Bucket, range: EntryRange) -> Result<Vec<EntryRow>, StoreError> {
        let read = |world: &mut World| {
            let (now, lags) = (world.now, world.chance(500));
            world.log.get_mut(bucket).map(|partition| partition.seen(lags).entries(range, now))
        };
        Ok(self.read(read).await?.unwrap_or_default())
    }

    async fn write_all(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut answer = Ok(());
        let ends: Vec<_> = writes.iter().filter_map(world::end_of).collect();
        for writes in world::by_place(writes) {
            self.delay().await;
            answer = self.now_there().write_together(writes).and(answer);
        }
        self.delay().await;
        if answer.is_ok() {
            let mut world = self.now_there();
            ends.into_iter().for_each(|(log, tip)| world.note(log, tip, Happened::Answered));
        }
        answer
    }
}

impl Tables for FakeTables {
    fn head<'a>(&'a self, bucket: &'a Bucket, reading: Reading) -> Found<'a, Option<BucketHead>> {
        let read = move |world: &mut World| match reading {
            Reading::Serial => world.settled(bucket).seen(false).head(),
            Reading::Quorum => {
                let lags = world.chance(500);
                world.log.get_mut(bucket).and_then(|partition| partition.seen(lags).head())
            }
        };
        self.read(read).boxed()
    }

    fn entries<'a>(&'a self, bucket: &'a Bucket, range: EntryRange) -> Found<'a, Vec<EntryRow>> {
        self.entries_of(bucket, range).boxed()
    }

    fn fence<'a>(&'a self, bucket: &'a Bucket, was: Option<u64>, epoch: u64) -> Tried<'a, Cas> {
        self.conditional(bucket, Conditional::Fence { was, epoch }).boxed()
    }

    fn commit(&self, commit: Commit) -> Tried<'_, Cas> {
        async move {
            let bucket = commit.bucket.clone();
            self.conditional(&bucket, Conditional::Commit(Box::new(commit))).await
        }
        .boxed()
    }

    fn write(&self, writes: Vec<Write>) -> Found<'_, ()> {
        self.write_all(writes).boxed()
    }

    fn conversation<'a>(
        &'a self,
        key: &'a ConversationKey,
    ) -> Found<'a, Option<(ConversationEnd, Option<Bytes>)>> {
        self.read(move |world| world.plain.conversation(key)).boxed()
    }

    fn seat<'a>(&'a self, key: &'a ConversationKey, user: &'a str) -> Found<'a, Option<Seat>> {
        self.read(move |world| world.plain.seat(key, user)).boxed()
    }

    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> Found<'a, Vec<(String, Seat)>> {
        self.read(move |world| world.plain.seats(key, after, limit)).boxed()
    }

    fn slots<'a>(&'a self, key: &'a ConversationKey, device: u64) -> Found<'a, Vec<SlotRow>> {
        self.read(move |world| world.plain.slots(key, device)).boxed()
    }

    fn silence<'a>(&'a self, key: &'a ConversationKey, seq: u64) -> Found<'a, Option<(u64, Silence)>> {
        self.read(move |world| world.plain.silence(key, seq)).boxed()
    }

    fn fates<'a>(&'a self, key: &'a ConversationKey, first: u64, last: u64) -> Found<'a, Vec<FateRow>> {
        self.read(move |world| world.plain.fates(key, first, last)).boxed()
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        range: ListRange,
        limit: usize,
    ) -> Found<'a, Vec<ListRow>> {
        self.read(move |world| world.plain.listed(tenant, user, &range, limit)).boxed()
    }

    fn device<'a>(&'a self, key: &'a DeviceKey, _reading: Reading) -> Found<'a, Option<u64>> {
        self.read(move |world| world.devices.get(key).copied()).boxed()
    }

    fn claim_id<'a>(&'a self, id: u64, key: &'a DeviceKey) -> Tried<'a, DeviceKey> {
        self.once(move |world| world.ids.entry(id).or_insert_with(|| key.clone()).clone()).boxed()
    }

    fn name_device<'a>(&'a self, key: &'a DeviceKey, id: u64) -> Tried<'a, u64> {
        self.once(move |world| *world.devices.entry(key.clone()).or_insert(id)).boxed()
    }

    fn last_device(&self, worker: u16) -> Found<'_, Option<u64>> {
        self.read(move |world| world.plain.last_device(worker)).boxed()
    }

    fn users<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<UserInfo>>> {
        self.read(move |world| users.iter().map(|user| world.plain.user(tenant, user)).collect()).boxed()
    }

    fn presence_tip<'a>(&'a self, tenant: &'a str) -> Found<'a, u64> {
        self.read(move |world| world.plain.presence_tip(tenant)).boxed()
    }

    fn standings<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<Standing>>> {
        self.read(move |world| users.iter().map(|user| world.plain.standing(tenant, user)).collect()).boxed()
    }

    fn all_standings<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Vec<(UserName, Standing)>> {
        self.read(move |world| world.plain.all_standings(after, limit)).boxed()
    }

    fn beat(&self, node: u64) -> Found<'_, Option<i64>> {
        self.read(move |world| world.plain.beat(node)).boxed()
    }

    fn ledgers(&self) -> u16 {
        self.ledgers
    }

    fn ledger_tip(&self, ledger: u16) -> Found<'_, u64> {
        self.read(move |world| world.plain.ledger_tip(ledger)).boxed()
    }

    fn all_conversations<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        limit: usize,
    ) -> Found<'a, Scanned<ConversationKey, Option<ConversationEnd>>> {
        self.read(move |world| world.plain.all_conversations(after, limit)).boxed()
    }

    fn all_users<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Scanned<UserName, UserInfo>> {
        self.read(move |world| world.plain.all_users(after, limit)).boxed()
    }

    fn all_devices<'a>(
        &'a self,
        after: Option<&'a DevicePlace>,
        limit: usize,
    ) -> Found<'a, Scanned<DevicePlace, u64>> {
        let read = move |world: &mut World| {
            let place = |(key, id): (&DeviceKey, &u64)| {
                let device_type = i16::from(key.device_type);
                ((key.tenant.clone(), key.user.clone(), device_type, key.installation.clone()), *id)
            };
            let all: BTreeMap<DevicePlace, u64> = world.devices.iter().map(place).collect();
            let behind = all.into_iter().filter(|(place, _)| after.is_none_or(|after| place > after));
            behind.take(limit).map(|(place, id)| (place, Ok(id))).collect()
        };
        self.read(read).boxed()
    }

    fn all_slots<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Found<'a, Scanned<(u64, i16), SlotRow>> {
        self.read(move |world| world.plain.all_slots(key, after, limit)).boxed()
    }

    fn store_id(&self) -> Found<'_, u64> {
        self.read(|_| 7).boxed()
    }

    fn now(&self) -> u64 {
        let mut told = self.told.lock();
        *told = self.time().saturating_add_signed(self.skew_us).max(*told + 1);
        *told
    }
}
