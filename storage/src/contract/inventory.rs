//! The inventory: everything once, in pages; who is listed.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::future::BoxFuture;
use idgen::{DeviceId, DeviceType, Stamp, WorkerNumber};
use protocol::v1::Role;

use super::directory::join;
use super::fixture::{Fixture, Owner, entry, key, slot};
use crate::Store;
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::inventory::{Held, Marker, Page, Seat};
use crate::key::ConversationKey;
use crate::member::{Cursors, MemberRow};

/// Everything of a question, asked in pages of `limit`; nothing comes twice and nothing is broken.
pub(super) async fn all<'a, T: Debug>(
    limit: usize,
    ask: impl Fn(Option<Marker>, usize) -> BoxFuture<'a, Result<Page<T>, StoreError>>,
) -> Vec<T> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = ask(after, limit).await.unwrap();
        assert!(page.rows.len() <= limit && page.broken.is_empty(), "{page:?}");
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let texts: BTreeSet<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    assert_eq!(texts.len(), rows.len(), "each once: {rows:?}");
    rows
}

pub async fn conversations_in_pages(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for (number, conversation) in ["a", "ab", "b", "ü", "c"].iter().enumerate() {
        join(&*store, conversation, number as i64, &["ann"]).await;
    }
    let other = ConversationKey::new("tenant2", "a");
    Owner::open(&*store, &other).await.say(&*store, &["1", "2"]).await;
    // A log that was opened and never written is no conversation.
    Owner::open(&*store, &key("opened")).await;
    for limit in [1, 2, 3, 100] {
        let ask = |after, limit| store.inventory().all_conversations(Some("tenant"), after, limit);
        let mut held = all(limit, ask).await;
        held.sort_by(|a, b| a.key.cmp(&b.key));
        let named = |(name, at): (&str, i64)| Held { key: key(name), tip: 1, tip_at_ms: at };
        assert_eq!(held, [("a", 0), ("ab", 1), ("b", 2), ("c", 4), ("ü", 3)].map(named));
        let everywhere =
            all(limit, |after, limit| store.inventory().all_conversations(None, after, limit)).await;
        assert_eq!(everywhere.len(), 6);
        assert!(everywhere.contains(&Held { key: other.clone(), tip: 2, tip_at_ms: 1_000 }));
    }
    assert!(
        all(9, |after, limit| store.inventory().all_conversations(Some("t"), after, limit)).await.is_empty()
    );
}

pub async fn users_and_devices_in_pages(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (mut users, mut devices) = (Vec::new(), Vec::new());
    for (number, tenant, user) in [(1, "tenant", "ann"), (2, "tenant", "anna"), (3, "tenant2", "ann")] {
        let info = UserInfo { name: format!("User {number}"), role: Role::Agent };
        store.put_user(tenant, user, info.clone()).await.unwrap();
        users.push(((tenant.to_owned(), user.to_owned()), info));
        for device_type in [0, 1] {
            let (tenant, user) = (tenant.to_owned(), user.to_owned());
            let device = DeviceKey { tenant, user, device_type, installation: "phone".into() };
            let stamp = Stamp::new(number, device_type.into()).unwrap();
            let id = DeviceId::new(WorkerNumber::new(7).unwrap(), DeviceType::WEB, stamp);
            store.device(&device, Some(id)).await.unwrap();
            devices.push((device, id));
        }
    }
    let store = fixture.reopen(store).await;
    for limit in [1, 2, 100] {
        for (tenant, count) in [(None, 3), (Some("tenant"), 2), (Some("tenant2"), 1), (Some("none"), 0)] {
            let wanted = |name: &str| tenant.is_none_or(|tenant| tenant == name);
            let mut found =
                all(limit, |after, limit| store.inventory().all_users(tenant, after, limit)).await;
            found.sort_by(|a, b| a.0.cmp(&b.0));
            let known: Vec<_> = users.iter().filter(|(name, _)| wanted(&name.0)).cloned().collect();
            assert_eq!((&found, found.len()), (&known, count));
            let mut found =
                all(limit, |after, limit| store.inventory().all_devices(tenant, after, limit)).await;
            found.sort_by_key(|(_, id)| id.stamp());
            let known: Vec<_> = devices.iter().filter(|(key, _)| wanted(&key.tenant)).cloned().collect();
            assert_eq!((&found, found.len()), (&known, 2 * count));
        }
    }
}

