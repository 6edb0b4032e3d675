//! Conditions, fencing, and what goes with an append.

use futures::future::join_all;
use protocol::v1::{ConversationInfo, Role};

use super::fixture::{Fixture, Owner, batch_id, entry, filled, key, numbered, range, read, slot};
use crate::Store;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, EntryKind, Fate, Log, SenderSlot};
use crate::member::{Cursors, MemberRow};

pub async fn numbers_entries_from_one(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    assert_eq!((owner.opened.tip, owner.opened.last_batch), (0, [0; 16]));
    assert_eq!((&owner.opened.info, owner.opened.members.len()), (&None, 0));
    owner.say(&*store, &["1", "2"]).await;
    owner.say(&*store, &["3"]).await;
    assert_eq!(store.tip(&key("c")).await, Ok(3));
    assert_eq!(read(&*store, &key("c"), range(1, u64::MAX)).await, numbered(1..=3));
}

pub async fn is_refused_at_another_tip(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let owner = filled(&*store, &key("c"), 3).await;
    for tip in [0, 2, 4, u64::MAX - 9] {
        let mut append = owner.batch(&["no"]);
        append.expected_tip = tip;
        let conflict = AppendOutcome::Conflict { tip: 3, epoch: owner.opened.epoch };
        assert_eq!(store.append(append).await, conflict);
    }
    assert_eq!(read(&*store, &key("c"), range(1, u64::MAX)).await, numbered(1..=3));
}

pub async fn is_refused_under_another_epoch(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let owner = filled(&*store, &key("c"), 1).await;
    for epoch in [0, owner.opened.epoch - 1, owner.opened.epoch + 1] {
        let mut append = owner.batch(&["no"]);
        append.epoch = epoch;
        let outcome = store.append(append).await;
        assert_eq!(outcome, AppendOutcome::Conflict { tip: 1, epoch: owner.opened.epoch });
    }
    let mut never_opened = owner.batch(&["no"]);
    never_opened.key = key("other");
    never_opened.expected_tip = 0;
    let outcome = store.append(never_opened).await;
    assert!(matches!(outcome, AppendOutcome::Conflict { tip: 0, .. }), "{outcome:?}");
    assert_eq!(store.tip(&key("other")).await, Ok(0));
}

pub async fn an_open_fences_whoever_held_the_log(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let first = filled(&*store, &key("c"), 1).await;
    let mut second = Owner::open(&*store, &key("c")).await;
    assert!(second.opened.epoch > first.opened.epoch);
    assert_eq!((second.opened.tip, second.opened.last_batch), (1, batch_id(1)));

    let outcome = store.append(first.batch(&["late"])).await;
    assert_eq!(outcome, AppendOutcome::Conflict { tip: 1, epoch: second.opened.epoch });
    second.say(&*store, &["2"]).await;
    let outcome = store.append(first.batch(&["later"])).await;
    assert_eq!(outcome, AppendOutcome::Conflict { tip: 2, epoch: second.opened.epoch });
    assert_eq!(read(&*store, &key("c"), range(1, 9)).await, numbered(1..=2));
}

