//! What the simulated store holds on stable storage. Everything here has been fsynced.

use std::collections::BTreeMap;

use bytes::Bytes;
use idgen::{DeviceId, WorkerNumber};
use protocol::v1::ConversationInfo;
use storage::ConversationKey;
use storage::directory::{DeviceKey, Listed, Listing, Membership, Place, UserInfo};
use storage::log::{
    Append, AppendOutcome, BatchId, EntryKind, Fate, Opened, ReadRange, SenderSlot, StoredEntry,
};
use storage::member::{Cursors, MemberRow};

use crate::mutant::Mutant;
use crate::presence::Streams;

/// The store's tables.
#[derive(Clone, Default)]
pub struct Data {
    pub logs: BTreeMap<ConversationKey, LogState>,
    pub cursors: BTreeMap<(ConversationKey, String), Cursors>,
    devices: BTreeMap<(String, String, u8, String), DeviceId>,
    users: BTreeMap<(String, String), UserInfo>,
    /// Rises with every commit that changes somebody's list of conversations.
    version: u64,
    /// Conversation and user → the version at which the read cursor rose.
    moved: BTreeMap<(ConversationKey, String), u64>,
    pub mutant: Option<Mutant>,
    /// Set while something is read on a lagging copy: entries that it does not show.
    lag: u64,
    /// Appends that are on their way; only a planted bug looks at them.
    pub unsynced: Vec<Append>,
    pub streams: Streams,
    /// Conversations and tips that were committed since the world last looked.
    pub committed: Vec<(ConversationKey, u64)>,
}

/// One log.
#[derive(Clone, Default)]
pub struct LogState {
    epoch: u64,
    pub entries: Vec<Bytes>,
    pub kinds: Vec<EntryKind>,
    fates: BTreeMap<u64, Fate>,
    /// Of the latest entry.
    version: u64,
    /// User → the version at which the user left.
    left: BTreeMap<String, u64>,
    last_batch: BatchId,
    info: Option<ConversationInfo>,
    pub members: BTreeMap<String, MemberRow>,
    senders: BTreeMap<(u64, u8), SenderSlot>,
    tip_at_ms: i64,
}

impl LogState {
    pub fn tip(&self) -> u64 {
        self.entries.len() as u64
    }

    /// A log as some other store has it, for whoever looks at it in the end.
    pub fn read(entries: Vec<Bytes>) -> LogState {
        LogState { entries, ..LogState::default() }
    }

    fn take(&mut self, payload: Bytes, kind: EntryKind) {
        self.entries.push(payload);
        self.kinds.push(kind);
        let tip = self.tip();
        match kind {
            EntryKind::Edit(seq) => drop(self.fates.insert(seq, Fate { recalled: false, edited: tip })),
            EntryKind::Recall(seq) => drop(self.fates.insert(seq, Fate { recalled: true, edited: 0 })),
            EntryKind::Shown | EntryKind::Silent => {}
        }
    }

    fn fate(&self, seq: u64) -> Fate {
        let own = self.fates.get(&seq).copied().unwrap_or_default();
        match self.kinds[seq as usize - 1] {
            EntryKind::Edit(of) => {
                let of = self.fates.get(&of).copied().unwrap_or_default();
                Fate { recalled: of.recalled, ..own }
            }
            _ => own,
        }
    }

    fn is_shown(&self, seq: u64) -> bool {
        self.kinds.get(seq as usize - 1) == Some(&EntryKind::Shown)
    }
}

impl Data {
    pub fn new(mutant: Option<Mutant>) -> Data {
        Data { mutant, ..Data::default() }
    }

    pub fn open(&mut self, key: &ConversationKey) -> Opened {
        let mut ahead = None;
        if !self.unsynced.is_empty() {
            let (mut copy, unsynced) = (self.clone(), std::mem::take(&mut self.unsynced));
            unsynced.iter().filter(|append| append.key == *key).for_each(|append| drop(copy.append(append)));
            ahead = copy.logs.remove(&self.key(key));
        }
        let log = self.logs.entry(self.key(key)).or_default();
        log.epoch += 1;
        let epoch = log.epoch;
        let log = ahead.as_ref().unwrap_or(log);
        Opened {
            epoch,
            tip: log.tip(),
            last_batch: log.last_batch,
            info: log.info.clone(),
            members: log.members.values().cloned().collect(),
        }
    }

