//! Devices, users, members, cursors.

use futures::future::join_all;
use idgen::{DeviceId, DeviceType, Stamp, WorkerNumber};
use protocol::v1::Role;

use super::fixture::{Fixture, Owner, key};
use crate::Store;
use crate::directory::{DeviceKey, UserInfo};
use crate::log::EntryKind;
use crate::member::{Cursors, MemberRow};

fn device(user: &str, installation: &str) -> DeviceKey {
    DeviceKey {
        tenant: "tenant".into(),
        user: user.into(),
        device_type: 1,
        installation: installation.into(),
    }
}

fn worker(number: u16) -> WorkerNumber {
    WorkerNumber::new(number).unwrap()
}

fn id(number: u16, device_type: DeviceType, seconds: u32) -> DeviceId {
    DeviceId::new(worker(number), device_type, Stamp::new(seconds, 1).unwrap())
}

fn web(seconds: u32) -> DeviceId {
    id(7, DeviceType::WEB, seconds)
}

pub async fn a_device_keeps_its_id(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let ann = device("ann", "phone");
    assert_eq!(store.device(&ann, None).await, Ok(None));
    assert_eq!(store.device(&ann, Some(web(1))).await, Ok(Some(web(1))));
    assert_eq!(store.device(&ann, Some(web(2))).await, Ok(Some(web(1))));
    let others = [
        device("ann", "phone2"),
        device("annphone", ""),
        DeviceKey { device_type: 2, ..ann.clone() },
        DeviceKey { tenant: "other".into(), ..ann.clone() },
    ];
    for (number, other) in others.iter().enumerate() {
        assert_eq!(store.device(other, None).await, Ok(None), "{other:?}");
        let fresh = web(10 + number as u32);
        assert_eq!(store.device(other, Some(fresh)).await, Ok(Some(fresh)));
    }
    let store = fixture.reopen(store).await;
    assert_eq!(store.device(&ann, None).await, Ok(Some(web(1))));
    assert_eq!(store.device(&ann, Some(web(3))).await, Ok(Some(web(1))));
}

pub async fn one_of_many_candidates_wins(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let ann = device("ann", "phone");
    let answers = join_all((1..30).map(|seconds| store.device(&ann, Some(web(seconds))))).await;
    let stored = store.device(&ann, None).await.unwrap();
    assert!(stored.is_some());
    assert!(answers.into_iter().all(|answer| answer.unwrap() == stored));
}

pub async fn a_candidate_is_never_shared(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (ann, ben) = (device("ann", "phone"), device("ben", "phone"));
    store.device(&ann, Some(web(1))).await.unwrap();
    assert!(store.device(&ben, Some(web(1))).await.is_err());
    assert_eq!(store.device(&ben, None).await, Ok(None));
    assert_eq!(store.device(&ben, Some(web(2))).await, Ok(Some(web(2))));

    let keys: Vec<DeviceKey> = (0..20).map(|number| device("eve", &number.to_string())).collect();
    let answers = join_all(keys.iter().map(|key| store.device(key, Some(web(3))))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
}

pub async fn the_last_device_of_a_worker(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.last_device(worker(7)).await, Ok(None));
    let ids = [
        id(7, DeviceType::DEFAULT, 300),
        id(7, DeviceType::DESKTOP, 100),
        id(7, DeviceType::MOBILE, 200),
        id(6, DeviceType::WEB, 900),
        id(8, DeviceType::DEFAULT, 5),
    ];
    for (number, id) in ids.into_iter().enumerate() {
        store.device(&device("ann", &number.to_string()), Some(id)).await.unwrap();
    }
    assert_eq!(store.last_device(worker(7)).await, Ok(Some(ids[0])), "the latest, of whatever type");
    assert_eq!(store.last_device(worker(6)).await, Ok(Some(ids[3])));
    assert_eq!(store.last_device(worker(8)).await, Ok(Some(ids[4])));
    assert_eq!(store.last_device(worker(9)).await, Ok(None));
}

