//! One commit in the making: requests in the order they came, each seeing the effects of those before it.

use std::collections::HashMap;

use fjall::UserValue;
use idgen::DeviceId;

use super::engine::Engine;
use super::heads::{OpenLog, OpenLogs};
use super::keys::{self, Key};
use super::rows::{Head, Row};
use super::stats::Stats;
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome};
use crate::member::Cursors;

/// Bits of an epoch that count opens within one incarnation of the store: a million million. The 24 above them
/// count incarnations.
const OPENS_BITS: u32 = 40;

type Rows = Vec<(Key, UserValue)>;

/// What requests have changed and no commit has stored yet.
pub(super) struct Group<'a> {
    engine: &'a Engine,
    logs: &'a mut OpenLogs,
    epochs: &'a mut Epochs,
    entries: Rows,
    /// Every other row, once: the engine orders two values of one key within a batch in no defined way.
    rows: HashMap<Key, UserValue>,
    pub(super) stats: Stats,
}

impl<'a> Group<'a> {
    pub(super) fn new(engine: &'a Engine, logs: &'a mut OpenLogs, epochs: &'a mut Epochs) -> Self {
        Self { engine, logs, epochs, entries: Vec::new(), rows: HashMap::new(), stats: Stats::default() }
    }

    /// Everything to write. Entries come before the heads that make them visible.
    pub(super) fn into_rows(self) -> (Rows, Stats) {
        let mut rows = self.entries;
        rows.extend(self.rows);
        (rows, self.stats)
    }

    /// Takes a log over: whoever held it cannot append any more.
    pub(super) fn fence(&mut self, key: &ConversationKey) -> Result<u64, StoreError> {
        let head_key = keys::head(key)?;
        let head = self.head(&head_key)?;
        let epoch = self.epochs.next();
        self.logs.insert(head_key, OpenLog { epoch, head });
        Ok(epoch)
    }

    pub(super) fn append(&mut self, append: &Append) -> AppendOutcome {
        self.try_append(append).unwrap_or_else(AppendOutcome::Refused)
    }

    /// Everything that may fail comes before the first change.
    fn try_append(&mut self, append: &Append) -> Result<AppendOutcome, StoreError> {
        let head_key = keys::head(&append.key)?;
        let Some(log) = self.logs.get_mut(&head_key) else {
            let tip = self.head(&head_key)?.tip;
            return Ok(AppendOutcome::Conflict { tip, epoch: self.epochs.nobody() });
        };
        if log.epoch != append.epoch || log.head.tip != append.expected_tip {
            return Ok(AppendOutcome::Conflict { tip: log.head.tip, epoch: log.epoch });
        }
        if append.entries.is_empty() {
            return Err(StoreError::Corrupt("an append without entries".into()));
        }
        let (entries, rows) = (entries_of(append)?, rows_of(append)?);

        let tip = append.expected_tip + entries.len() as u64;
        log.head = Head { tip, tip_at_ms: append.at_ms, last_batch: append.batch };
        self.rows.insert(head_key, log.head.encode().into());
        self.stats.appends += 1;
        self.stats.entries += entries.len() as u64;
        self.entries.extend(entries);
        self.rows.extend(rows);
        Ok(AppendOutcome::Applied)
    }

    pub(super) fn raise(
        &mut self,
        key: &ConversationKey,
        user: &str,
        to: Cursors,
    ) -> Result<Cursors, StoreError> {
        let (cursors_key, sent_key) = (keys::cursors(key, user)?, keys::sent(key, user)?);
        let stored: Cursors = self.row(&cursors_key)?.unwrap_or_default();
        let sent = self.row(&sent_key)?.unwrap_or_default();
        let raised = stored.max(to);
        if raised != stored {
            self.rows.insert(cursors_key, raised.encode().into());
        }
        Ok(raised.max(Cursors { sent, ..Cursors::default() }))
    }

    pub(super) fn device(&mut self, key: &DeviceKey, candidate: DeviceId) -> Result<DeviceId, StoreError> {
        let device_key = keys::device(key)?;
        if let Some(stored) = self.row::<u64>(&device_key)? {
            return to_device(stored);
        }
        let id_key = keys::device_id(candidate);
        if self.get(&id_key)?.is_some() {
            return Err(StoreError::Corrupt(format!("the id {candidate} belongs to another device")));
        }
        self.rows.insert(id_key, device_key.as_slice().into());
        self.rows.insert(device_key, candidate.as_u64().encode().into());
        Ok(candidate)
    }

    pub(super) fn user(&mut self, tenant: &str, user: &str, info: &UserInfo) -> Result<(), StoreError> {
        let key = keys::user(tenant, user)?;
        if self.row::<UserInfo>(&key)?.as_ref() != Some(info) {
            self.rows.insert(key, info.encode().into());
        }
        Ok(())
    }

    fn head(&self, head_key: &[u8]) -> Result<Head, StoreError> {
        Ok(self.row(head_key)?.unwrap_or_default())
    }

    fn row<R: Row>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        self.get(key)?.map(|value| super::engine::decode(key, &value)).transpose()
    }

    fn get(&self, key: &[u8]) -> Result<Option<UserValue>, StoreError> {
        match self.rows.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.engine.get(key),
        }
    }
}

/// A stored number as the id it must be.
pub(super) fn to_device(stored: u64) -> Result<DeviceId, StoreError> {
    DeviceId::from_u64(stored).map_err(|error| StoreError::Corrupt(format!("device id {stored:#x}: {error}")))
}

/// Numbers that opens of logs get: each higher than all before it, over restarts too.
#[derive(Debug)]
pub(super) struct Epochs {
    incarnation: u64,
    opens: u64,
}

impl Epochs {
    pub(super) fn new(incarnation: u64) -> Self {
        Self { incarnation, opens: 0 }
    }

    fn next(&mut self) -> u64 {
        self.opens += 1;
        self.nobody() + self.opens
    }

    /// An epoch that no open has: the one of a log nobody holds.
    fn nobody(&self) -> u64 {
        self.incarnation << OPENS_BITS
    }
}

fn entries_of(append: &Append) -> Result<Rows, StoreError> {
    let seqs = append.expected_tip + 1..;
    // The payload is copied: it is a part of a larger read buffer, which must not live as long as the memtable.
    seqs.zip(&append.entries)
        .map(|(seq, entry)| Ok((keys::entry(&append.key, seq)?, entry.payload[..].into())))
        .collect()
}

/// What an append changes beside its entries and the head. Later rows of one key replace earlier ones.
fn rows_of(append: &Append) -> Result<Rows, StoreError> {
    let key = &append.key;
    let mut rows = Vec::new();
    for (seq, entry) in (append.expected_tip + 1..).zip(&append.entries) {
        if !entry.sender.is_empty() {
            // Not read first: an own message at the tip is later than all before it.
            rows.push((keys::sent(key, &entry.sender)?, seq.encode().into()));
        }
        if let Some(slot) = entry.slot {
            rows.push((
                keys::sender(key, slot.device, slot.slot)?,
                (slot.client_msg_id, seq).encode().into(),
            ));
        }
    }
    for member in &append.members {
        rows.push((keys::member(key, &member.user)?, member.encode().into()));
        rows.push((keys::membership(key, &member.user)?, UserValue::empty()));
    }
    if let Some(info) = &append.info {
        rows.push((keys::info(key)?, info.encode().into()));
    }
    Ok(rows)
}