    pub fn append(&mut self, append: &Append) -> AppendOutcome {
        let key = self.key(&append.key);
        let log = self.logs.entry(key.clone()).or_default();
        if self.mutant == Some(Mutant::PlainWrites) {
            log.entries.truncate(append.expected_tip as usize);
            log.kinds.truncate(append.expected_tip as usize);
        } else if (log.tip(), log.epoch) != (append.expected_tip, append.epoch) {
            return AppendOutcome::Conflict { tip: log.tip(), epoch: log.epoch };
        }
        for entry in &append.entries {
            let kind = match (self.mutant, entry.kind) {
                (Some(Mutant::EditCounted), EntryKind::Edit(_)) => EntryKind::Shown,
                (_, kind) => kind,
            };
            log.take(entry.payload.clone(), kind);
            let seq = log.tip();
            if let Some(of) = entry.slot {
                let slot = SenderSlot { slot: of.slot, client_msg_id: of.client_msg_id, seq };
                log.senders.insert((of.device, of.slot), slot);
            }
            if !entry.sender.is_empty() {
                let cursors = self.cursors.entry((key.clone(), entry.sender.clone())).or_default();
                cursors.sent = cursors.sent.max(seq);
            }
        }
        self.version += 1;
        log.version = self.version;
        for row in &append.members {
            if !row.is_active() {
                log.left.insert(row.user.clone(), self.version);
            }
            log.members.insert(row.user.clone(), row.clone());
        }
        log.info = append.info.clone().or(log.info.take());
        (log.last_batch, log.tip_at_ms) = (append.batch, append.at_ms);
        self.committed.push((append.key.clone(), log.tip()));
        AppendOutcome::Applied
    }

    pub fn sender(&self, key: &ConversationKey, device: u64) -> Vec<SenderSlot> {
        if self.mutant == Some(Mutant::NoDedupe) {
            return Vec::new();
        }
        let log = self.logs.get(&self.key(key));
        let slots = log.into_iter().flat_map(|log| log.senders.range((device, 0)..=(device, u8::MAX)));
        slots.map(|(_, slot)| *slot).collect()
    }

    pub fn read(&self, key: &ConversationKey, range: ReadRange) -> Vec<StoredEntry> {
        let Some(log) = self.logs.get(&self.key(key)) else { return Vec::new() };
        let last = range.last.min(log.tip());
        let mut seqs: Vec<u64> = (range.first.max(1)..=last).collect();
        if range.backwards {
            seqs.reverse();
        }
        let (mut bytes, mut read) = (0, Vec::new());
        for seq in seqs.into_iter().take(range.max_entries.max(1)) {
            let payload = log.entries[seq as usize - 1].clone();
            bytes += payload.len();
            if bytes > range.max_bytes && !read.is_empty() {
                break;
            }
            read.push(StoredEntry { seq, payload, fate: self.fate(log, seq) });
        }
        if range.backwards {
            read.reverse();
        }
        read
    }

    fn fate(&self, log: &LogState, seq: u64) -> Fate {
        let fate = log.fate(seq);
        match self.mutant {
            Some(Mutant::RecallForgotten) => Fate { recalled: false, ..fate },
            Some(Mutant::EditForgotten) => Fate { edited: 0, ..fate },
            _ => fate,
        }
    }

    pub fn tip(&self, key: &ConversationKey) -> u64 {
        self.logs.get(&self.key(key)).map_or(0, |log| log.tip())
    }

    pub fn device(&mut self, key: &DeviceKey, candidate: Option<DeviceId>) -> Option<DeviceId> {
        let named = (key.tenant.clone(), key.user.clone(), key.device_type, key.installation.clone());
        match (self.devices.get(&named), candidate) {
            (Some(id), _) => Some(*id),
            (None, Some(candidate)) => {
                self.devices.insert(named, candidate);
                Some(candidate)
            }
            (None, None) => None,
        }
    }

    pub fn last_device(&self, worker: WorkerNumber) -> Option<DeviceId> {
        let of_worker = self.devices.values().copied().filter(|id| id.worker() == worker);
        of_worker.max_by_key(|id| id.as_u64())
    }

    pub fn put_user(&mut self, tenant: String, user: String, info: UserInfo) {
        self.users.insert((tenant, user), info);
    }

    pub fn users(&self, tenant: &str, users: &[String]) -> Vec<Option<UserInfo>> {
        users.iter().map(|user| self.users.get(&(tenant.to_owned(), user.clone())).cloned()).collect()
    }

    pub fn memberships(&self, tenant: &str, user: &str) -> Vec<Membership> {
        let of_tenant = self.logs.iter().filter(|(key, _)| *key.tenant == *tenant || key.tenant.is_empty());
        let mut all: Vec<Membership> =
            of_tenant.filter_map(|(key, log)| self.membership(key, log, user)).collect();
        all.sort_by_key(|membership| std::cmp::Reverse(membership.tip_at_ms));
        all
    }

