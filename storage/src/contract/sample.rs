//! A tenant as gateways write one: every append has what its entries say. What happens is a list of [`Act`]s, any of which
//! makes sense, so that a generator needs to know nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use idgen::{DeviceId, DeviceType, Stamp, WorkerNumber};
use protocol::Proto;
use protocol::limit::DEDUPE_WINDOW;
use protocol::v1::relation::Kind;
use protocol::v1::{Content, ConversationInfo, MembersChanged, Message, NewMember, Relation, Role};

use super::inventory::all;
use crate::Store;
use crate::directory::{DeviceKey, Membership, UserInfo};
use crate::inventory::{Held, Seat};
use crate::key::ConversationKey;
use crate::log::{
    Append, AppendOutcome, Entry, EntryKind, Log, Opened, ReadRange, SenderSlot, SenderSlotOf, StoredEntry,
};
use crate::member::Cursors;
use crate::roster::Roster;

/// Users of a sample.
pub const USERS: u8 = 5;
/// Conversations of a sample.
pub const ROOMS: u8 = 4;

/// One append, or one mark. Numbers are taken modulo what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub room: u8,
    pub user: u8,
    pub items: Vec<Item>,
}

/// One entry, or a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Say {
        bytes: u16,
        hidden: bool,
    },
    /// By nobody's device, and by nobody who is a member.
    Bot,
    Edit {
        back: u8,
    },
    Recall {
        back: u8,
    },
    Join {
        user: u8,
        with_history: bool,
    },
    Leave {
        user: u8,
    },
    Read {
        back: u8,
    },
}

/// Writes a tenant.
pub struct Sample<'a> {
    store: &'a dyn Store,
    tenant: Arc<str>,
    rooms: BTreeMap<u8, Room>,
    now_ms: i64,
    sends: u64,
}

struct Room {
    key: ConversationKey,
    epoch: u64,
    tip: u64,
    roster: Roster,
    /// How often a device has sent.
    sent: BTreeMap<u64, u64>,
    /// Author of each entry that may be changed; 0 for one that may not.
    authors: Vec<u8>,
}

impl<'a> Sample<'a> {
    pub fn new(store: &'a dyn Store, tenant: &str) -> Sample<'a> {
        Sample { store, tenant: tenant.into(), rooms: BTreeMap::new(), now_ms: 1_000, sends: 0 }
    }

    /// Users and devices, then every act.
    pub async fn write(&mut self, acts: &[Act]) {
        for user in 0..USERS {
            let info = UserInfo { name: format!("User {user}"), role: Role::Member };
            self.store.put_user(&self.tenant, &name(user), info).await.unwrap();
            let id = DeviceId::from_u64(device(user)).unwrap();
            let (tenant, user) = (self.tenant.to_string(), name(user));
            let key = DeviceKey { tenant, user, device_type: 1, installation: "phone".into() };
            assert_eq!(self.store.device(&key, Some(id)).await, Ok(Some(id)));
        }
        for act in acts {
            self.act(act).await;
        }
    }

    /// The same, holding its logs anew.
    pub async fn reopened(mut self) -> Sample<'a> {
        for room in self.rooms.values_mut() {
            room.epoch = Log::open(self.store, &room.key).await.unwrap().epoch;
        }
        self
    }

    async fn act(&mut self, act: &Act) {
        let number = act.room % ROOMS;
        if !self.rooms.contains_key(&number) {
            let key = ConversationKey::new(self.tenant.clone(), format!("room {number}"));
            let Opened { epoch, tip, .. } = Log::open(self.store, &key).await.unwrap();
            let (roster, sent, authors) = Default::default();
            self.rooms.insert(number, Room { key, epoch, tip, roster, sent, authors });
        }
        let Some(room) = self.rooms.get_mut(&number) else { return };
        self.now_ms += 5;
        let mut append = room.begin(self.now_ms);
        let user = act.user % USERS;
        if room.tip == 0 {
            room.create(user, &mut append);
        }
        for item in &act.items {
            self.sends += 1;
            room.item(user, item, self.sends, &mut append);
        }
        append.active = room.roster.active();
        room.tip += append.entries.len() as u64;
        if !append.entries.is_empty() {
            assert_eq!(self.store.append(append).await, AppendOutcome::Applied);
        }
        let is_member = room.roster.get(&name(user)).is_some();
        for item in act.items.iter().filter(|_| is_member) {
            if let Item::Read { back } = item {
                let read = room.tip - u64::from(*back).min(room.tip);
                let to = Cursors { read, delivered: room.tip, sent: 0 };
                self.store.raise_cursors(&room.key, &name(user), to).await.unwrap();
            }
        }
    }
}

