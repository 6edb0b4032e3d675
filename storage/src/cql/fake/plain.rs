//! The tables of plain writes.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::cells::{Cell, Marker};
use crate::cql::tables::{
    ConversationEnd, FateRow, ListRange, ListRow, Scanned, Seat, Silence, SlotRow, Write,
};
use crate::directory::UserInfo;
use crate::key::ConversationKey;
use crate::presence::{PresenceState, Standing, UserName};

/// Whose rows a write goes to: those of one partition are written together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Conversation(ConversationKey),
    Sender(ConversationKey, u64),
    Silence(ConversationKey),
    Fate(ConversationKey),
    List(String, String),
    Other(String),
}

pub(super) fn place(write: &Write) -> Place {
    match write {
        Write::Conversation { key, .. }
        | Write::Member { key, .. }
        | Write::Sent { key, .. }
        | Write::Read { key, .. }
        | Write::Delivered { key, .. } => Place::Conversation(key.clone()),
        Write::Slot { key, device, .. } => Place::Sender(key.clone(), *device),
        Write::Silence { key, .. } => Place::Silence(key.clone()),
        Write::Edited { key, .. } | Write::Recalled { key, .. } => Place::Fate(key.clone()),
        Write::List { tenant, user, .. } | Write::Unlist { tenant, user, .. } => {
            Place::List(tenant.clone(), user.clone())
        }
        Write::User { tenant, user, .. } => Place::Other(format!("user {tenant} {user}")),
        Write::LastDevice { worker, .. } => Place::Other(format!("worker {worker}")),
        Write::PresenceTip { tenant, .. } => Place::Other(format!("tip {tenant}")),
        Write::Standing { user, .. } => Place::Other(format!("standing {user:?}")),
        Write::Trim { bucket, .. } => Place::Other(format!("trim {bucket:?}")),
        Write::Beat { node, .. } => Place::Other(format!("beat {node}")),
        Write::Committed { commit, .. } => Place::Other(format!("log {:?}", commit.bucket)),
        Write::Fenced { bucket, .. } => Place::Other(format!("log {bucket:?}")),
        Write::LedgerTip { ledger, .. } => Place::Other(format!("ledger {ledger}")),
    }
}

#[derive(Debug, Default)]
struct Conversation {
    tip: Cell<u64>,
    /// By its bytes, as a cluster compares values: a time before 1970 is larger than any after it.
    at_ms: Cell<u64>,
    version: Cell<u64>,
    changed: Cell<u64>,
    silent: Cell<u64>,
    shown: Cell<u64>,
    wide: Cell<bool>,
    info: Cell<Bytes>,
    seats: BTreeMap<String, Cells>,
}

/// One user's.
#[derive(Debug, Default)]
struct Cells {
    row: Cell<Bytes>,
    read: Cell<u64>,
    moved: Cell<u64>,
    delivered: Cell<u64>,
    sent: Cell<u64>,
}

impl Conversation {
    fn end(&self) -> ConversationEnd {
        ConversationEnd {
            tip: self.tip.or_default(),
            at_ms: self.at_ms.or_default().cast_signed(),
            version: self.version.or_default(),
            changed: self.changed.or_default(),
            silent: self.silent.or_default(),
            shown: self.shown.or_default(),
            wide: self.wide.or_default(),
        }
    }

    fn put(&mut self, end: ConversationEnd, info: Option<Bytes>) {
        let at = end.tip;
        self.tip.put(at, end.tip);
        self.at_ms.put(at, end.at_ms.cast_unsigned());
        self.version.put(at, end.version);
        self.changed.put(at, end.changed);
        self.silent.put(at, end.silent);
        self.shown.put(at, end.shown);
        self.wide.put(at, end.wide);
        if let Some(info) = info {
            self.info.put(at, info);
        }
    }

    fn seat(&self, cells: &Cells) -> Seat {
        Seat {
            end: self.end(),
            info: self.info.get().cloned(),
            row: cells.row.get().cloned(),
            read: cells.read.or_default(),
            delivered: cells.delivered.or_default(),
            sent: cells.sent.or_default(),
            moved: cells.moved.or_default(),
        }
    }
}

/// By timestamp: the seq and the id of the send that had the slot last.
type Slots = BTreeMap<u8, Cell<(u64, [u8; 16])>>;
/// State, since when, and the event that said so.
type Stands = Cell<(PresenceState, i64, u64)>;

/// Everything but the log and the devices.
#[derive(Debug, Default)]
pub(super) struct Plain {
    conversations: HashMap<ConversationKey, Conversation>,
    senders: HashMap<(ConversationKey, u64), Slots>,
    silences: HashMap<ConversationKey, BTreeMap<u64, Cell<(u64, u64)>>>,
    fates: HashMap<ConversationKey, BTreeMap<u64, (Cell<u64>, bool)>>,
    lists: HashMap<(String, String), BTreeMap<ListRow, Marker>>,
    workers: HashMap<u16, Cell<u64>>,
    users: HashMap<(String, String), Cell<(i32, String)>>,
    tips: HashMap<String, Cell<u64>>,
    standings: BTreeMap<(u64, UserName), Stands>,
    beats: HashMap<u64, Cell<i64>>,
    ledgers: HashMap<u16, Cell<u64>>,
}

