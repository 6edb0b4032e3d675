//! Tables that look empty on a cluster that others use too: every name in them is changed on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use whimbrel_storage::StoreError;
use whimbrel_storage::cql::driver::Driver;
use whimbrel_storage::cql::tables::*;
use whimbrel_storage::directory::{DeviceKey, UserInfo};
use whimbrel_storage::key::ConversationKey;
use whimbrel_storage::presence::{Standing, UserName};

type Found<'a, T> = BoxFuture<'a, Result<T, StoreError>>;
type Tried<'a, T> = BoxFuture<'a, Result<T, CasError>>;

/// A page of a whole table.
type Scan<K, V> = for<'x> fn(&'x Driver, Option<&'x K>, usize) -> Found<'x, Scanned<K, V>>;

/// Further than the worker numbers of one case lie apart.
const WORKERS_APART: u16 = 97;

#[derive(Clone)]
pub struct Salted {
    pub driver: Arc<Driver>,
    number: u16,
    /// How many they are to have, of their own.
    ledgers: u16,
}

impl Salted {
    pub fn new(driver: Arc<Driver>) -> Salted {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        Salted { driver, number: NEXT.fetch_add(1, Ordering::Relaxed), ledgers: 0 }
    }

    /// The same, with ledgers.
    pub fn with_ledgers(driver: Arc<Driver>, ledgers: u16) -> Salted {
        Salted { ledgers, ..Salted::new(driver) }
    }

    fn ledger(&self, ledger: u16) -> u16 {
        ledger + self.number * self.ledgers
    }

    /// As the cluster has it.
    pub fn tenant(&self, tenant: &str) -> String {
        format!("{}~{tenant}", self.number)
    }