    pub fn member(&self, key: &ConversationKey, user: &str) -> Option<Membership> {
        let key = self.key(key);
        self.membership(&key, self.logs.get(&key)?, user)
    }

    pub fn members(&self, key: &ConversationKey, after: &str, limit: usize) -> Vec<MemberRow> {
        let log = self.logs.get(&self.key(key));
        let rows = log.into_iter().flat_map(|log| log.members.values());
        rows.filter(|row| row.is_active() && row.user.as_str() > after).take(limit).cloned().collect()
    }

    pub fn cursors_of(&self, key: &ConversationKey, user: &str) -> Cursors {
        self.cursors.get(&(self.key(key), user.to_owned())).copied().unwrap_or_default()
    }

    pub fn raise(&mut self, key: &ConversationKey, user: &str, to: Cursors) -> Cursors {
        let key = self.key(key);
        let named = (key, user.to_owned());
        let cursors = self.cursors.entry(named.clone()).or_default();
        if to.read > cursors.read {
            self.version += 1;
            self.moved.insert(named, self.version);
        }
        *cursors = match self.mutant {
            Some(Mutant::CursorsFall) => Cursors { sent: cursors.sent, ..to },
            _ => cursors.max(to),
        };
        *cursors
    }

    /// Has the next reads come from a copy that lags by so many entries.
    pub fn set_lag(&mut self, lag: u64) {
        self.lag = lag;
    }

    fn membership(&self, key: &ConversationKey, log: &LogState, user: &str) -> Option<Membership> {
        let (member, cursors) = (log.members.get(user)?.clone(), self.cursors_of(key, user));
        let tip = log.tip().saturating_sub(self.lag);
        let visible = member.visible_tip(tip);
        let seen = visible - member.cursors_since_joining(cursors).unread(visible);
        let shown = (1..=visible).rev().find(|seq| log.is_shown(*seq)).unwrap_or_default();
        let silent = (seen + 1..=visible).filter(|seq| !log.is_shown(*seq)).count() as u64;
        Some(Membership {
            conversation: key.conversation.to_string(),
            info: log.info.clone()?,
            member,
            cursors,
            tip,
            tip_at_ms: log.tip_at_ms,
            shown,
            silent,
        })
    }

    /// Where a user's conversations stand: by their latest entry, and by the read cursor.
    fn places(&self, tenant: &str, user: &str) -> Vec<(Place, Option<Place>)> {
        let mut places = Vec::new();
        for (key, log) in self.logs.iter().filter(|(key, _)| *key.tenant == *tenant || key.tenant.is_empty())
        {
            let Some(member) = log.members.get(user) else { continue };
            let left = log.left.get(user).filter(|_| !member.is_active());
            let at = |version| Place { version, conversation: key.conversation.to_string() };
            let moved = self.moved.get(&(key.clone(), user.to_owned()));
            places.push((at(*left.unwrap_or(&log.version)), moved.map(|version| at(*version))));
        }
        places
    }

    pub fn listed(&self, tenant: &str, user: &str, listing: Listing, limit: usize) -> Listed {
        let all = self.places(tenant, user).into_iter();
        let mut places: Vec<Place> = match &listing {
            Listing::Latest { before } => {
                let wanted = |place: &Place| before.as_ref().is_none_or(|before| place < before);
                all.map(|(place, _)| place).filter(wanted).collect()
            }
            Listing::Changed { after } => {
                let start = Place { version: 0, conversation: String::new() };
                let after = if after.version > self.version + 1 { &start } else { after };
                let all = all.filter(|_| self.mutant != Some(Mutant::ChangesUnlisted));
                let both = all.flat_map(|(place, moved)| [Some(place), moved]).flatten();
                both.filter(|place| place > after).collect()
            }
        };
        places.sort_unstable();
        if matches!(listing, Listing::Latest { .. }) {
            places.reverse();
        }
        let more = places.len() > limit;
        places.truncate(limit);
        let next = if more { places.last().cloned() } else { None };
        let rows = places.into_iter().filter_map(|place| {
            let key = ConversationKey::new(tenant, place.conversation.as_str());
            let membership = self.member(&key, user)?;
            Some((place, membership))
        });
        Listed { rows: rows.collect(), next, version: self.version, store: 7 }
    }

    fn key(&self, key: &ConversationKey) -> ConversationKey {
        match self.mutant {
            Some(Mutant::TenantIgnored) => ConversationKey::new("", key.conversation.clone()),
            _ => key.clone(),
        }
    }
}
