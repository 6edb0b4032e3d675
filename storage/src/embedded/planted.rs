//! Damage that is planted into a store: a check finds it, names it, and goes on.

use std::collections::BTreeSet;

use protocol::Proto;
use protocol::v1::{Message, Relation, Role};
use tempfile::TempDir;

use super::keys::{self, Key, Table};
use super::rows::{Head, Moved, Row, Silent};
use super::{EmbeddedConfig, EmbeddedStore};
use crate::check::{self, Checked, Finding, Scope};
use crate::contract::sample::{Act, Item, Sample, device, name};
use crate::directory::DeviceKey;
use crate::key::ConversationKey;
use crate::log::Fate;
use crate::member::{Cursors, MemberRow, Span};

const TENANT: &str = "tenant";
/// Entries of `room()`.
const TIP: u64 = 12;

/// A tenant with two conversations; see the seqs beside the acts.
async fn store() -> (TempDir, EmbeddedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store =
        EmbeddedStore::open(EmbeddedConfig { sync: false, ..EmbeddedConfig::new(dir.path()) }).unwrap();
    let say = |hidden| Item::Say { bytes: 10, hidden };
    let join = |user| Item::Join { user, with_history: false };
    let act = |room, user, items| Act { room, user, items };
    let acts = [
        // 1 creates it, 2 and 3 join, 4 to 6 are said.
        act(0, 1, vec![join(2), join(3), say(false), say(false), say(false)]),
        // 7, and 8 which is not shown.
        act(0, 2, vec![say(false), say(true)]),
        // 9 edits 6, 10 recalls 5.
        act(0, 1, vec![Item::Edit { back: 0 }, Item::Recall { back: 1 }]),
        // User 2 has read up to 8.
        act(0, 2, vec![Item::Read { back: 2 }]),
        // 11 is the leave of user 3, 12 is not shown.
        act(0, 1, vec![Item::Leave { user: 3 }, say(true)]),
        act(1, 4, vec![join(1), say(false)]),
    ];
    Sample::new(&store, TENANT).write(&acts).await;
    (dir, store)
}

fn room() -> ConversationKey {
    ConversationKey::new(TENANT, "room 0")
}

async fn check(store: &EmbeddedStore, scope: &Scope) -> (Vec<Finding>, Checked) {
    check_in_shares(store, scope, check::MAX_TRACKED).await
}

async fn check_in_shares(store: &EmbeddedStore, scope: &Scope, tracked: u64) -> (Vec<Finding>, Checked) {
    let mut found = Vec::new();
    let mut tell = |news| {
        if let check::News::Found(finding) = news {
            found.push(finding);
        }
    };
    let checked = check::check_in_shares(store, scope, tracked, &mut tell).await.unwrap();
    assert_eq!(checked.findings, found.len() as u64);
    (found, checked)
}

impl EmbeddedStore {
    fn plant(&self, key: Key, value: impl Into<Option<Vec<u8>>>) {
        let value = value.into().map(Into::into);
        self.reads.engine().commit(vec![(key, value)], false).unwrap();
    }

    fn planted<R: Row>(&self, key: Key, change: impl FnOnce(&mut R)) {
        let mut row: R = self.reads.engine().row(&key).unwrap().unwrap();
        change(&mut row);
        self.plant(key, row.encode());
    }

    fn planted_entry(&self, seq: u64, change: impl FnOnce(&mut Message)) {
        let key = keys::entry(&room(), seq).unwrap();
        let payload = self.reads.engine().get(&key).unwrap().unwrap();
        let mut message = Message::decode(&payload[..]).unwrap();
        change(&mut message);
        self.plant(key, message.encode_to_vec());
    }

    fn planted_spans(&self, user: u8, spans: &[(u64, u64)]) {
        let spans: Vec<Span> = spans.iter().map(|&(from, to)| Span { from, to }).collect();
        self.planted::<MemberRow>(keys::member(&room(), &name(user)).unwrap(), |row| row.spans = spans);
    }
}