/// Appends that race with an open are in what it returns, or are never stored.
pub async fn an_open_settles_what_was_underway(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let key = key("c");
    for round in 0..20u64 {
        let owner = Owner::open(&*store, &key).await;
        let append = owner.batch(&[&(owner.tip + 1).to_string()]);
        let (outcome, next) = if round % 2 == 0 {
            futures::join!(store.append(append), Owner::open(&*store, &key))
        } else {
            let (next, outcome) = futures::join!(Owner::open(&*store, &key), store.append(append));
            (outcome, next)
        };
        match outcome {
            AppendOutcome::Applied => assert_eq!(next.tip, owner.tip + 1),
            AppendOutcome::Conflict { .. } => assert_eq!(next.tip, owner.tip),
            // Several nodes that are asked by two at once may not know, but the open does.
            AppendOutcome::Unknown(_) if fixture.is_shared() => {
                assert!(next.tip == owner.tip || next.tip == owner.tip + 1);
            }
            // Or hold each other up until one gives up before it has sent anything.
            AppendOutcome::Refused(StoreError::Unavailable(_)) if fixture.is_shared() => {
                assert_eq!(next.tip, owner.tip);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.tip(&key).await, Ok(next.tip));
    }
}

pub async fn one_of_many_at_the_same_tip_wins(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    for round in 0..5 {
        let (tip, epoch) = (owner.tip, owner.opened.epoch);
        let says: Vec<String> = (0..20).map(|number| format!("{round} by {number}")).collect();
        // Each is an append of its own.
        let batch = |number| Append { batch: batch_id(number), ..owner.batch(&[&says[number as usize]]) };
        let outcomes = join_all((0..20).map(|number| store.append(batch(number)))).await;
        let is_known = !outcomes.iter().any(|outcome| matches!(outcome, AppendOutcome::Unknown(_)));
        if !is_known {
            assert!(fixture.is_shared(), "one node knows: {outcomes:?}");
            owner = Owner::open(&*store, &key("c")).await;
        }
        let stored = read(&*store, &key("c"), range(tip + 1, u64::MAX)).await;
        assert!(stored.len() == 1 || (stored.is_empty() && !is_known), "{stored:?}");
        for (say, outcome) in says.iter().zip(outcomes) {
            let is_stored = stored == [(tip + 1, say.clone())];
            match outcome {
                AppendOutcome::Applied => assert!(is_stored, "{say}: {stored:?}"),
                AppendOutcome::Unknown(_) => {}
                conflict => {
                    assert_eq!(
                        (conflict, is_stored),
                        (AppendOutcome::Conflict { tip: tip + 1, epoch }, false)
                    );
                }
            }
        }
        owner.tip = tip + stored.len() as u64;
    }
}

pub async fn an_empty_append_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = filled(&*store, &key("c"), 1).await;
    let outcome = store.append(owner.batch(&[])).await;
    assert!(matches!(outcome, AppendOutcome::Refused(_)), "{outcome:?}");
    owner.say(&*store, &["2"]).await;
}

pub async fn carries_slots(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    let mut append = owner.batch(&["1", "2", "3"]);
    append.entries[0].slot = slot(7, 0, 10);
    append.entries[1].slot = slot(7, 1, 11);
    append.entries[2].slot = slot(8, 0, 12);
    owner.apply(&*store, append).await;
    let stored = |slot, id, seq| SenderSlot { slot, client_msg_id: [id; 16], seq };
    assert_eq!(store.sender(&key("c"), 7).await.unwrap(), [stored(0, 10, 1), stored(1, 11, 2)]);
    assert_eq!(store.sender(&key("c"), 8).await.unwrap(), [stored(0, 12, 3)]);
    assert_eq!(store.sender(&key("c"), 9).await.unwrap(), []);
    assert_eq!(store.sender(&key("d"), 7).await.unwrap(), []);
}

/// Twice around the window, in batches that meet the same slot more than once.
pub async fn slots_are_rewritten_in_turn(fixture: &dyn Fixture) {
    const WINDOW: u64 = protocol::limit::DEDUPE_WINDOW as u64;
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    let total = 2 * WINDOW + 3;
    let mut append = owner.batch(&[]);
    for seq in 1..=total {
        let mut entry = entry("x");
        entry.slot = slot(7, ((seq - 1) % WINDOW) as u8, (seq % 251) as u8);
        append.entries.push(entry);
    }
    owner.apply(&*store, append).await;
    let slots = store.sender(&key("c"), 7).await.unwrap();
    assert_eq!(slots.len() as u64, WINDOW);
    for (number, slot) in slots.iter().enumerate() {
        assert_eq!(usize::from(slot.slot), number, "by slot");
        assert_eq!((slot.seq - 1) % WINDOW, number as u64);
        assert!(slot.seq > total - WINDOW, "the latest");
        assert_eq!(slot.client_msg_id, [(slot.seq % 251) as u8; 16]);
    }
}

pub async fn carries_members_and_info(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    let info = ConversationInfo { kind: 1, title: "Tea".into() };
    let (mut ann, ben) = (MemberRow::join("ann", Role::Owner, 1), MemberRow::join("ben", Role::Member, 1));
    let mut create = owner.batch(&["1"]);
    create.info = Some(info.clone());
    create.members = vec![ben.clone(), ann.clone()];
    owner.apply(&*store, create).await;

    let opened = Log::open(&*store, &key("c")).await.unwrap();
    assert_eq!((&opened.info, &opened.members), (&Some(info.clone()), &vec![ann.clone(), ben.clone()]));

    let mut owner = Owner::open(&*store, &key("c")).await;
    ann.leave(2);
    let mut leave = owner.batch(&["2"]);
    leave.members = vec![ann.clone()];
    owner.apply(&*store, leave).await;
    let opened = Log::open(&*store, &key("c")).await.unwrap();
    assert_eq!((opened.info, opened.members), (Some(info), vec![ann.clone(), ben]));
    let membership = store.member(&key("c"), "ann").await.unwrap().unwrap();
    assert_eq!((membership.member, membership.tip), (ann, 2));
    assert_eq!(store.member(&key("c"), "eve").await.unwrap(), None);
}