pub async fn seats_of_members_and_others(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let c = key("c");
    join(&*store, "c", 1, &["ann", "ben"]).await;
    join(&*store, "cc", 1, &["other"]).await;
    let mut owner = Owner::open(&*store, &c).await;
    let mut append = owner.batch(&["2", "3"]);
    append.entries[0].sender = "ann".into();
    append.entries[1].sender = "bot".into();
    let mut left = MemberRow::join("ben", Role::Member, 1);
    left.leave(3);
    (append.members, append.active) = (vec![left.clone()], ["ann".into()].into());
    owner.apply(&*store, append).await;
    let read = Cursors { read: 2, delivered: 3, sent: 0 };
    store.raise_cursors(&key("c"), "ben", read).await.unwrap();
    let seats = [
        ("ann", Some(MemberRow::join("ann", Role::Member, 1)), Cursors { sent: 2, ..Cursors::default() }),
        ("ben", Some(left), read),
        ("bot", None, Cursors { sent: 3, ..Cursors::default() }),
    ];
    let seats = seats.map(|(user, member, cursors)| Seat { user: user.into(), member, cursors });
    let store = fixture.reopen(store).await;
    for limit in [1, 2, 100] {
        let mut found = all(limit, |after, limit| store.inventory().seats(&c, after, limit)).await;
        found.sort_by(|a, b| a.user.cmp(&b.user));
        assert_eq!(found, seats);
    }
}

pub async fn slots_of_every_device(fixture: &dyn Fixture) {
    let (store, c) = (fixture.open().await, key("c"));
    let mut owner = Owner::open(&*store, &c).await;
    let mut append = owner.batch(&[]);
    for seq in 1..=30u8 {
        let mut entry = entry("x");
        entry.slot = slot(u64::MAX - u64::from(seq % 3), seq / 3, seq);
        append.entries.push(entry);
    }
    owner.apply(&*store, append).await;
    for limit in [1, 7, 30, 100] {
        let mut found = all(limit, |after, limit| store.inventory().senders(&c, after, limit)).await;
        found.sort_by_key(|(_, slot)| slot.seq);
        assert_eq!(found.len(), 30);
        for ((device, slot), seq) in found.into_iter().zip(1u8..) {
            let named = (u64::MAX - u64::from(seq % 3), seq / 3, [seq; 16], u64::from(seq));
            assert_eq!((device, slot.slot, slot.client_msg_id, slot.seq), named);
        }
    }
    let nobodys = key("cc");
    assert!(all(9, |after, limit| store.inventory().senders(&nobodys, after, limit)).await.is_empty());
}

pub async fn taking_stock_changes_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    join(&*store, "c", 1, &["ann"]).await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    store.inventory().all_conversations(None, None, 9).await.unwrap();
    store.inventory().seats(&key("c"), None, 9).await.unwrap();
    store.inventory().senders(&key("c"), None, 9).await.unwrap();
    store.inventory().unlisted(&key("c"), &["ann".to_owned()]).await.unwrap();
    owner.say(&*store, &["2"]).await;
}

/// Small or large, and whoever comes back: the list has the conversation after every append.
pub async fn active_members_are_listed(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let many: Vec<String> = (0..40).map(|number| format!("user {number:02}")).collect();
    for (conversation, count) in [("small", 2), ("large", 40)] {
        let users: Vec<&str> = many[..count].iter().map(String::as_str).collect();
        join(&*store, conversation, 1, &users).await;
        let key = key(conversation);
        listed(&*store, &key, &many, count).await;
        let mut owner = Owner::open(&*store, &key).await;
        let mut row = MemberRow::join("user 00", Role::Member, 1);
        for seq in [2, 3] {
            let mut append = owner.batch(&["moves"]);
            if seq == 2 {
                row.leave(2)
            } else {
                row.rejoin(Role::Member, 3)
            };
            append.members = vec![row.clone()];
            append.active = users[usize::from(seq == 2)..].iter().map(|user| (*user).into()).collect();
            owner.apply(&*store, append).await;
            let active = &many[usize::from(seq == 2)..];
            listed(&*store, &key, active, count - usize::from(seq == 2)).await;
        }
    }
}

/// The first `count` of the users are listed, and the others are not.
async fn listed(store: &dyn Store, key: &ConversationKey, users: &[String], count: usize) {
    let missing = store.inventory().unlisted(key, users).await.unwrap();
    assert_eq!(missing, users[count..], "{key}");
}
