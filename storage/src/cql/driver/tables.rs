//! The driver as the tables that a store stands on.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Driver, Found};
use crate::cql::tables::*;
use crate::directory::{DeviceKey, UserInfo};
use crate::key::ConversationKey;
use crate::presence::{Standing, UserName};

type Reads<'a, T> = BoxFuture<'a, Found<T>>;
type Tries<'a, T> = BoxFuture<'a, Result<T, CasError>>;

impl Tables for Driver {
    fn head<'a>(&'a self, bucket: &'a Bucket, reading: Reading) -> Reads<'a, Option<BucketHead>> {
        self.read_head(bucket, reading).boxed()
    }

    fn entries<'a>(&'a self, bucket: &'a Bucket, range: EntryRange) -> Reads<'a, Vec<EntryRow>> {
        self.read_entries(bucket, range).boxed()
    }

    fn fence<'a>(&'a self, bucket: &'a Bucket, was: Option<u64>, epoch: u64) -> Tries<'a, Cas> {
        self.try_fence(bucket, was, epoch).boxed()
    }

    fn commit(&self, commit: Commit) -> Tries<'_, Cas> {
        async move { self.try_commit(&commit).await }.boxed()
    }

    fn write(&self, writes: Vec<Write>) -> Reads<'_, ()> {
        self.do_writes(writes).boxed()
    }

    fn conversation<'a>(
        &'a self,
        key: &'a ConversationKey,
    ) -> Reads<'a, Option<(ConversationEnd, Option<Bytes>)>> {
        self.read_conversation(key).boxed()
    }

    fn seat<'a>(&'a self, key: &'a ConversationKey, user: &'a str) -> Reads<'a, Option<Seat>> {
        self.read_seat(key, user).boxed()
    }

    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> Reads<'a, Vec<(String, Seat)>> {
        self.read_seats(key, after, limit).boxed()
    }

    fn slots<'a>(&'a self, key: &'a ConversationKey, device: u64) -> Reads<'a, Vec<SlotRow>> {
        self.read_slots(key, device).boxed()
    }

    fn silence<'a>(&'a self, key: &'a ConversationKey, seq: u64) -> Reads<'a, Option<(u64, Silence)>> {
        self.read_silence(key, seq).boxed()
    }

    fn fates<'a>(&'a self, key: &'a ConversationKey, first: u64, last: u64) -> Reads<'a, Vec<FateRow>> {
        self.read_fates(key, first, last).boxed()
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        range: ListRange,
        limit: usize,
    ) -> Reads<'a, Vec<ListRow>> {
        async move { self.read_list(tenant, user, &range, limit).await }.boxed()
    }

    fn device<'a>(&'a self, key: &'a DeviceKey, reading: Reading) -> Reads<'a, Option<u64>> {
        self.read_device(key, reading).boxed()
    }

    fn claim_id<'a>(&'a self, id: u64, key: &'a DeviceKey) -> Tries<'a, DeviceKey> {
        self.try_claim(id, key).boxed()
    }

    fn name_device<'a>(&'a self, key: &'a DeviceKey, id: u64) -> Tries<'a, u64> {
        self.try_name(key, id).boxed()
    }

    fn last_device(&self, worker: u16) -> Reads<'_, Option<u64>> {
        self.read_last_device(worker).boxed()
    }

    fn users<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Reads<'a, Vec<Option<UserInfo>>> {
        self.read_users(tenant, users).boxed()
    }

    fn presence_tip<'a>(&'a self, tenant: &'a str) -> Reads<'a, u64> {
        self.read_presence_tip(tenant).boxed()
    }

    fn standings<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Reads<'a, Vec<Option<Standing>>> {
        self.read_standings(tenant, users).boxed()
    }

    fn all_standings<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Reads<'a, Vec<(UserName, Standing)>> {
        self.read_all_standings(after, limit).boxed()
    }

    fn beat(&self, node: u64) -> Reads<'_, Option<i64>> {
        self.read_beat(node).boxed()
    }

    fn ledgers(&self) -> u16 {
        self.ledgers
    }

    fn ledger_tip(&self, ledger: u16) -> Reads<'_, u64> {
        self.read_ledger_tip(ledger).boxed()
    }

    fn all_conversations<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        limit: usize,
    ) -> Reads<'a, Scanned<ConversationKey, Option<ConversationEnd>>> {
        self.scan_conversations(after, limit).boxed()
    }

    fn all_users<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Reads<'a, Scanned<UserName, UserInfo>> {
        self.scan_users(after, limit).boxed()
    }

    fn all_devices<'a>(
        &'a self,
        after: Option<&'a DevicePlace>,
        limit: usize,
    ) -> Reads<'a, Scanned<DevicePlace, u64>> {
        self.scan_devices(after, limit).boxed()
    }

    fn all_slots<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Reads<'a, Scanned<(u64, i16), SlotRow>> {
        self.scan_slots(key, after, limit).boxed()
    }

    fn store_id(&self) -> Reads<'_, u64> {
        std::future::ready(Ok(self.store)).boxed()
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }
}