/// What is done to a store, and the codes of what must be found then, all of it in `room()`.
type Damage = (&'static str, fn(&EmbeddedStore), &'static [&'static str]);

const ENTRIES: &[Damage] = &[
    ("an entry is gone", |store| store.plant(keys::entry(&room(), 5).unwrap(), None), &["unreadable"]),
    (
        "an entry is no message",
        |store| store.plant(keys::entry(&room(), 5).unwrap(), b"\xFF\xFF".to_vec()),
        &["undecodable"],
    ),
    ("an entry says another seq", |store| store.planted_entry(4, |message| message.seq = 99), &["seq"]),
    (
        "a send is stored twice",
        |store| store.planted_entry(7, |message| message.client_msg_id = id(7)),
        &["repeated", "slot"],
    ),
    (
        "an edit of what comes later",
        |store| {
            store.planted_entry(9, |message| {
                message.relation = Some(Relation { seq: TIP, ..message.relation.unwrap() });
            });
        },
        &["fate", "relation"],
    ),
    (
        "the tip is too high",
        |store| store.planted::<Head>(head(), |head| head.tip = TIP + 3),
        &["unreadable"],
    ),
    (
        "the tip is no tip",
        |store| store.planted::<Head>(head(), |head| head.tip = u64::MAX),
        &["rest", "unreadable"],
    ),
];

const SLOTS: &[Damage] = &[
    ("a slot names another send", |store| store.plant(slot(1, 0), slot_row(2, 4)), &["slot"]),
    ("a slot names what is not there", |store| store.plant(slot(2, 0), slot_row(8, 99)), &["slot"]),
    ("a slot names nothing", |store| store.plant(slot(2, 0), slot_row(8, 0)), &["slot"]),
    ("a slot that cannot be", |store| store.plant(slot(2, 200), slot_row(8, 7)), &["slot"]),
    ("the latest send is forgotten", |store| store.plant(slot(2, 1), None), &["forgotten"]),
    ("a slot is no slot", |store| store.plant(slot(2, 0), vec![1, 2, 3]), &["unreadable"]),
];

const PEOPLE: &[Damage] = &[
    (
        "a read cursor past the tip",
        |store| {
            store.planted::<Moved>(keys::cursors(&room(), &name(2)).unwrap(), |moved| {
                moved.cursors = Cursors { read: 99, ..moved.cursors };
            });
        },
        &["cursor"],
    ),
    (
        "a sent cursor that lags",
        |store| store.plant(keys::sent(&room(), &name(1)).unwrap(), Row::encode(&3u64)),
        &["sent"],
    ),
    ("a span past the tip", |store| store.planted_spans(2, &[(99, u64::MAX)]), &["member", "spans"]),
    ("spans that overlap", |store| store.planted_spans(2, &[(2, 5), (5, u64::MAX)]), &["member", "spans"]),
    (
        "an open span in between",
        |store| store.planted_spans(3, &[(3, u64::MAX), (9, 11)]),
        &["member", "spans"],
    ),
    ("no span", |store| store.planted_spans(3, &[]), &["member", "spans"]),
    ("one who sees too much", |store| store.planted_spans(2, &[(1, u64::MAX)]), &["member"]),
    ("one who never left", |store| store.planted_spans(3, &[(3, u64::MAX)]), &["member", "unlisted"]),
    (
        "another role",
        |store| {
            store
                .planted::<MemberRow>(keys::member(&room(), &name(2)).unwrap(), |row| row.role = Role::Owner);
        },
        &["member"],
    ),
    ("a member is gone", |store| store.plant(keys::member(&room(), &name(2)).unwrap(), None), &["member"]),
    (
        "a member is no member",
        |store| store.plant(keys::member(&room(), &name(2)).unwrap(), vec![9]),
        &["unreadable"],
    ),
    ("no info", |store| store.plant(keys::info(&room()).unwrap(), vec![9]), &["unreadable"]),
    (
        "a list without it",
        |store| {
            let head: Head = store.reads.engine().row(&head()).unwrap().unwrap();
            let list = keys::list(Table::Active, TENANT, &name(2)).unwrap();
            store.plant(keys::place(&list, head.place, "room 0").unwrap(), None);
        },
        &["unlisted"],
    ),
    ("no membership", |store| store.plant(keys::membership(&room(), &name(2)).unwrap(), None), &["unlisted"]),
];

const COUNTS: &[Damage] = &[
    (
        "a count of what is not shown",
        |store| {
            // User 1, who has sent 11, counts from there; the others from before 10.
            for seq in [10, 12] {
                store.planted::<Silent>(keys::silent(&room(), seq).unwrap(), |silent| silent.count += 4);
            }
        },
        &["unread"],
    ),
    (
        "the last that is shown",
        |store| store.planted::<Silent>(keys::silent(&room(), 12).unwrap(), |silent| silent.shown = 4),
        &["shown"],
    ),
    (
        "another edit",
        |store| {
            store.plant(keys::fate(&room(), 6).unwrap(), Fate { recalled: false, edited: 7 }.encode());
        },
        &["fate"],
    ),
    (
        "an edit that is not there yet",
        |store| {
            store.plant(keys::fate(&room(), 6).unwrap(), Fate { recalled: false, edited: 99 }.encode());
        },
        &["fate"],
    ),
    ("what was recalled is served", |store| store.plant(keys::fate(&room(), 5).unwrap(), None), &["fate"]),
    (
        "what nobody recalled is not",
        |store| {
            store.plant(keys::fate(&room(), 4).unwrap(), Fate { recalled: true, edited: 0 }.encode());
        },
        &["fate"],
    ),
    (
        "an edited message is kept back, and its edit",
        |store| {
            store.plant(keys::fate(&room(), 6).unwrap(), Fate { recalled: true, edited: 9 }.encode());
        },
        &["fate"],
    ),
];

/// What belongs to no conversation.
const NAMES: &[Damage] = &[
    ("an end of a log", |store| store.plant(head(), vec![7]), &["unreadable"]),
    ("a user", |store| store.plant(keys::user(TENANT, &name(1)).unwrap(), vec![7]), &["unreadable"]),
    (
        "a device",
        |store| {
            let (tenant, user) = (TENANT.to_owned(), name(1));
            let key = DeviceKey { tenant, user, device_type: 1, installation: "phone".into() };
            store.plant(keys::device(&key).unwrap(), vec![7]);
        },
        &["unreadable"],
    ),
];

fn head() -> Key {
    keys::head(&room()).unwrap()
}

fn slot(user: u8, slot: u8) -> Key {
    keys::sender(&room(), device(user), slot).unwrap()
}

fn slot_row(send: u64, seq: u64) -> Vec<u8> {
    (u128::from(send).to_be_bytes(), seq).encode()
}

/// The client_msg_id of a send of the sample.
fn id(send: u64) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&u128::from(send).to_be_bytes())
}

