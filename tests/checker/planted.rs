//! One fault planted in the good history for each thing a checker must notice.

use super::*;
use crate::support::checker::tally::Tally;
use crate::support::checker::{Violation, assert_holds};

/// The log at the end of the history.
pub fn final_log(h: &mut History) -> &mut Vec<Entry> {
    let last = h.events.iter_mut().find_map(|event| match event {
        Event::Final { entries, .. } => Some(entries),
        _ => None,
    });
    last.expect("the history ends with a log")
}

/// The result of the history's only read.
fn the_read(h: &mut History) -> &mut ReadResult {
    let read = h.events.iter_mut().find_map(|event| match event {
        Event::ReadEnded { result, .. } => Some(result),
        _ => None,
    });
    read.expect("the history has a read")
}

/// Which invariants the checkers say are broken.
pub fn broken(h: &History) -> Vec<u8> {
    ALL.iter().filter(|(_, checker)| !checker(h).is_empty()).map(|(number, _)| *number).collect()
}

/// Removes what a device saw of a seq.
fn forget(h: &mut History, whose: u64, seq: u64) {
    h.events
        .retain(|e| !matches!(e, Event::Saw { device, entry, .. } if *device == whose && entry.seq == seq));
}

#[test]
fn an_acked_message_that_a_restart_lost() {
    let mut h = good();
    final_log(&mut h).pop();
    assert_eq!(broken(&h), [1]);
}

#[test]
fn an_acked_seq_that_holds_another_message() {
    let mut h = good();
    final_log(&mut h)[3] = entry(4, ALICE, 4);
    assert_eq!(broken(&h), [1, 2, 4]);
}

#[test]
fn a_body_that_changed_on_its_way() {
    let mut h = good();
    final_log(&mut h)[3].body = vec![77];
    assert_eq!(broken(&h), [1, 2]);
}

#[test]
fn a_hole_in_the_log() {
    let mut h = good();
    let log = final_log(&mut h);
    log[3].seq = 5;
    assert!(broken(&h).contains(&2));
}

#[test]
fn a_seq_given_twice() {
    let mut h = good();
    final_log(&mut h).insert(2, entry(2, ALICE, 2));
    assert!(broken(&h).contains(&2));
}

#[test]
fn a_retry_stored_a_second_time() {
    let mut h = good();
    final_log(&mut h).push(entry(5, ALICE, 2));
    for device in [ALICE, BOB] {
        saw(&mut h, device, entry(5, ALICE, 2));
    }
    assert_eq!(broken(&h), [3, 5]);
}

#[test]
fn a_retry_acked_under_another_seq() {
    let mut h = good();
    acked(&mut h, ALICE, 2, 9, true);
    assert_eq!(broken(&h), [1, 3]);
}

#[test]
fn a_retry_that_is_not_marked_as_duplicate() {
    let mut h = good();
    acked(&mut h, ALICE, 3, 4, false);
    assert_eq!(broken(&h), [3]);
}

#[test]
fn a_refused_message_that_shows_up_later() {
    let mut h = good();
    final_log(&mut h).push(entry(5, ALICE, 4));
    for device in [ALICE, BOB] {
        saw(&mut h, device, entry(5, ALICE, 4));
    }
    // Its place in the order is wrong too: it was sent before the third.
    assert_eq!(broken(&h), [4, 5]);
}

#[test]
fn a_message_that_nobody_sent() {
    let mut h = good();
    saw(&mut h, BOB, entry(5, BOB, 77));
    assert_eq!(broken(&h), [4]);
}

#[test]
fn two_sends_of_a_device_stored_in_the_wrong_order() {
    let mut h = History::new();
    acked(&mut h, ALICE, 1, 2, false);
    acked(&mut h, ALICE, 2, 1, false);
    let log = vec![entry(1, ALICE, 2), entry(2, ALICE, 1)];
    h.push(Event::Final { conversation: ROOM.into(), entries: log });
    assert_eq!(broken(&h), [5]);
}