pub async fn users_are_stored_and_replaced(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let info = |name: &str, role| UserInfo { name: name.into(), role };
    store.put_user("tenant", "ann", info("Ann", Role::Agent)).await.unwrap();
    store.put_user("other", "ann", info("Anna", Role::Member)).await.unwrap();
    store.put_user("tenant", "ben", info("", Role::Visitor)).await.unwrap();
    store.put_user("tenant", "ann", info("Ann B.", Role::Owner)).await.unwrap();
    store.put_user("tenant", "ann", info("Ann B.", Role::Owner)).await.unwrap();
    let store = fixture.reopen(store).await;
    let asked = ["eve", "ben", "ann", "ben"].map(str::to_owned);
    let (ann, ben) = (Some(info("Ann B.", Role::Owner)), Some(info("", Role::Visitor)));
    assert_eq!(store.users("tenant", &asked).await.unwrap(), [None, ben.clone(), ann, ben]);
    assert_eq!(store.users("other", &asked[2..3]).await.unwrap(), [Some(info("Anna", Role::Member))]);
    assert_eq!(store.users("tenant", &[]).await.unwrap(), []);
}

pub async fn a_login_stores_user_and_device(fixture: &dyn Fixture) {
    let (store, ann) = (fixture.open().await, device("ann", "phone"));
    let info = |name: &str| UserInfo { name: name.into(), role: Role::Member };
    assert_eq!(store.log_in(&ann, info("Ann"), None).await, Ok(None), "it has no id, and no candidate");
    assert_eq!(store.log_in(&ann, info("Ann"), Some(web(1))).await, Ok(Some(web(1))));
    assert_eq!(store.log_in(&ann, info("Ann B."), None).await, Ok(Some(web(1))), "another name");
    assert_eq!(store.log_in(&ann, info("Ann C."), Some(web(2))).await, Ok(Some(web(1))), "a race was lost");
    assert!(store.log_in(&device("ben", "phone"), info("Ben"), Some(web(1))).await.is_err());
    let store = fixture.reopen(store).await;
    assert_eq!(store.device(&ann, None).await, Ok(Some(web(1))));
    let users = store.users(&ann.tenant, &["ann".to_owned()]).await.unwrap();
    assert_eq!(users, [Some(info("Ann C."))]);
}

/// Every field is the highest it was ever told, whichever order the calls arrive in.
pub async fn cursors_only_rise_in_any_order(fixture: &dyn Fixture) {
    let (store, key) = (fixture.open().await, key("c"));
    for seed in 1..=12u64 {
        let user = format!("user {seed}");
        let calls: Vec<Cursors> = (0..25).map(|call| scattered(seed, call)).collect();
        let highest = calls.iter().fold(Cursors::default(), |highest, call| highest.max(*call));
        let answers = join_all(calls.iter().map(|to| store.raise_cursors(&key, &user, *to))).await;
        for (to, answer) in calls.iter().zip(answers) {
            let answer = answer.unwrap();
            assert_eq!(answer.max(*to), answer, "an answer holds what was asked");
            assert_eq!(answer.max(highest), highest, "and no more than anyone asked");
        }
        assert_eq!(store.cursors(&key, std::slice::from_ref(&user)).await.unwrap(), [highest]);
    }
    let all: Vec<String> = (1..=12).map(|seed| format!("user {seed}")).collect();
    let before = store.cursors(&key, &all).await.unwrap();
    let store = fixture.reopen(store).await;
    assert_eq!(store.cursors(&key, &all).await.unwrap(), before);
}

/// Some cursors in no order, the same at every run.
fn scattered(seed: u64, call: u64) -> Cursors {
    let number = |field: u64| {
        let mixed = (seed * 1_000 + call * 10 + field).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 54
    };
    Cursors { read: number(1), delivered: number(2), sent: number(3) }
}

pub async fn cursors_come_in_the_order_asked(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for (user, read) in [("ann", 1), ("ben", 2)] {
        store.raise_cursors(&key("c"), user, Cursors { read, ..Cursors::default() }).await.unwrap();
        store.raise_cursors(&key("cc"), user, Cursors { read: 9, ..Cursors::default() }).await.unwrap();
    }
    let asked = ["ben", "eve", "ann", "ben"].map(str::to_owned);
    let found = store.cursors(&key("c"), &asked).await.unwrap();
    assert_eq!(found.iter().map(|cursors| cursors.read).collect::<Vec<_>>(), [2, 0, 1, 2]);
}

