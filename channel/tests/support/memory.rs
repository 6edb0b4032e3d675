//! A store in memory.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use idgen::{DeviceId, WorkerNumber};
use parking_lot::Mutex;
use protocol::v1::ConversationInfo;
use storage::directory::{DeviceKey, Membership, UserInfo};
use storage::log::*;
use storage::member::{Cursors, MemberRow};
use storage::{ConversationKey, Directory, Log, StoreError};

#[derive(Default)]
pub struct Memory(Mutex<Data>);

#[derive(Default)]
struct Data {
    logs: BTreeMap<ConversationKey, LogData>,
    devices: Vec<(DeviceKey, DeviceId)>,
    users: BTreeMap<(String, String), UserInfo>,
    cursors: BTreeMap<(ConversationKey, String), Cursors>,
}

#[derive(Default)]
struct LogData {
    epoch: u64,
    entries: Vec<bytes::Bytes>,
    members: BTreeMap<String, MemberRow>,
    info: ConversationInfo,
    at_ms: i64,
    senders: BTreeMap<(u64, u8), SenderSlot>,
    last_batch: BatchId,
}

fn done<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, StoreError>> {
    ready(Ok(value)).boxed()
}

impl Log for Memory {
    fn open<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<Opened, StoreError>> {
        let mut data = self.0.lock();
        let log = data.logs.entry(key.clone()).or_default();
        log.epoch += 1;
        done(Opened {
            epoch: log.epoch,
            tip: log.entries.len() as u64,
            last_batch: log.last_batch,
            info: (!log.entries.is_empty()).then(|| log.info.clone()),
            members: log.members.values().cloned().collect(),
        })
    }

    fn append(&self, append: Append) -> BoxFuture<'_, AppendOutcome> {
        let mut data = self.0.lock();
        let log = data.logs.entry(append.key.clone()).or_default();
        let (tip, epoch) = (log.entries.len() as u64, log.epoch);
        if (tip, epoch) != (append.expected_tip, append.epoch) {
            return ready(AppendOutcome::Conflict { tip, epoch }).boxed();
        }
        let mut sent = Vec::new();
        for entry in append.entries {
            log.entries.push(entry.payload);
            let seq = log.entries.len() as u64;
            if let Some(slot) = entry.slot {
                let stored = SenderSlot { slot: slot.slot, client_msg_id: slot.client_msg_id, seq };
                log.senders.insert((slot.device, slot.slot), stored);
            }
            sent.push((entry.sender, seq));
        }
        log.members.extend(append.members.into_iter().map(|row| (row.user.clone(), row)));
        log.info = append.info.unwrap_or_else(|| log.info.clone());
        (log.at_ms, log.last_batch) = (append.at_ms, append.batch);
        for (user, seq) in sent {
            data.cursors.entry((append.key.clone(), user)).or_default().sent = seq;
        }
        ready(AppendOutcome::Applied).boxed()
    }

    fn sender<'a>(
        &'a self,
        key: &'a ConversationKey,
        device: u64,
    ) -> BoxFuture<'a, Result<Vec<SenderSlot>, StoreError>> {
        let data = self.0.lock();
        let slots = data.logs.get(key).map(|log| {
            log.senders.range((device, 0)..=(device, u8::MAX)).map(|(_, slot)| *slot).collect()
        });
        done(slots.unwrap_or_default())
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        range: ReadRange,
    ) -> BoxFuture<'a, Result<Vec<StoredEntry>, StoreError>> {
        let data = self.0.lock();
        let Some(log) = data.logs.get(key) else { return done(Vec::new()) };
        let entry = |seq: u64| StoredEntry { seq, payload: log.entries[seq as usize - 1].clone() };
        let last = range.last.min(log.entries.len() as u64);
        let mut seqs: Vec<u64> = (range.first..=last).collect();
        if range.backwards {
            seqs.reverse();
        }
        let mut found: Vec<StoredEntry> = Vec::new();
        let mut bytes = 0;
        for entry in seqs.into_iter().map(entry) {
            bytes += entry.payload.len();
            if found.len() == range.max_entries || (bytes > range.max_bytes && !found.is_empty()) {
                break;
            }
            found.push(entry);
        }
        found.sort_by_key(|entry| entry.seq);
        done(found)
    }

    fn tip<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<u64, StoreError>> {
        done(self.0.lock().logs.get(key).map_or(0, |log| log.entries.len() as u64))
    }
}

impl Data {
    fn membership(&self, key: &ConversationKey, user: &str) -> Option<Membership> {
        let log = self.logs.get(key)?;
        Some(Membership {
            conversation: key.conversation.to_string(),
            info: log.info.clone(),
            member: log.members.get(user)?.clone(),
            cursors: self.cursors.get(&(key.clone(), user.to_owned())).copied().unwrap_or_default(),
            tip: log.entries.len() as u64,
            tip_at_ms: log.at_ms,
        })
    }
}

impl Directory for Memory {
    fn device<'a>(
        &'a self,
        key: &'a DeviceKey,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>> {
        let mut data = self.0.lock();
        if let Some((_, id)) = data.devices.iter().find(|(other, _)| other == key) {
            return done(Some(*id));
        }
        data.devices.extend(candidate.map(|id| (key.clone(), id)));
        done(candidate)
    }

    fn last_device(&self, worker: WorkerNumber) -> BoxFuture<'_, Result<Option<DeviceId>, StoreError>> {
        let data = self.0.lock();
        let ids = data.devices.iter().map(|(_, id)| *id).filter(|id| id.worker() == worker);
        done(ids.max_by_key(|id| id.stamp()))
    }

    fn put_user<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        info: UserInfo,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.lock().users.insert((tenant.to_owned(), user.to_owned()), info);
        done(())
    }

    fn users<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<UserInfo>>, StoreError>> {
        let data = self.0.lock();
        done(users.iter().map(|user| data.users.get(&(tenant.to_owned(), user.clone())).cloned()).collect())
    }

    fn memberships<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Membership>, StoreError>> {
        let data = self.0.lock();
        let keys = data.logs.keys().filter(|key| &*key.tenant == tenant);
        done(keys.filter_map(|key| data.membership(key, user)).collect())
    }

    fn member<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Option<Membership>, StoreError>> {
        done(self.0.lock().membership(key, user))
    }

    fn members<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<MemberRow>, StoreError>> {
        let data = self.0.lock();
        let Some(log) = data.logs.get(key) else { return done(Vec::new()) };
        let rows = log.members.values().filter(|row| row.is_active() && row.user.as_str() > after);
        done(rows.take(limit).cloned().collect())
    }

    fn cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Cursors>, StoreError>> {
        let data = self.0.lock();
        let of = |user: &String| data.cursors.get(&(key.clone(), user.clone())).copied().unwrap_or_default();
        done(users.iter().map(of).collect())
    }

    fn raise_cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
        to: Cursors,
    ) -> BoxFuture<'a, Result<Cursors, StoreError>> {
        let mut data = self.0.lock();
        let cursors = data.cursors.entry((key.clone(), user.to_owned())).or_default();
        *cursors = cursors.max(to);
        done(*cursors)
    }
}
