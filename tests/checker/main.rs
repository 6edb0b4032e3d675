//! The history checkers, held against histories with planted faults: a checker that cannot fail is a defect.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support"]
#[allow(dead_code, reason = "shared with tests that use the rest")]
mod support {
    pub mod checker;
    pub mod history;
}

mod planted;
mod planted_changes;
mod planted_node;

use support::checker::{ALL, check};
use support::history::{Entry, Event, History, Meaning, MsgId, Outcome, ReadResult};

const ROOM: &str = "g:room";
const ALICE: u64 = 0xA;
const BOB: u64 = 0xB;

fn id(n: u8) -> MsgId {
    [n; 16]
}

fn entry(seq: u64, device: u64, n: u8) -> Entry {
    let (meaning, recalled) = (Meaning::Shown, false);
    Entry { seq, device, id: id(n), body: vec![n], change: false, meaning, recalled }
}

/// The first entry of every log here: the creation.
fn creation() -> Entry {
    Entry { change: true, ..entry(1, ALICE, 0) }
}

/// Alice sends 1, 2 and 3; 2 is first unknown and sent again, 4 is refused. Bob was away for a while and both see
/// everything in the end.
fn good() -> History {
    let mut h = History::new();
    for user in ["alice", "bob"] {
        h.push(Event::Entitled { conversation: ROOM.into(), user: user.into(), from: 1, to: u64::MAX });
    }
    follow(&mut h, ALICE, "alice", 1);
    follow(&mut h, BOB, "bob", 2);
    saw(&mut h, ALICE, creation());
    acked(&mut h, ALICE, 1, 2, false);
    saw(&mut h, BOB, entry(2, ALICE, 1));
    let lost = h.send(ALICE, ROOM, id(2), &[2]);
    h.ended(lost, Outcome::Unknown);
    acked(&mut h, ALICE, 2, 3, true);
    let refused = h.send(ALICE, ROOM, id(4), &[4]);
    h.ended(refused, Outcome::Refused);
    acked(&mut h, ALICE, 3, 4, false);
    let read = h.read(BOB, "bob", ROOM, 2);
    let entries = vec![entry(2, ALICE, 1), entry(3, ALICE, 2), entry(4, ALICE, 3)];
    h.push(Event::ReadEnded {
        op: read,
        result: ReadResult { first: 2, last: 4, tip: 4, has_more: false, entries },
    });
    for (seq, n) in [(2, 1), (2, 1), (3, 2), (4, 3)] {
        saw(&mut h, ALICE, entry(seq, ALICE, n));
        saw(&mut h, BOB, entry(seq, ALICE, n));
    }
    let log = vec![creation(), entry(2, ALICE, 1), entry(3, ALICE, 2), entry(4, ALICE, 3)];
    h.push(Event::Final { conversation: ROOM.into(), entries: log });
    for device in [ALICE, BOB] {
        h.push(Event::CaughtUp { device, conversation: ROOM.into() });
    }
    h
}

fn follow(h: &mut History, device: u64, user: &str, from: u64) {
    h.push(Event::Follows { device, user: user.into(), conversation: ROOM.into(), from });
}

fn saw(h: &mut History, device: u64, entry: Entry) {
    h.push(Event::Saw { device, conversation: ROOM.into(), entry });
}

fn acked(h: &mut History, device: u64, n: u8, seq: u64, duplicate: bool) {
    let op = h.send(device, ROOM, id(n), &[n]);
    h.ended(op, Outcome::Acked { seq, duplicate });
}

#[test]
fn a_good_history_passes() {
    assert_eq!(check(&good()), []);
    assert_eq!(check(&History::new()), []);
}

#[test]
fn an_operation_that_never_ended_may_or_may_not_be_there() {
    let mut h = good();
    h.send(BOB, ROOM, id(9), &[9]);
    assert_eq!(check(&h), []);
    planted::final_log(&mut h).push(entry(5, BOB, 9));
    for device in [ALICE, BOB] {
        saw(&mut h, device, entry(5, BOB, 9));
    }
    assert_eq!(check(&h), []);
}

#[test]
fn every_invariant_has_a_history_checker() {
    assert_eq!(
        ALL.map(|(number, _)| number),
        [1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 8, 9, 9, 10, 11, 12, 13, 13, 14]
    );
}