async fn found(damages: &[Damage], key: Option<ConversationKey>) {
    for (what, damage, codes) in damages {
        let (_dir, store) = store().await;
        let (found, checked) = check(&store, &Scope::all()).await;
        assert!(found.is_empty() && checked.conversations == 2 && checked.entries == TIP + 3, "{found:?}");
        damage(&store);
        let (found, _) = check(&store, &Scope::all()).await;
        let told: BTreeSet<&str> = found.iter().map(|finding| finding.fault.code()).collect();
        assert_eq!(told, BTreeSet::from_iter(codes.iter().copied()), "{what}: {found:#?}");
        assert!(found.iter().all(|finding| finding.key == key), "{what}: {found:#?}");
        // In many shares the same is found, each once.
        let (mut shares, _) = check_in_shares(&store, &Scope::all(), 2).await;
        for finding in &found {
            let same = shares.iter().position(|other| other == finding);
            shares.remove(same.unwrap_or_else(|| panic!("{what}: {finding} not in shares: {shares:#?}")));
        }
        assert!(shares.is_empty(), "{what}: {shares:#?}");
        assert!(found.iter().all(|finding| finding.to_string().lines().count() == 1), "{what}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_entries() {
    found(ENTRIES, Some(room())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_slots() {
    found(SLOTS, Some(room())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_members_and_lists() {
    found(PEOPLE, Some(room())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_counts_and_fates() {
    found(COUNTS, Some(room())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_what_belongs_to_no_conversation() {
    found(NAMES, None).await;
}

/// A range finds what is wrong in it, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_conversation() {
    let (_dir, store) = store().await;
    store.plant(keys::entry(&room(), 5).unwrap(), b"\xFF".to_vec());
    store.planted_entry(11, |message| message.seq = 99);
    let within = |first, last| Scope { first, last, ..Scope::conversation(&room()) };
    for (first, last, codes) in
        [(1, 4, vec![]), (4, 5, vec!["undecodable"]), (6, 10, vec![]), (6, 11, vec!["seq"])]
    {
        let (found, checked) = check(&store, &within(first, last)).await;
        let told: Vec<&str> = found.iter().map(|finding| finding.fault.code()).collect();
        assert_eq!((told, checked.entries), (codes, last + 1 - first), "{first} to {last}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_is_left_alone() {
    let (_dir, store) = store().await;
    store.plant(keys::entry(&room(), 5).unwrap(), None);
    let (found, checked) = check(&store, &Scope::tenant("other")).await;
    assert_eq!((found, checked), (vec![], Checked::default()));
    assert_eq!(check(&store, &Scope::tenant(TENANT)).await.0.len(), 1);
}
