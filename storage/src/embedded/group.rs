//! One commit in the making: requests in the order they came, each seeing the effects of those before it.

mod presence;

use fjall::UserValue;
use hashbrown::HashMap;
use idgen::DeviceId;

use super::engine::{Change, Engine};
use super::heads::{OpenLog, OpenLogs};
use super::keys::{self, Key};
use super::period::Period;
use super::rows::{Head, Moved, Row, Silent};
use super::stats::Stats;
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, EntryKind, Fate};
use crate::member::{Cursors, MAX_LISTED_MEMBERS};

/// Bits of an epoch that count opens within one incarnation of the store: a million million. The 24 above them
/// count incarnations.
const OPENS_BITS: u32 = 40;

type Rows = Vec<Change>;

/// What requests have changed and no commit has stored yet.
pub(super) struct Group<'a> {
    engine: &'a Engine,
    logs: &'a mut OpenLogs,
    epochs: &'a mut Epochs,
    pub(super) period: &'a mut Period,
    /// Where conversations that get an entry stand in their members' lists.
    place: u64,
    entries: Rows,
    /// Every other row, once: the engine orders two values of one key within a batch in no defined way.
    pub(super) rows: HashMap<Key, Option<UserValue>>,
    /// The number of the commit in the making.
    pub(super) version: u64,
    pub(super) stats: Stats,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        logs: &'a mut OpenLogs,
        epochs: &'a mut Epochs,
        period: &'a mut Period,
        version: u64,
    ) -> Self {
        let (entries, rows) = (Vec::new(), HashMap::new());
        let place = period.of(version);
        Self { engine, logs, epochs, period, place, entries, rows, version, stats: Stats::default() }
    }

    /// Everything to write, by key: the engine finds the place of a row faster beside that of the one before.
    pub(super) fn into_rows(self) -> (Rows, Stats) {
        let mut rows = self.entries;
        rows.extend(self.rows);
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
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
        let Some(log) = self.logs.get_mut(head_key.as_slice()) else {
            let tip = self.head(&head_key)?.tip;
            return Ok(AppendOutcome::Conflict { tip, epoch: self.epochs.nobody() });
        };
        if log.epoch != append.epoch || log.head.tip != append.expected_tip {
            return Ok(AppendOutcome::Conflict { tip: log.head.tip, epoch: log.epoch });
        }
        if append.entries.is_empty() {
            return Err(StoreError::Corrupt("an append without entries".into()));
        }
        let before = log.head;
        let (entries, mut rows, mut head) = (entries_of(append)?, rows_of(append)?, before);
        rows.extend(meanings_of(append, &mut head)?);
        head.version = self.version;
        head.wide = before.wide || append.active.len() > MAX_LISTED_MEMBERS;
        head.place = self.place;
        rows.extend(self.listing_of(append, &before, &head)?);

        self.hold(&head_key, head);
        self.rows.insert(head_key, Some(head.encode().into()));
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
        let stored: Moved = self.row(&cursors_key)?.unwrap_or_default();
        let sent = self.row(&sent_key)?.unwrap_or_default();
        let raised = stored.cursors.max(to);
        if raised != stored.cursors {
            let mut version = stored.version;
            if raised.read != stored.cursors.read {
                version = self.version;
                let moved = self.moved(key, user, stored.version)?;
                self.rows.extend(moved);
            }
            self.rows.insert(cursors_key, Some(Moved { cursors: raised, version }.encode().into()));
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
        self.rows.insert(id_key, Some(device_key.as_slice().into()));
        self.rows.insert(device_key, Some(candidate.as_u64().encode().into()));
        Ok(candidate)
    }

    pub(super) fn user(&mut self, tenant: &str, user: &str, info: &UserInfo) -> Result<(), StoreError> {
        let key = keys::user(tenant, user)?;
        if self.row::<UserInfo>(&key)?.as_ref() != Some(info) {
            self.rows.insert(key, Some(info.encode().into()));
        }
        Ok(())
    }

    fn head(&self, head_key: &[u8]) -> Result<Head, StoreError> {
        Ok(self.row(head_key)?.unwrap_or_default())
    }

    /// Where the log ends now.
    fn hold(&mut self, head_key: &[u8], head: Head) {
        if let Some(log) = self.logs.get_mut(head_key) {
            log.head = head;
        }
    }

    pub(super) fn row<R: Row>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        self.get(key)?.map(|value| super::engine::decode(key, &value)).transpose()
    }

    /// As `row`; an empty row is none.
    pub(super) fn row_if_any<R: Row>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        let row = self.get(key)?.filter(|value| !value.is_empty());
        row.map(|value| super::engine::decode(key, &value)).transpose()
    }

    fn get(&self, key: &[u8]) -> Result<Option<UserValue>, StoreError> {
        match self.rows.get(key) {
            Some(value) => Ok(value.clone()),
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
        .map(|(seq, entry)| Ok((keys::entry(&append.key, seq)?, Some(entry.payload[..].into()))))
        .collect()
}

/// What an append changes beside its entries and the head. Later rows of one key replace earlier ones.
fn rows_of(append: &Append) -> Result<Rows, StoreError> {
    let key = &append.key;
    let mut rows = Vec::new();
    for (seq, entry) in (append.expected_tip + 1..).zip(&append.entries) {
        if !entry.sender.is_empty() {
            // Not read first: an own message at the tip is later than all before it.
            rows.push((keys::sent(key, &entry.sender)?, Some(seq.encode().into())));
        }
        if let Some(slot) = entry.slot {
            rows.push((
                keys::sender(key, slot.device, slot.slot)?,
                Some((slot.client_msg_id, seq).encode().into()),
            ));
        }
    }
    for member in &append.members {
        rows.push((keys::member(key, &member.user)?, Some(member.encode().into())));
    }
    if let Some(info) = &append.info {
        rows.push((keys::info(key)?, Some(info.encode().into())));
    }
    Ok(rows)
}

/// What the entries mean to counts, and to earlier entries; `head` goes along.
fn meanings_of(append: &Append, head: &mut Head) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    for entry in &append.entries {
        head.tip += 1;
        let fate = match entry.kind {
            EntryKind::Shown => {
                head.shown = head.tip;
                continue;
            }
            EntryKind::Silent => None,
            EntryKind::Edit(seq) => Some((seq, Fate { recalled: false, edited: head.tip })),
            EntryKind::Recall(seq) => Some((seq, Fate { recalled: true, edited: 0 })),
        };
        head.silent += 1;
        let edits = if let EntryKind::Edit(seq) = entry.kind { seq } else { 0 };
        let silent = Silent { count: head.silent, shown: head.shown, edits };
        rows.push((keys::silent(&append.key, head.tip)?, Some(silent.encode().into())));
        if let Some((seq, fate)) = fate {
            // Not read first: what was recalled is not edited any more.
            rows.push((keys::fate(&append.key, seq)?, Some(fate.encode().into())));
        }
    }
    (head.tip_at_ms, head.last_batch) = (append.at_ms, append.batch);
    Ok(rows)
}