impl Room {
    fn begin(&self, at_ms: i64) -> Append {
        Append {
            key: self.key.clone(),
            epoch: self.epoch,
            expected_tip: self.tip,
            batch: u128::from(self.tip + 1).to_be_bytes(),
            at_ms,
            entries: Vec::new(),
            members: Vec::new(),
            active: Arc::default(),
            info: None,
        }
    }

    fn create(&mut self, user: u8, append: &mut Append) {
        let info = ConversationInfo { kind: 0, title: self.key.conversation.to_string() };
        append.info = Some(info.clone());
        let changed =
            MembersChanged { added: vec![member(user, false)], removed: vec![], created: Some(info) };
        self.push(user, Message { members_changed: Some(changed), ..Message::default() }, None, append);
    }

    fn item(&mut self, user: u8, item: &Item, send: u64, append: &mut Append) {
        let active = |user: u8| self.roster.get(&name(user)).is_some_and(|row| row.is_active());
        let mut message = Message::default();
        match *item {
            Item::Bot => {
                message.content = Some(content(3));
                return self.push(u8::MAX, message, None, append);
            }
            _ if !active(user) => return,
            Item::Say { bytes, hidden } => {
                (message.content, message.hidden) = (Some(content(bytes)), hidden);
            }
            Item::Edit { back } | Item::Recall { back } => {
                let Some(target) = self.target(user, back) else { return };
                let recall = matches!(item, Item::Recall { .. });
                if recall {
                    self.authors[target as usize - 1] = 0;
                }
                let kind = if recall { Kind::Recall } else { Kind::Edit };
                message.relation = Some(Relation { kind: kind.into(), seq: target });
            }
            Item::Join { user, with_history } => {
                if active(user % USERS) {
                    return;
                }
                let added = vec![member(user % USERS, with_history)];
                message.members_changed = Some(MembersChanged { added, ..MembersChanged::default() });
            }
            Item::Leave { user } => {
                if !active(user % USERS) {
                    return;
                }
                let removed = vec![name(user % USERS)];
                message.members_changed = Some(MembersChanged { removed, ..MembersChanged::default() });
            }
            Item::Read { .. } => return,
        }
        self.push(user, message, Some(u128::from(send).to_be_bytes()), append);
    }

    /// Adds an entry and all that goes with it.
    fn push(&mut self, user: u8, message: Message, id: Option<[u8; 16]>, append: &mut Append) {
        let seq = append.expected_tip + append.entries.len() as u64 + 1;
        let is_bot = user == u8::MAX;
        let message = Message {
            seq,
            at_ms: append.at_ms,
            sender: if is_bot { "bot".into() } else { name(user) },
            sender_device: if is_bot { 0 } else { device(user) },
            client_msg_id: id.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default(),
            ..message
        };
        let slot = id.map(|client_msg_id| {
            let sent = self.sent.entry(message.sender_device).or_default();
            *sent += 1;
            let slot = ((*sent - 1) % DEDUPE_WINDOW as u64) as u8;
            SenderSlotOf { device: message.sender_device, slot, client_msg_id }
        });
        if let Some(changed) = &message.members_changed {
            let users: Vec<String> = self.roster.apply(seq, changed).map(str::to_owned).collect();
            append.members.retain(|row| !users.contains(&row.user));
            append.members.extend(users.iter().filter_map(|user| self.roster.get(user)).cloned());
        }
        let kind = EntryKind::of(&message);
        let may_change = message.content.is_some() && kind == EntryKind::Shown;
        self.authors.push(if may_change { user } else { 0 });
        let payload = Bytes::from(message.encode_to_vec());
        append.entries.push(Entry::new(payload, &message.sender, kind, slot));
    }

