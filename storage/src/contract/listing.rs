//! What has changed for a user, in parts.

use std::collections::BTreeSet;

use protocol::v1::Role;

use super::directory::join;
use super::fixture::{Fixture, Owner, key};
use crate::Store;
use crate::directory::{Listed, Listing, Place};
use crate::log::Users;
use crate::member::{Cursors, MemberRow};

/// More members than any backend keeps rows for.
const MANY: usize = 1_000;

async fn listed(store: &dyn Store, listing: Listing, limit: usize) -> Listed {
    store.listed("tenant", "ann", listing, limit).await.unwrap()
}

fn names(listed: &Listed) -> Vec<String> {
    listed.rows.iter().map(|(_, membership)| membership.conversation.clone()).collect()
}

/// Everything, latest first, in parts of two.
async fn latest(store: &dyn Store) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let part = listed(store, Listing::Latest { before }, 2).await;
        assert!(part.rows.len() <= 2);
        found.extend(names(&part));
        before = part.next;
        if before.is_none() {
            return found;
        }
    }
}

/// What changed after a version, in parts of `limit`; and the version of the last part.
async fn changed(store: &dyn Store, since: u64, limit: usize) -> (BTreeSet<String>, u64) {
    let (mut found, mut after) = (BTreeSet::new(), Place { version: since + 1, conversation: String::new() });
    loop {
        let part = listed(store, Listing::Changed { after }, limit).await;
        found.extend(names(&part));
        match part.next {
            Some(next) => after = next,
            None => return (found, part.version),
        }
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn version(store: &dyn Store) -> u64 {
    listed(store, Listing::Latest { before: None }, 1).await.version
}

/// An entry in a conversation whose members these are.
async fn say(store: &dyn Store, conversation: &str, active: &Users) {
    let mut owner = Owner::open(store, &key(conversation)).await;
    let mut append = owner.batch(&["x"]);
    append.active = active.clone();
    owner.apply(store, append).await;
}

fn users(names: &[&str]) -> Users {
    names.iter().map(|&name| name.into()).collect()
}

async fn read(store: &dyn Store, conversation: &str, read: u64) {
    store.raise_cursors(&key(conversation), "ann", Cursors { read, ..Cursors::default() }).await.unwrap();
}

async fn change(store: &dyn Store, conversation: &str, member: MemberRow, active: &Users) {
    let mut owner = Owner::open(store, &key(conversation)).await;
    let mut append = owner.batch(&["change"]);
    (append.members, append.active) = (vec![member], active.clone());
    owner.apply(store, append).await;
}

async fn large(store: &dyn Store, conversation: &str) -> Users {
    let others: Vec<String> = (1..MANY).map(|number| format!("user {number}")).collect();
    let all: Vec<&str> = others.iter().map(String::as_str).chain(["ann"]).collect();
    join(store, conversation, 1, &all).await;
    users(&all)
}

pub async fn the_latest_entry_first_in_parts(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(listed(&*store, Listing::Latest { before: None }, 9).await.rows, []);
    for conversation in ["a", "b", "c", "d", "e"] {
        join(&*store, conversation, 1, &["ann", "anna"]).await;
    }
    join(&*store, "f", 1, &["anna"]).await;
    say(&*store, "b", &users(&["ann", "anna"])).await;
    read(&*store, "a", 1).await;
    assert_eq!(latest(&*store).await, ["b", "e", "d", "c", "a"], "reading is no entry");
    let store = fixture.reopen(store).await;
    say(&*store, "c", &users(&["ann", "anna"])).await;
    assert_eq!(latest(&*store).await, ["c", "b", "e", "d", "a"]);
    let whole = listed(&*store, Listing::Latest { before: None }, 5).await;
    assert_eq!((whole.rows.len(), whole.next), (5, None));
    assert_eq!(whole.rows[0].1, store.member(&key("c"), "ann").await.unwrap().unwrap());
}

pub async fn what_changed_and_no_more(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for conversation in ["a", "b", "c", "d"] {
        join(&*store, conversation, 1, &["ann", "ben"]).await;
    }
    let both = users(&["ann", "ben"]);
    let since = version(&*store).await;
    let (nothing, still) = changed(&*store, since, 1).await;
    assert_eq!(nothing, set(&[]));
    assert!(still == since || (fixture.is_shared() && still > since), "{still} after {since}");
    say(&*store, "b", &both).await;
    read(&*store, "c", 1).await;
    // Neither is a change: a cursor that does not rise, another member's cursor.
    read(&*store, "c", 1).await;
    let ben = Cursors { read: 1, ..Cursors::default() };
    store.raise_cursors(&key("d"), "ben", ben).await.unwrap();
    join(&*store, "e", 1, &["ben", "ann"]).await;
    for limit in [1, 2, 9] {
        assert_eq!(changed(&*store, since, limit).await.0, set(&["b", "c", "e"]), "{limit}");
    }
    let now = changed(&*store, since, 1).await.1;
    read(&*store, "b", 2).await;
    say(&*store, "b", &both).await;
    let store = fixture.reopen(store).await;
    assert_eq!(changed(&*store, now, 9).await.0, set(&["b"]));
    let elsewhere = store.listed("other", "ann", Listing::Latest { before: None }, 9).await.unwrap();
    assert_eq!(elsewhere.rows, []);
}

pub async fn large_conversations_are_listed_too(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    join(&*store, "a", 1, &["ann"]).await;
    let all = large(&*store, "large").await;
    join(&*store, "b", 1, &["ann"]).await;
    assert_eq!(latest(&*store).await, ["b", "large", "a"]);
    let since = version(&*store).await;
    say(&*store, "large", &all).await;
    assert_eq!(changed(&*store, since, 1).await.0, set(&["large"]));
    assert_eq!(latest(&*store).await, ["large", "b", "a"]);

    // Who joins and leaves a large one.
    let since = version(&*store).await;
    let mut ann = store.member(&key("large"), "ann").await.unwrap().unwrap().member;
    ann.leave(3);
    let without = users(&all.iter().map(|user| &**user).filter(|user| *user != "ann").collect::<Vec<_>>());
    change(&*store, "large", ann.clone(), &without).await;
    assert_eq!(changed(&*store, since, 9).await.0, set(&["large"]));
    // Who takes a log over may tell of its latest entry, the leaving, once more.
    say(&*store, "large", &without).await;
    let now = version(&*store).await;
    say(&*store, "large", &without).await;
    assert_eq!(changed(&*store, now, 9).await.0, set(&[]), "not a member any more");
    assert_eq!(latest(&*store).await, ["large", "b", "a"]);
    ann.rejoin(Role::Member, 6);
    change(&*store, "large", ann, &all).await;
    assert_eq!(changed(&*store, now, 9).await.0, set(&["large"]));
    assert_eq!(latest(&*store).await, ["large", "b", "a"], "once");

    // It was small, and grew.
    let grown = users(&all.iter().map(|user| &**user).collect::<Vec<_>>());
    let since = version(&*store).await;
    let mut owner = Owner::open(&*store, &key("b")).await;
    let mut append = owner.batch(&["all join"]);
    append.members = all.iter().map(|user| MemberRow::join(&**user, Role::Member, 2)).collect();
    append.active = grown.clone();
    owner.apply(&*store, append).await;
    assert_eq!(changed(&*store, since, 9).await.0, set(&["b"]));
    let since = version(&*store).await;
    say(&*store, "b", &grown).await;
    assert_eq!(changed(&*store, since, 9).await.0, set(&["b"]));
    assert_eq!(latest(&*store).await, ["b", "large", "a"]);
}

pub async fn who_leaves_and_joins_again(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    join(&*store, "a", 1, &["ann", "ben"]).await;
    join(&*store, "b", 1, &["ann", "ben"]).await;
    let since = version(&*store).await;
    let mut ann = MemberRow::join("ann", Role::Member, 1);
    ann.leave(2);
    change(&*store, "a", ann.clone(), &users(&["ben"])).await;
    say(&*store, "a", &users(&["ben"])).await;
    let (left, now) = changed(&*store, since, 9).await;
    assert_eq!(left, set(&["a"]));
    assert_eq!(latest(&*store).await, ["a", "b"]);
    say(&*store, "a", &users(&["ben"])).await;
    assert_eq!(changed(&*store, now, 9).await.0, set(&[]));
    for round in 0..3 {
        ann.rejoin(Role::Member, 10 + round);
        change(&*store, "a", ann.clone(), &users(&["ann", "ben"])).await;
        ann.leave(10 + round);
        change(&*store, "a", ann.clone(), &users(&["ben"])).await;
    }
    assert_eq!(changed(&*store, now, 1).await.0, set(&["a"]));
    assert_eq!(latest(&*store).await, ["a", "b"], "listed once, however often it was left");
}

pub async fn a_version_of_the_future_is_the_first(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    join(&*store, "a", 1, &["ann"]).await;
    let now = version(&*store).await;
    assert_eq!(changed(&*store, now, 9).await.0, set(&[]));
    // An hour, where versions are times.
    let ahead = if fixture.is_shared() { 3_600_000_000 } else { 1_000 };
    assert_eq!(changed(&*store, now + ahead, 9).await.0, set(&["a"]));
}

/// What changes between two parts is in a later part, or after the version that the last part says.
pub async fn changes_while_one_reads_are_found(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let conversations: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    for conversation in &conversations {
        join(&*store, conversation, 1, &["ann"]).await;
    }
    let ann = users(&["ann"]);
    let mut after = Place { version: 0, conversation: String::new() };
    let mut heard = std::collections::HashMap::new();
    for step in 0.. {
        let part = listed(&*store, Listing::Changed { after }, 3).await;
        heard.extend(part.rows.into_iter().map(|(_, row)| (row.conversation, row.tip)));
        let Some(next) = part.next else { break };
        after = next;
        if step < 30 {
            say(&*store, &conversations[step * 7 % 20], &ann).await;
        }
    }
    assert_eq!(heard.len(), 20);
    for conversation in conversations {
        assert_eq!(store.tip(&key(&conversation)).await.unwrap(), heard[&conversation]);
    }
}
