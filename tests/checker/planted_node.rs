//! Faults planted in what only a simulation records: tips, rights, routes, cursors, bytes.

use super::planted::{broken, final_log};
use super::*;

fn with(events: impl IntoIterator<Item = Event>) -> Vec<u8> {
    let mut h = good();
    events.into_iter().for_each(|event| h.push(event));
    broken(&h)
}

fn reach(reachable: bool, at: u64) -> Event {
    Event::Reach { device: BOB, user: "bob".into(), reachable, at }
}

fn committed(tip: u64, at: u64) -> Event {
    Event::Committed { conversation: ROOM.into(), tip, at }
}

fn learned(tip: u64, at: u64) -> Event {
    Event::Learned { device: BOB, conversation: ROOM.into(), tip, at }
}

#[test]
fn a_tip_that_is_learned_late_or_never() {
    assert_eq!(with([reach(true, 0), committed(4, 1_000), learned(4, 31_000), reach(false, 90_000)]), []);
    assert_eq!(with([reach(true, 0), committed(4, 1_000), learned(4, 31_001), reach(false, 90_000)]), [7]);
    assert_eq!(with([reach(true, 0), committed(4, 1_000), learned(3, 2_000), reach(false, 90_000)]), [7]);
    // The run goes on for long enough after the last thing was noted.
    assert_eq!(with([reach(true, 0), committed(4, 1_000), learned(2, 40_000)]), [7]);
}

#[test]
fn who_is_not_reachable_for_long_enough_need_not_know() {
    assert_eq!(with([reach(true, 0), committed(4, 1_000), reach(false, 30_000)]), []);
    let back = [reach(true, 0), committed(4, 1_000), reach(false, 30_000), reach(true, 50_000)];
    assert_eq!(with(back.clone().into_iter().chain([learned(4, 79_000), reach(false, 99_000)])), []);
    assert_eq!(with(back.into_iter().chain([learned(4, 81_000), reach(false, 99_000)])), [7]);
}

#[test]
fn a_message_that_came_to_somebody_who_may_not_see_it() {
    let received =
        |user: &str| Event::Received { device: BOB, user: user.into(), conversation: ROOM.into(), seq: 2 };
    assert_eq!(with([received("bob")]), []);
    assert_eq!(with([received("eve")]), [9]);
}

#[test]
fn members_that_the_log_does_not_know() {
    let members = |users: &[&str]| Event::FinalMembers {
        conversation: ROOM.into(),
        users: users.iter().map(|user| user.to_string()).collect(),
    };
    assert_eq!(with([members(&["alice", "bob"])]), []);
    assert_eq!(with([members(&["alice"])]), [9]);
    assert_eq!(with([members(&["alice", "bob", "eve"])]), [9]);
}

#[test]
fn what_a_user_came_back_to_is_owed_to_nobody_and_may_be_seen() {
    let mut h = good();
    for event in &mut h.events {
        if let Event::Entitled { user, from, .. } = event
            && user == "bob"
        {
            *from = 3;
        }
    }
    assert_eq!(broken(&h), [6, 8], "not granted");
    let granted = |owed| {
        let (conversation, user) = (ROOM.into(), "bob".into());
        Event::Granted { conversation, user, from: 1, to: 2, owed }
    };
    h.push(granted(false));
    assert_eq!(broken(&h), []);
    h.events.retain(|e| !matches!(e, Event::Saw { device: BOB, entry, .. } if entry.seq == 2));
    assert_eq!(broken(&h), []);
    h.events.pop();
    h.push(granted(true));
    assert_eq!(broken(&h), [6]);
}

#[test]
fn a_connection_without_a_route_and_a_device_with_two() {
    let routed = |routes, unrouted_ms| Event::Routed { device: BOB, connection: 1, routes, unrouted_ms };
    assert_eq!(with([routed(1, 0), routed(0, 10_000)]), []);
    assert_eq!(with([routed(0, 10_001)]), [10]);
    assert_eq!(with([routed(2, 0)]), [10]);
}

#[test]
fn cursors_that_fall_or_pass_the_tip() {
    let (conversation, user) = (ROOM.to_owned(), "bob".to_owned());
    let told = |connection, read| Event::CursorTold {
        device: ALICE,
        connection,
        conversation: conversation.clone(),
        user: user.clone(),
        read,
        delivered: 4,
    };
    assert_eq!(with([told(1, 2), told(1, 3), told(2, 2)]), []);
    assert_eq!(with([told(1, 3), told(1, 2)]), [11]);
    let marked =
        Event::Marked { conversation: conversation.clone(), user: user.clone(), read: 3, delivered: 3 };
    let stored = |read| Event::FinalCursor {
        conversation: conversation.clone(),
        user: user.clone(),
        read,
        delivered: 3,
        tip: 4,
    };
    assert_eq!(with([marked.clone(), stored(3)]), []);
    assert_eq!(with([marked, stored(2)]), [11]);
    assert_eq!(with([stored(5)]), [11]);
}

#[test]
fn a_wrong_count_of_what_is_unread() {
    let unread = |user: &str, read, unread| Event::Unread {
        device: if user == "bob" { BOB } else { ALICE },
        user: user.into(),
        conversation: ROOM.into(),
        tip: 4,
        read,
        unread,
    };
    assert_eq!(with([unread("bob", 2, 2), unread("alice", 1, 0)]), []);
    assert_eq!(with([unread("bob", 2, 3)]), [11]);
    assert_eq!(with([unread("alice", 1, 3)]), [11], "own messages are read");
    let silent = || Event::Silent { conversation: ROOM.into(), seqs: vec![3] };
    assert_eq!(with([silent(), unread("bob", 2, 1)]), []);
    assert_eq!(with([silent(), unread("bob", 2, 2)]), [11]);
}

#[test]
fn more_bytes_than_may_wait() {
    let held = |bytes| Event::Held { device: BOB, bytes, bound: 100 };
    assert_eq!(with([held(100)]), []);
    assert_eq!(with([held(101)]), [12]);
}

#[test]
fn a_device_that_stays_away_and_a_send_without_an_end() {
    let rest = |online, unsettled| Event::AtRest { device: BOB, online, unsettled };
    assert_eq!(with([rest(true, 0)]), []);
    assert_eq!(with([rest(false, 0)]), [6]);
    assert_eq!(with([rest(true, 1)]), [6]);
}

#[test]
fn a_change_that_was_acked_and_is_not_there() {
    let acked = |seq| Event::ChangeAcked { device: ALICE, conversation: ROOM.into(), id: id(0), seq };
    assert_eq!(with([acked(1)]), []);
    assert_eq!(with([acked(2)]), [1]);
    let mut h = good();
    final_log(&mut h)[0].id = id(9);
    h.push(acked(1));
    assert!(broken(&h).contains(&1));
}