pub async fn memberships_by_latest_activity(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for (conversation, at_ms) in [("a", 30), ("b", 10), ("c", 20), ("d", 5)] {
        join(&*store, conversation, at_ms, &["ann", "anna"]).await;
    }
    join(&*store, "e", 99, &["anna"]).await;
    let names = |found: Vec<crate::directory::Membership>| {
        found.into_iter().map(|membership| membership.conversation).collect::<Vec<_>>()
    };
    assert_eq!(names(store.memberships("tenant", "ann").await.unwrap()), ["a", "c", "b", "d"]);
    assert_eq!(names(store.memberships("tenant", "anna").await.unwrap()), ["e", "a", "c", "b", "d"]);

    let mut owner = Owner::open(&*store, &key("d")).await;
    let mut leave = owner.batch(&["2"]);
    leave.at_ms = 1_000;
    let mut ann = store.member(&key("d"), "ann").await.unwrap().unwrap().member;
    ann.leave(2);
    leave.members = vec![ann.clone()];
    owner.apply(&*store, leave).await;
    let found = store.memberships("tenant", "ann").await.unwrap();
    assert_eq!((found[0].tip, found[0].tip_at_ms, &found[0].member), (2, 1_000, &ann), "left, still listed");
    assert_eq!(names(found), ["d", "a", "c", "b"]);
    assert_eq!(store.memberships("other", "ann").await.unwrap(), []);
}

pub async fn members_in_pages(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    join(&*store, "c", 1, &["b", "aa", "a", "ü", "zz"]).await;
    join(&*store, "c2", 1, &["other"]).await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    let mut leave = owner.batch(&["2"]);
    let mut left = MemberRow::join("b", Role::Member, 1);
    left.leave(2);
    leave.members = vec![left];
    owner.apply(&*store, leave).await;

    let (mut users, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.members(&key("c"), &after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2 && page.iter().all(MemberRow::is_active));
        after = last.user.clone();
        users.extend(page.into_iter().map(|row| row.user));
    }
    assert_eq!(users, ["a", "aa", "zz", "ü"], "byte order, without who left");
    assert_eq!(store.members(&key("c"), "b", 1).await.unwrap()[0].user, "zz", "after one who left");
    assert_eq!(store.members(&key("none"), "", 9).await.unwrap(), []);
}

pub async fn unread_counts_what_is_shown(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    join(&*store, "c", 1, &["ann"]).await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    let counts = async || {
        let ann = store.member(&key("c"), "ann").await.unwrap().unwrap();
        (ann.unread(), ann.shown)
    };
    assert_eq!(counts().await, (0, 1), "the entry of joining is read");
    let kinds =
        [EntryKind::Shown, EntryKind::Silent, EntryKind::Edit(2), EntryKind::Shown, EntryKind::Recall(5)];
    let mut append = owner.batch(&["2", "3", "4", "5", "6"]);
    append.entries.iter_mut().zip(kinds).for_each(|(entry, kind)| entry.kind = kind);
    owner.apply(&*store, append).await;
    assert_eq!(counts().await, (2, 5));
    let mut append = owner.batch(&["7", "8"]);
    append.entries.iter_mut().for_each(|entry| entry.kind = EntryKind::Silent);
    owner.apply(&*store, append).await;
    for (read, unread) in [(2, 1), (3, 1), (4, 1), (5, 0), (6, 0), (8, 0)] {
        store.raise_cursors(&key("c"), "ann", Cursors { read, ..Cursors::default() }).await.unwrap();
        assert_eq!(counts().await, (unread, 5), "read to {read}");
    }
    owner.say(&*store, &["9"]).await;
    assert_eq!(counts().await, (1, 9));
}

/// Users join a conversation by its first entry.
pub(super) async fn join(store: &dyn Store, conversation: &str, at_ms: i64, users: &[&str]) {
    let mut owner = Owner::open(store, &key(conversation)).await;
    let mut append = owner.batch(&["1"]);
    append.at_ms = at_ms;
    append.members = users.iter().map(|user| MemberRow::join(*user, Role::Member, 1)).collect();
    append.active = users.iter().map(|user| (*user).into()).collect();
    owner.apply(store, append).await;
}