    /// One of the user's own messages; users begin with 1 here.
    fn target(&self, user: u8, back: u8) -> Option<u64> {
        let own = (1..).zip(&self.authors).filter(|(_, author)| **author == user && user > 0);
        let own: Vec<u64> = own.map(|(seq, _)| seq).collect();
        own.iter().rev().nth(usize::from(back) % own.len().max(1)).copied()
    }
}

fn content(bytes: u16) -> Content {
    Content { r#type: "text".into(), data: vec![b'x'; bytes.into()].into() }
}

fn member(user: u8, with_history: bool) -> NewMember {
    NewMember { user: name(user), role: Role::Member.into(), with_history }
}

/// The name of a user of the sample.
pub fn name(user: u8) -> String {
    format!("user {user}")
}

/// The id of that user's device.
pub fn device(user: u8) -> u64 {
    let stamp = Stamp::new(9, user.into()).unwrap();
    DeviceId::new(WorkerNumber::new(3).unwrap(), DeviceType::WEB, stamp).as_u64()
}

/// All that a store tells of a tenant.
#[derive(Debug, PartialEq)]
pub struct Picture {
    pub users: Vec<((String, String), UserInfo)>,
    pub devices: Vec<(String, u64)>,
    pub rooms: Vec<Told>,
    /// Lists of conversations, the latest first: all, and of those that are not left in the order of `listed`.
    pub lists: Vec<(Vec<Membership>, Vec<String>)>,
}

/// All that it tells of a conversation.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub held: Held,
    pub opened: Opened,
    pub entries: Vec<StoredEntry>,
    pub slots: Vec<(u64, SenderSlot)>,
    pub seats: Vec<Seat>,
    pub memberships: Vec<Option<Membership>>,
}

/// Everything a store tells of a tenant, but what is its own: epochs and versions.
pub async fn picture(store: &dyn Store, tenant: &str) -> Picture {
    let mut users = all(3, |after, limit| store.inventory().all_users(Some(tenant), after, limit)).await;
    users.sort_by(|a, b| a.0.cmp(&b.0));
    let devices = all(3, |after, limit| store.inventory().all_devices(Some(tenant), after, limit)).await;
    let mut devices: Vec<_> =
        devices.into_iter().map(|(key, id)| (format!("{key:?}"), id.as_u64())).collect();
    devices.sort();
    let mut held =
        all(3, |after, limit| store.inventory().all_conversations(Some(tenant), after, limit)).await;
    held.sort_by(|a, b| a.key.cmp(&b.key));
    let (mut rooms, mut lists) = (Vec::new(), Vec::new());
    for held in held {
        rooms.push(told(store, held).await);
    }
    for ((_, user), _) in &users {
        let memberships = store.memberships(tenant, user).await.unwrap();
        let listing = crate::directory::Listing::Latest { before: None };
        let listed = store.listed(tenant, user, listing, 100).await.unwrap();
        let lasting = listed.rows.into_iter().filter(|(_, membership)| membership.member.is_active());
        lists.push((memberships, lasting.map(|(place, _)| place.conversation).collect()));
    }
    Picture { users, devices, rooms, lists }
}

async fn told(store: &dyn Store, held: Held) -> Told {
    let key = &held.key;
    let opened = Opened { epoch: 0, ..Log::open(store, key).await.unwrap() };
    let whole = ReadRange {
        first: 1,
        last: u64::MAX,
        backwards: false,
        max_entries: usize::MAX,
        max_bytes: usize::MAX,
    };
    let mut entries = store.read(key, whole).await.unwrap();
    // When something is recalled it no longer matters what its latest edit is.
    entries.iter_mut().filter(|entry| entry.fate.recalled).for_each(|entry| entry.fate.edited = 0);
    let mut slots = all(3, |after, limit| store.inventory().senders(key, after, limit)).await;
    slots.sort_by_key(|(device, slot)| (*device, slot.slot));
    let mut seats = all(3, |after, limit| store.inventory().seats(key, after, limit)).await;
    seats.sort_by(|a, b| a.user.cmp(&b.user));
    let mut memberships = Vec::new();
    for seat in &seats {
        memberships.push(store.member(key, &seat.user).await.unwrap());
    }
    Told { held, opened, entries, slots, seats, memberships }
}