#[test]
fn a_message_that_never_arrived() {
    let mut h = good();
    forget(&mut h, BOB, 4);
    assert_eq!(broken(&h), [6]);
}

#[test]
fn a_device_that_is_still_away_misses_nothing_yet() {
    let mut h = good();
    forget(&mut h, BOB, 4);
    h.events.retain(|e| !matches!(e, Event::CaughtUp { device: BOB, .. }));
    assert_eq!(broken(&h), []);
}

#[test]
fn a_hole_in_what_a_device_saw() {
    let mut h = good();
    forget(&mut h, BOB, 3);
    assert_eq!(broken(&h), [6]);
}

#[test]
fn messages_that_arrived_in_the_wrong_order() {
    let mut h = good();
    forget(&mut h, BOB, 3);
    saw(&mut h, BOB, entry(3, ALICE, 2));
    assert_eq!(broken(&h), [6]);
}

#[test]
fn a_message_shown_to_somebody_who_had_left() {
    let mut h = good();
    for event in &mut h.events {
        if let Event::Entitled { user, to, .. } = event
            && user == "bob"
        {
            *to = 3;
        }
    }
    // The read showed it to him as well.
    assert_eq!(broken(&h), [6, 8]);
}

#[test]
fn a_read_that_lacks_an_acked_message() {
    let mut h = good();
    let read = the_read(&mut h);
    read.entries.pop();
    (read.last, read.tip) = (3, 3);
    assert_eq!(broken(&h), [8]);
}

#[test]
fn a_read_with_a_hole() {
    let mut h = good();
    the_read(&mut h).entries.remove(1);
    assert_eq!(broken(&h), [8]);
}

#[test]
fn a_read_beyond_the_tip() {
    let mut h = good();
    the_read(&mut h).tip = 3;
    assert_eq!(broken(&h), [8]);
}

#[test]
fn violations_read_like_sentences() {
    let mut h = good();
    final_log(&mut h).pop();
    let told: Vec<String> = check(&h).iter().map(Violation::to_string).collect();
    let sentence = "[durable before ack] g:room #4, message 03030303030303030303030303030303 of device a: \
                    acked, but the log has nothing there";
    assert_eq!(told, [sentence]);
}

#[test]
#[should_panic(expected = "1 violations, the first of them:\n  [durable before ack] g:room #4")]
fn a_test_fails_with_the_violations() {
    let mut h = good();
    final_log(&mut h).pop();
    assert_holds(&h);
}

#[test]
fn an_entry_that_lost_its_content_is_the_same_entry() {
    let mut h = good();
    let bare = |n| Entry { body: Vec::new(), recalled: true, ..entry(3, ALICE, n) };
    saw(&mut h, BOB, bare(2));
    assert_eq!(broken(&h), []);
    saw(&mut h, BOB, Entry { body: vec![2], ..bare(2) });
    assert_eq!(broken(&h), [2], "it was recalled and has content");
}

#[test]
fn a_tally_tells_what_is_lost_from_what_came_twice() {
    let mut h = good();
    // SDKs show nothing twice.
    let mut seen = Vec::new();
    h.events.retain(|event| {
        !matches!(event, Event::Saw { .. })
            || !seen.contains(event) && {
                seen.push(event.clone());
                true
            }
    });
    let of = |h: &History| {
        let tally = Tally::of(h);
        (tally.lost.len(), tally.duplicated.len())
    };
    assert_eq!(of(&h), (0, 0));
    let mut lost = h.clone();
    final_log(&mut lost).pop();
    assert!(of(&lost).0 > 0 && of(&lost).1 == 0);
    let mut twice = h.clone();
    saw(&mut twice, BOB, entry(4, ALICE, 3));
    assert_eq!(of(&twice), (0, 1));
    final_log(&mut h).push(entry(5, ALICE, 2));
    assert!(of(&h).1 > 0);
}