pub async fn nothing_of_a_refused_append_is_stored(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let owner = filled(&*store, &key("c"), 1).await;
    let mut append = owner.batch(&["no"]);
    append.expected_tip = 0;
    append.entries[0].sender = "ann".into();
    append.entries[0].slot = slot(7, 0, 1);
    append.members = vec![MemberRow::join("ann", Role::Member, 1)];
    append.info = Some(ConversationInfo { kind: 0, title: "no".into() });
    assert!(matches!(store.append(append).await, AppendOutcome::Conflict { .. }));

    let store = fixture.reopen(store).await;
    let opened = Log::open(&*store, &key("c")).await.unwrap();
    assert_eq!((opened.tip, opened.last_batch), (1, batch_id(1)));
    assert_eq!((opened.info, opened.members.len()), (None, 0));
    assert_eq!(store.sender(&key("c"), 7).await.unwrap(), []);
    assert_eq!(store.member(&key("c"), "ann").await.unwrap(), None);
    assert_eq!(store.memberships("tenant", "ann").await.unwrap(), []);
    assert_eq!(store.cursors(&key("c"), &["ann".into()]).await.unwrap(), [Cursors::default()]);
}

pub async fn raises_the_senders_sent_cursor(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = Owner::open(&*store, &key("c")).await;
    let mut append = owner.batch(&["1", "2", "3", "4"]);
    append.entries[0].sender = "ann".into();
    append.entries[1].sender = "ben".into();
    append.entries[2].sender = "ann".into();
    owner.apply(&*store, append).await;
    let users = ["ben".to_owned(), "ann".into(), "eve".into()];
    let sent = |cursors: Vec<Cursors>| cursors.iter().map(|cursors| cursors.sent).collect::<Vec<_>>();
    assert_eq!(sent(store.cursors(&key("c"), &users).await.unwrap()), [2, 3, 0]);
    let raised = store.raise_cursors(&key("c"), "ann", Cursors { read: 1, ..Cursors::default() }).await;
    assert_eq!(raised, Ok(Cursors { read: 1, delivered: 0, sent: 3 }));
}

pub async fn all_of_it_outlasts_a_reopen(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = filled(&*store, &key("c"), 5).await;
    let mut append = owner.batch(&["6"]);
    append.entries[0].sender = "ann".into();
    append.entries[0].slot = slot(7, 3, 9);
    append.members = vec![MemberRow::join("ann", Role::Agent, 6)];
    append.info = Some(ConversationInfo { kind: 0, title: "Tea".into() });
    append.at_ms = 42;
    owner.apply(&*store, append).await;
    let raised = store.raise_cursors(&key("c"), "ann", Cursors { read: 4, delivered: 5, sent: 0 }).await;
    let before = (store.memberships("tenant", "ann").await.unwrap(), raised.unwrap());

    let store = fixture.reopen(store).await;
    assert_eq!(read(&*store, &key("c"), range(1, u64::MAX)).await, numbered(1..=6));
    let after = store.memberships("tenant", "ann").await.unwrap();
    assert_eq!((&after, after[0].cursors), (&before.0, before.1));
    assert_eq!((after[0].tip, after[0].tip_at_ms, after[0].info.title.as_str()), (6, 42, "Tea"));
    let slots = store.sender(&key("c"), 7).await.unwrap();
    assert_eq!(slots, [SenderSlot { slot: 3, client_msg_id: [9; 16], seq: 6 }]);
    let mut owner = Owner::open(&*store, &key("c")).await;
    assert_eq!((owner.tip, owner.opened.last_batch), (6, batch_id(6)));
    owner.say(&*store, &["7"]).await;
    assert_eq!(read(&*store, &key("c"), range(1, u64::MAX)).await, numbered(1..=7));
}

