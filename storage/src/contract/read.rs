//! Ranges, limits, no hole, nothing past the tip.

use super::fixture::{Fixture, Owner, filled, key, numbered, range, read, texts};
use crate::key::ConversationKey;
use crate::log::ReadRange;

pub async fn an_unknown_log_is_empty(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.tip(&key("c")).await, Ok(0));
    assert_eq!(read(&*store, &key("c"), range(0, u64::MAX)).await, []);
    assert_eq!(store.sender(&key("c"), 1).await.unwrap(), []);
}

pub async fn forwards_and_backwards(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    filled(&*store, &key("c"), 10).await;
    for backwards in [false, true] {
        for (first, last, found) in
            [(1, 10, 1..=10), (0, 3, 1..=3), (4, 6, 4..=6), (10, 10, 10..=10), (8, u64::MAX, 8..=10)]
        {
            let entries = read(&*store, &key("c"), ReadRange { backwards, ..range(first, last) }).await;
            assert_eq!(entries, numbered(found), "{first}..={last} backwards: {backwards}");
        }
        for (first, last) in [(11, 20), (6, 5), (0, 0), (u64::MAX, u64::MAX)] {
            let entries = read(&*store, &key("c"), ReadRange { backwards, ..range(first, last) }).await;
            assert_eq!(entries, [], "{first}..={last} backwards: {backwards}");
        }
    }
}

pub async fn is_bounded_by_entries_and_bytes(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    filled(&*store, &key("c"), 9).await;
    for (backwards, by_entries, by_bytes) in [(false, 2..=4, 2..=6), (true, 6..=8, 4..=8)] {
        let whole = ReadRange { backwards, ..range(2, 8) };
        let entries = read(&*store, &key("c"), ReadRange { max_entries: 3, ..whole }).await;
        assert_eq!(entries, numbered(by_entries));
        let entries = read(&*store, &key("c"), ReadRange { max_bytes: 5, ..whole }).await;
        assert_eq!(entries, numbered(by_bytes), "every payload is one byte");
    }
}

pub async fn the_first_entry_comes_whatever_its_size(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    owner.say(&*store, &[&"a".repeat(9_000), &"b".repeat(40_000), ""]).await;
    for (backwards, expected) in [(false, 'a'), (true, 'b')] {
        let small = ReadRange { backwards, max_bytes: 10, ..range(1, 2) };
        let entries = texts(store.read(&key("c"), small).await.unwrap());
        assert_eq!(entries.len(), 1);
        assert!(entries[0].1.starts_with(expected));
    }
    let empty = read(&*store, &key("c"), range(3, 3)).await;
    assert_eq!(empty, [(3, String::new())], "a payload may be empty");
}

pub async fn never_passes_the_tip_while_appends_run(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let append = async {
        let mut owner = Owner::open(&*store, &key("c")).await;
        while owner.tip < 120 {
            let next = [owner.tip + 1, owner.tip + 2, owner.tip + 3].map(|seq| seq.to_string());
            owner.say(&*store, &[&next[0], &next[1], &next[2]]).await;
        }
    };
    let check = async {
        let mut seen = 0;
        while seen < 120 {
            let before = store.tip(&key("c")).await.unwrap();
            let entries = read(&*store, &key("c"), range(1, u64::MAX)).await;
            let after = store.tip(&key("c")).await.unwrap();
            assert_eq!(entries, numbered(1..=entries.len() as u64), "no hole");
            seen = entries.len() as u64;
            assert!(before <= seen && seen <= after && seen % 3 == 0, "{before} {seen} {after}");
        }
    };
    futures::join!(append, check);
}

pub async fn neighbours_do_not_show(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for name in ["c", "c0", "cc", "b", "d", ""] {
        filled(&*store, &ConversationKey::new("tenant", name), name.len() as u64 + 1).await;
    }
    filled(&*store, &ConversationKey::new("tenantc", "c"), 9).await;
    for name in ["c", "c0", "cc", "b", "d", ""] {
        let key = ConversationKey::new("tenant", name);
        for backwards in [false, true] {
            let all = ReadRange { backwards, ..range(0, u64::MAX) };
            assert_eq!(read(&*store, &key, all).await, numbered(1..=name.len() as u64 + 1));
        }
    }
}