    fn plain<'a>(&self, tenant: &'a str) -> Option<&'a str> {
        tenant.strip_prefix(&format!("{}~", self.number))
    }

    fn key(&self, key: &ConversationKey) -> ConversationKey {
        ConversationKey::new(self.tenant(&key.tenant), key.conversation.clone())
    }

    fn bucket(&self, bucket: &Bucket) -> Bucket {
        let log = match &bucket.log {
            LogName::Conversation(key) => LogName::Conversation(self.key(key)),
            LogName::Presence(tenant) => LogName::Presence(self.tenant(tenant)),
            LogName::Ledger(number) => LogName::Ledger(self.ledger(*number)),
        };
        Bucket { log, number: bucket.number }
    }

    fn device_key(&self, key: &DeviceKey) -> DeviceKey {
        DeviceKey { tenant: self.tenant(&key.tenant), ..key.clone() }
    }

    /// Changes an id, and back.
    fn id(&self, id: u64) -> u64 {
        id ^ (u64::from(self.number) << 36)
    }

    fn worker(&self, worker: u16) -> u16 {
        worker.wrapping_add(self.number.wrapping_mul(WORKERS_APART))
    }

    fn salt(&self, mut write: Write) -> Write {
        match &mut write {
            Write::Conversation { key, .. }
            | Write::Member { key, .. }
            | Write::Sent { key, .. }
            | Write::Read { key, .. }
            | Write::Delivered { key, .. }
            | Write::Slot { key, .. }
            | Write::Silence { key, .. }
            | Write::Edited { key, .. }
            | Write::Recalled { key, .. } => *key = self.key(key),
            Write::List { tenant, .. }
            | Write::Unlist { tenant, .. }
            | Write::User { tenant, .. }
            | Write::PresenceTip { tenant, .. }
            | Write::Standing { user: (tenant, _), .. } => *tenant = self.tenant(tenant),
            Write::LastDevice { worker, id, .. } => (*worker, *id) = (self.worker(*worker), self.id(*id)),
            Write::Trim { bucket, .. } | Write::Fenced { bucket, .. } => *bucket = self.bucket(bucket),
            Write::Committed { commit, .. } => commit.bucket = self.bucket(&commit.bucket),
            Write::LedgerTip { ledger, .. } => *ledger = self.ledger(*ledger),
            Write::Beat { node, .. } => *node = self.id(*node),
        }
        write
    }

    /// Reads a table on until there are so many of its own rows.
    async fn own<K: Clone, V>(
        &self,
        scan: Scan<K, V>,
        mut after: Option<K>,
        limit: usize,
        plain: impl Fn(&K) -> Option<K> + Send + Sync,
    ) -> Result<Scanned<K, V>, StoreError> {
        let mut found = Vec::new();
        loop {
            let part = scan(&self.driver, after.as_ref(), limit).await?;
            let is_last = part.len() < limit;
            after = part.last().map(|(key, _)| key.clone());
            found.extend(part.into_iter().filter_map(|(key, value)| Some((plain(&key)?, value))));
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// Reads on until there are so many of its own.
    async fn own_standings(
        &self,
        after: Option<UserName>,
        limit: usize,
    ) -> Result<Vec<(UserName, Standing)>, StoreError> {
        let mut after = after.map(|(tenant, user)| (self.tenant(&tenant), user));
        let mut found = Vec::new();
        loop {
            let part = self.driver.all_standings(after.as_ref(), limit).await?;
            let is_last = part.len() < limit;
            after = part.last().map(|(name, _)| name.clone());
            for ((tenant, user), standing) in part {
                found.extend(self.plain(&tenant).map(|tenant| ((tenant.to_owned(), user), standing)));
            }
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }
}

impl Tables for Salted {
    fn head<'a>(&'a self, bucket: &'a Bucket, reading: Reading) -> Found<'a, Option<BucketHead>> {
        async move { self.driver.head(&self.bucket(bucket), reading).await }.boxed()
    }

    fn entries<'a>(&'a self, bucket: &'a Bucket, range: EntryRange) -> Found<'a, Vec<EntryRow>> {
        async move { self.driver.entries(&self.bucket(bucket), range).await }.boxed()
    }

    fn fence<'a>(&'a self, bucket: &'a Bucket, was: Option<u64>, epoch: u64) -> Tried<'a, Cas> {
        async move { self.driver.fence(&self.bucket(bucket), was, epoch).await }.boxed()
    }

    fn commit(&self, commit: Commit) -> Tried<'_, Cas> {
        let bucket = self.bucket(&commit.bucket);
        self.driver.commit(Commit { bucket, ..commit })
    }

    fn write(&self, writes: Vec<Write>) -> Found<'_, ()> {
        self.driver.write(writes.into_iter().map(|write| self.salt(write)).collect())
    }

    fn conversation<'a>(
        &'a self,
        key: &'a ConversationKey,
    ) -> Found<'a, Option<(ConversationEnd, Option<Bytes>)>> {
        async move { self.driver.conversation(&self.key(key)).await }.boxed()
    }

    fn seat<'a>(&'a self, key: &'a ConversationKey, user: &'a str) -> Found<'a, Option<Seat>> {
        async move { self.driver.seat(&self.key(key), user).await }.boxed()
    }

    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> Found<'a, Vec<(String, Seat)>> {
        async move { self.driver.seats(&self.key(key), after, limit).await }.boxed()
    }

    fn slots<'a>(&'a self, key: &'a ConversationKey, device: u64) -> Found<'a, Vec<SlotRow>> {
        async move { self.driver.slots(&self.key(key), device).await }.boxed()
    }

    fn silence<'a>(&'a self, key: &'a ConversationKey, seq: u64) -> Found<'a, Option<(u64, Silence)>> {
        async move { self.driver.silence(&self.key(key), seq).await }.boxed()
    }

    fn fates<'a>(&'a self, key: &'a ConversationKey, first: u64, last: u64) -> Found<'a, Vec<FateRow>> {
        async move { self.driver.fates(&self.key(key), first, last).await }.boxed()
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        range: ListRange,
        limit: usize,
    ) -> Found<'a, Vec<ListRow>> {
        async move { self.driver.listed(&self.tenant(tenant), user, range, limit).await }.boxed()
    }

    fn device<'a>(&'a self, key: &'a DeviceKey, reading: Reading) -> Found<'a, Option<u64>> {
        async move {
            let id = self.driver.device(&self.device_key(key), reading).await?;
            Ok(id.map(|id| self.id(id)))
        }
        .boxed()
    }

    fn claim_id<'a>(&'a self, id: u64, key: &'a DeviceKey) -> Tried<'a, DeviceKey> {
        async move {
            let holder = self.driver.claim_id(self.id(id), &self.device_key(key)).await?;
            let tenant = self.plain(&holder.tenant).expect("ids of cases do not meet").to_owned();
            Ok(DeviceKey { tenant, ..holder })
        }
        .boxed()
    }

    fn name_device<'a>(&'a self, key: &'a DeviceKey, id: u64) -> Tried<'a, u64> {
        async move {
            let named = self.driver.name_device(&self.device_key(key), self.id(id)).await?;
            Ok(self.id(named))
        }
        .boxed()
    }

    fn last_device(&self, worker: u16) -> Found<'_, Option<u64>> {
        async move { Ok(self.driver.last_device(self.worker(worker)).await?.map(|id| self.id(id))) }.boxed()
    }

    fn users<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<UserInfo>>> {
        async move { self.driver.users(&self.tenant(tenant), users).await }.boxed()
    }

    fn presence_tip<'a>(&'a self, tenant: &'a str) -> Found<'a, u64> {
        async move { self.driver.presence_tip(&self.tenant(tenant)).await }.boxed()
    }

    fn standings<'a>(&'a self, tenant: &'a str, users: &'a [String]) -> Found<'a, Vec<Option<Standing>>> {
        async move { self.driver.standings(&self.tenant(tenant), users).await }.boxed()
    }

    fn all_standings<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Vec<(UserName, Standing)>> {
        self.own_standings(after.cloned(), limit).boxed()
    }

    fn beat(&self, node: u64) -> Found<'_, Option<i64>> {
        self.driver.beat(self.id(node))
    }

    fn ledgers(&self) -> u16 {
        self.ledgers
    }

    fn ledger_tip(&self, ledger: u16) -> Found<'_, u64> {
        self.driver.ledger_tip(self.ledger(ledger))
    }

    fn all_conversations<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        limit: usize,
    ) -> Found<'a, Scanned<ConversationKey, Option<ConversationEnd>>> {
        let plain = |key: &ConversationKey| {
            Some(ConversationKey::new(self.plain(&key.tenant)?, key.conversation.clone()))
        };
        self.own(Driver::all_conversations, after.map(|key| self.key(key)), limit, plain).boxed()
    }

    fn all_users<'a>(
        &'a self,
        after: Option<&'a UserName>,
        limit: usize,
    ) -> Found<'a, Scanned<UserName, UserInfo>> {
        let after = after.map(|(tenant, user)| (self.tenant(tenant), user.clone()));
        let plain = |(tenant, user): &UserName| Some((self.plain(tenant)?.to_owned(), user.clone()));
        self.own(Driver::all_users, after, limit, plain).boxed()
    }

    fn all_devices<'a>(
        &'a self,
        after: Option<&'a DevicePlace>,
        limit: usize,
    ) -> Found<'a, Scanned<DevicePlace, u64>> {
        let named = |place: &DevicePlace, tenant: String| {
            let (_, user, device_type, installation) = place.clone();
            (tenant, user, device_type, installation)
        };
        let after = after.map(|place| named(place, self.tenant(&place.0)));
        let plain = move |place: &DevicePlace| Some(named(place, self.plain(&place.0)?.to_owned()));
        async move {
            let found = self.own(Driver::all_devices, after, limit, plain).await?;
            Ok(found.into_iter().map(|(place, id)| (place, id.map(|id| self.id(id)))).collect())
        }
        .boxed()
    }

    fn all_slots<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Found<'a, Scanned<(u64, i16), SlotRow>> {
        async move { self.driver.all_slots(&self.key(key), after, limit).await }.boxed()
    }

    fn store_id(&self) -> Found<'_, u64> {
        self.driver.store_id()
    }

    fn now(&self) -> u64 {
        self.driver.now()
    }
}