impl Plain {
    /// All but those of the log's table.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Conversation { key, end, info } => self.conversation_mut(key).put(end, info),
            Write::Member { key, user, row, seq } => self.cells(key, user).row.put(seq, row),
            Write::Sent { key, user, seq } => self.cells(key, user).sent.put(seq, seq),
            Write::Delivered { key, user, seq } => self.cells(key, user).delivered.put(seq, seq),
            Write::Read { key, user, seq, moved } => {
                let cells = self.cells(key, user);
                cells.read.put(seq, seq);
                cells.moved.put(seq, moved);
            }
            Write::Slot { key, device, slot, client_msg_id, seq } => {
                let slots = self.senders.entry((key, device)).or_default();
                slots.entry(slot).or_default().put(seq, (seq, client_msg_id));
            }
            Write::Silence { key, seq, silence } => {
                let rows = self.silences.entry(key).or_default();
                rows.entry(seq).or_default().put(seq, (silence.count, silence.shown));
            }
            Write::Edited { key, seq, by } => self.fate(key, seq).0.put(by, by),
            Write::Recalled { key, seq } => self.fate(key, seq).1 = true,
            Write::List { tenant, user, row, at } => self.marker(tenant, user, row).put(at),
            Write::Unlist { tenant, user, row, at } => self.marker(tenant, user, row).remove(at),
            Write::User { tenant, user, info, at } => {
                let value = (info.role as i32, info.name);
                self.users.entry((tenant, user)).or_default().put(at, value);
            }
            Write::LastDevice { worker, stamp, id } => self.workers.entry(worker).or_default().put(stamp, id),
            Write::PresenceTip { tenant, tip } => self.tips.entry(tenant).or_default().put(tip, tip),
            Write::Standing { user, standing } => {
                let value = (standing.state, standing.since_ms, standing.seq);
                self.standings.entry((token(&user.0), user)).or_default().put(standing.seq, value);
            }
            Write::Beat { node, at_ms } => {
                self.beats.entry(node).or_default().put(at_ms.cast_unsigned(), at_ms);
            }
            Write::LedgerTip { ledger, tip } => self.ledgers.entry(ledger).or_default().put(tip, tip),
            Write::Trim { .. } | Write::Committed { .. } | Write::Fenced { .. } => {}
        }
    }

    fn conversation_mut(&mut self, key: ConversationKey) -> &mut Conversation {
        self.conversations.entry(key).or_default()
    }

    fn cells(&mut self, key: ConversationKey, user: String) -> &mut Cells {
        self.conversation_mut(key).seats.entry(user).or_default()
    }

    fn fate(&mut self, key: ConversationKey, seq: u64) -> &mut (Cell<u64>, bool) {
        self.fates.entry(key).or_default().entry(seq).or_default()
    }

    fn marker(&mut self, tenant: String, user: String, row: ListRow) -> &mut Marker {
        self.lists.entry((tenant, user)).or_default().entry(row).or_default()
    }

    pub(super) fn conversation(&self, key: &ConversationKey) -> Option<(ConversationEnd, Option<Bytes>)> {
        let found = self.conversations.get(key)?;
        found.tip.get()?;
        Some((found.end(), found.info.get().cloned()))
    }

    pub(super) fn seat(&self, key: &ConversationKey, user: &str) -> Option<Seat> {
        let found = self.conversations.get(key)?;
        Some(found.seat(found.seats.get(user)?))
    }

    pub(super) fn seats(&self, key: &ConversationKey, after: &str, limit: usize) -> Vec<(String, Seat)> {
        let Some(found) = self.conversations.get(key) else { return Vec::new() };
        let behind = found.seats.iter().filter(|(user, _)| user.as_str() > after).take(limit);
        let bare = |cells| Seat { end: ConversationEnd::default(), info: None, ..found.seat(cells) };
        behind.map(|(user, cells)| (user.clone(), bare(cells))).collect()
    }

    pub(super) fn all_conversations(
        &self,
        after: Option<&ConversationKey>,
        limit: usize,
    ) -> Scanned<ConversationKey, Option<ConversationEnd>> {
        let found = behind(self.conversations.keys(), after, limit);
        let row = |key: &ConversationKey| (key.clone(), Ok(self.conversation(key).map(|(end, _)| end)));
        found.into_iter().map(row).collect()
    }

    pub(super) fn all_users(&self, after: Option<&UserName>, limit: usize) -> Scanned<UserName, UserInfo> {
        let found = behind(self.users.keys(), after, limit);
        found.into_iter().filter_map(|name| Some((name.clone(), Ok(self.user(&name.0, &name.1)?)))).collect()
    }

    pub(super) fn all_slots(
        &self,
        key: &ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Scanned<(u64, i16), SlotRow> {
        let devices: Vec<u64> =
            self.senders.keys().filter(|(of, _)| of == key).map(|(_, device)| *device).collect();
        let rows = devices.into_iter().flat_map(|device| {
            let rows = self.slots(key, device);
            rows.into_iter().map(move |row| ((device, i16::from(row.slot)), row))
        });
        let rows: BTreeMap<(u64, i16), SlotRow> = rows.collect();
        let behind = rows.into_iter().filter(|(place, _)| after.is_none_or(|after| *place > after));
        behind.take(limit).map(|(place, row)| (place, Ok(row))).collect()
    }

    pub(super) fn slots(&self, key: &ConversationKey, device: u64) -> Vec<SlotRow> {
        let slots = self.senders.get(&(key.clone(), device)).into_iter().flatten();
        let row = |(slot, cell): (&u8, &Cell<(u64, [u8; 16])>)| {
            let (seq, client_msg_id) = cell.or_default();
            SlotRow { slot: *slot, client_msg_id, seq }
        };
        slots.map(row).collect()
    }

    pub(super) fn silence(&self, key: &ConversationKey, seq: u64) -> Option<(u64, Silence)> {
        let (seq, cell) = self.silences.get(key)?.range(..=seq).next_back()?;
        let (count, shown) = cell.or_default();
        Some((*seq, Silence { count, shown }))
    }

    pub(super) fn fates(&self, key: &ConversationKey, first: u64, last: u64) -> Vec<FateRow> {
        let Some(rows) = self.fates.get(key).filter(|_| first <= last) else { return Vec::new() };
        let row = |(seq, (edited, recalled)): (&u64, &(Cell<u64>, bool))| FateRow {
            seq: *seq,
            edited: edited.or_default(),
            recalled: *recalled,
        };
        rows.range(first..=last).map(row).collect()
    }

    pub(super) fn listed(&self, tenant: &str, user: &str, range: &ListRange, limit: usize) -> Vec<ListRow> {
        let Some(rows) = self.lists.get(&(tenant.to_owned(), user.to_owned())) else { return Vec::new() };
        let there = rows.iter().filter(|(_, marker)| marker.is_there()).map(|(row, _)| row);
        let at = |row: &ListRow| (row.period, row.conversation.clone());
        match range {
            ListRange::Rising { kind, first } => {
                let behind = there.filter(|row| row.kind == *kind && at(row) >= *first);
                behind.take(limit).cloned().collect()
            }
            ListRange::Falling { kind, before } => {
                let behind = there.rev().filter(|row| row.kind == *kind && at(row) < *before);
                behind.take(limit).cloned().collect()
            }
        }
    }

    pub(super) fn last_device(&self, worker: u16) -> Option<u64> {
        self.workers.get(&worker)?.get().copied()
    }

    pub(super) fn user(&self, tenant: &str, user: &str) -> Option<UserInfo> {
        let (role, name) = self.users.get(&(tenant.to_owned(), user.to_owned()))?.get()?.clone();
        Some(UserInfo { name, role: role.try_into().ok()? })
    }

    pub(super) fn presence_tip(&self, tenant: &str) -> u64 {
        self.tips.get(tenant).map_or(0, Cell::or_default)
    }

    pub(super) fn ledger_tip(&self, ledger: u16) -> u64 {
        self.ledgers.get(&ledger).map_or(0, Cell::or_default)
    }

    pub(super) fn standing(&self, tenant: &str, user: &str) -> Option<Standing> {
        let name = (tenant.to_owned(), user.to_owned());
        self.standings.get(&(token(tenant), name)).and_then(Cell::get).map(standing)
    }

    /// By token, as partitions stand in a cluster.
    pub(super) fn all_standings(&self, after: Option<&UserName>, limit: usize) -> Vec<(UserName, Standing)> {
        let after = after.map(|name| (token(&name.0), name.clone()));
        let behind =
            self.standings.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
        let row =
            |((_, name), cell): (&(u64, UserName), &Cell<_>)| Some((name.clone(), standing(cell.get()?)));
        behind.filter_map(row).take(limit).collect()
    }

    pub(super) fn beat(&self, node: u64) -> Option<i64> {
        self.beats.get(&node)?.get().copied()
    }
}

/// The first keys behind one, in their order.
fn behind<'a, K: Ord>(keys: impl Iterator<Item = &'a K>, after: Option<&K>, limit: usize) -> Vec<&'a K> {
    let mut keys: Vec<&K> = keys.filter(|key| after.is_none_or(|after| *key > after)).collect();
    keys.sort_unstable();
    keys.truncate(limit);
    keys
}

fn token(tenant: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(tenant.as_bytes())
}

fn standing((state, since_ms, seq): &(PresenceState, i64, u64)) -> Standing {
    Standing { state: *state, since_ms: *since_ms, seq: *seq }
}