pub async fn epochs_rise_over_a_reopen(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut old = filled(&*store, &key("c"), 1).await;
    for _ in 0..10 {
        old = Owner::open(&*store, &key("c")).await;
    }
    let store = fixture.reopen(store).await;
    if !fixture.is_shared() {
        assert!(matches!(store.append(old.batch(&["2"])).await, AppendOutcome::Conflict { tip: 1, .. }));
    }
    let new = Owner::open(&*store, &key("c")).await;
    assert!(new.opened.epoch > old.opened.epoch);
    assert!(matches!(store.append(old.batch(&["2"])).await, AppendOutcome::Conflict { tip: 1, .. }));
}

pub async fn same_names_in_two_tenants_never_mix(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (one, other) = (ConversationKey::new("one", "c"), ConversationKey::new("other", "c"));
    say_as_ann(&*store, &one, 1).await;
    say_as_ann(&*store, &other, 2).await;
    assert_eq!(read(&*store, &one, range(1, 9)).await.len(), 1);
    assert_eq!(read(&*store, &other, range(1, 9)).await.len(), 2);
    assert_eq!(store.sender(&one, 7).await.unwrap()[0].seq, 1);
    assert_eq!(store.sender(&other, 7).await.unwrap()[0].seq, 2);
    for (tenant, tip) in [("one", 1), ("other", 2)] {
        let memberships = store.memberships(tenant, "ann").await.unwrap();
        assert_eq!(memberships.len(), 1);
        assert_eq!((memberships[0].tip, memberships[0].cursors.sent), (tip, tip));
    }
    assert_eq!(store.memberships("on", "ann").await.unwrap(), []);
}

/// `entries` entries, the last with everything that an entry may carry.
async fn say_as_ann(store: &dyn Store, key: &ConversationKey, entries: usize) {
    let mut owner = Owner::open(store, key).await;
    let mut append = owner.batch(&vec!["x"; entries]);
    let last = append.entries.last_mut().unwrap();
    last.sender = "ann".into();
    last.slot = slot(7, 0, 1);
    append.members = vec![MemberRow::join("ann", Role::Member, 1)];
    owner.apply(store, append).await;
}

/// A recall takes away what it names and every edit of that, and nothing else.
pub async fn a_recall_shows_in_what_it_takes_away(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut owner = filled(&*store, &key("c"), 3).await;
    let fates = async |store: &dyn Store| {
        let entries = store.read(&key("c"), range(1, u64::MAX)).await.unwrap();
        entries.into_iter().map(|entry| (entry.fate.recalled, entry.fate.edited)).collect::<Vec<_>>()
    };
    let mut append = owner.batch(&["4", "5", "6"]);
    append.entries[0].kind = EntryKind::Edit(2);
    append.entries[1].kind = EntryKind::Silent;
    append.entries[2].kind = EntryKind::Edit(3);
    owner.apply(&*store, append).await;
    let edited = [(false, 0), (false, 4), (false, 6), (false, 0), (false, 0), (false, 0)];
    assert_eq!(fates(&*store).await, edited);

    let mut append = owner.batch(&["7", "8"]);
    append.entries[0].kind = EntryKind::Edit(2);
    append.entries[1].kind = EntryKind::Recall(2);
    owner.apply(&*store, append).await;
    let store = fixture.reopen(store).await;
    let recalled = fates(&*store).await;
    let whether = |fates: &[(bool, u64)]| fates.iter().map(|fate| fate.0).collect::<Vec<_>>();
    assert_eq!(whether(&recalled), [false, true, false, true, false, false, true, false]);
    assert_eq!(recalled[2], (false, 6));
    assert_eq!(read(&*store, &key("c"), range(1, u64::MAX)).await, numbered(1..=8), "the log stays");

    // The same, whatever part is read.
    for (first, last) in [(2, 2), (4, 4), (3, 7), (7, 8)] {
        let part = store.read(&key("c"), range(first, last)).await.unwrap();
        let fates: Vec<Fate> = part.iter().map(|entry| entry.fate).collect();
        let whole = &recalled[first as usize - 1..last as usize];
        assert_eq!(fates.iter().map(|fate| (fate.recalled, fate.edited)).collect::<Vec<_>>(), whole);
    }
    assert!(store.read(&key("d"), range(1, 9)).await.unwrap().is_empty());
}
