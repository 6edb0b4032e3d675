//! Replies, edits and recalls: what they may refer to, and who may change what.

use protocol::code::Code;
use protocol::v1::relation::Kind::{Edit, Recall, Reply};
use protocol::v1::{self, Role};
use storage::log::EntryKind;
use whimbrel_channel::conversation::event::{Body, Event};
use whimbrel_channel::conversation::{MAX_LOADED, MAX_RECENT};

use crate::support::*;

const INVALID: Told = Told::No(Code::INVALID_REQUEST);
const NOT_ALLOWED: Told = Told::No(Code::NOT_ALLOWED);

fn change(n: u64, kind: v1::relation::Kind, seq: u64) -> Body {
    Body::Send(related(n, kind, seq))
}

/// Members a (owner), b and c, g (agent); entries 2 by a and 3 by b; every ring loaded.
fn room() -> Bench {
    let mut bench =
        Bench::group(&[("a", Role::Owner), ("b", Role::Member), ("c", Role::Member), ("g", Role::Agent)]);
    bench.ask("a", 1, 1, Body::Send(send(1)));
    bench.settle();
    bench.ask("b", 2, 2, Body::Send(send(2)));
    bench.settle();
    for (user, device) in [("c", 3), ("g", 4)] {
        bench.ask(user, device, 0, Body::Send(send_after(1, 99)));
    }
    bench.settle();
    bench.told();
    bench.pushed();
    bench
}

fn ask(bench: &mut Bench, user: &str, device: u64, body: Body) -> Told {
    bench.ask(user, device, 77, body);
    bench.settle();
    let told = bench.told();
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].1
}

#[test]
fn only_the_author_edits_and_owners_and_agents_recall_for_others() {
    let mut bench = room();
    assert_eq!(ask(&mut bench, "a", 1, change(10, Edit, 3)), NOT_ALLOWED, "the owner is no author");
    assert_eq!(ask(&mut bench, "c", 3, change(11, Edit, 3)), NOT_ALLOWED);
    assert_eq!(ask(&mut bench, "c", 3, change(12, Recall, 3)), NOT_ALLOWED);
    assert_eq!(ask(&mut bench, "b", 2, change(13, Edit, 3)), Told::Ack(4));
    assert_eq!(ask(&mut bench, "g", 4, change(14, Recall, 3)), Told::Ack(5));
    assert_eq!(ask(&mut bench, "a", 1, change(15, Recall, 2)), Told::Ack(6));
    let kinds: Vec<EntryKind> = bench.log.entries[3..].iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Edit(3), EntryKind::Recall(3), EntryKind::Recall(2)]);
    assert!(bench.log.entries[3..].iter().all(|entry| entry.sender.is_empty()), "they read nothing");
    assert_eq!(bench.pushed().iter().map(|push| push.0).collect::<Vec<_>>(), [4, 5, 6]);
}

#[test]
fn what_was_recalled_is_neither_edited_nor_recalled() {
    let mut bench = room();
    assert_eq!(ask(&mut bench, "b", 2, change(10, Recall, 3)), Told::Ack(4));
    for restart in [false, true] {
        if restart {
            bench.restart();
        }
        assert_eq!(ask(&mut bench, "b", 2, change(11, Edit, 3)), INVALID);
        assert_eq!(ask(&mut bench, "g", 4, change(12, Recall, 3)), INVALID);
    }
    // A retry is still told what became of it.
    assert_eq!(ask(&mut bench, "b", 2, change(10, Recall, 3)), Told::Again(4));
}

#[test]
fn only_messages_are_changed() {
    let mut bench = room();
    let hidden = v1::Send { hidden: true, ..send(10) };
    assert_eq!(ask(&mut bench, "b", 2, Body::Send(hidden)), Told::Ack(4));
    assert_eq!(ask(&mut bench, "b", 2, change(11, Edit, 4)), Told::Ack(5));
    for restart in [false, true] {
        if restart {
            bench.restart();
        }
        for (user, device, kind, seq) in [
            ("a", 1, Recall, 1),
            ("a", 1, Recall, 4),
            ("b", 2, Edit, 5),
            ("b", 2, Recall, 5),
            ("b", 2, Edit, 6),
            ("b", 2, Edit, u64::MAX),
            ("b", 2, Reply, 6),
        ] {
            assert_eq!(ask(&mut bench, user, device, change(12, kind, seq)), INVALID, "{kind:?} {seq}");
        }
    }
    assert_eq!(ask(&mut bench, "b", 2, change(13, Recall, 4)), Told::Ack(6), "one's own hidden message");
    assert_eq!(ask(&mut bench, "c", 3, change(14, Reply, 3)), Told::Ack(7));
}

#[test]
fn what_one_may_not_see_is_not_there() {
    let mut bench = room();
    assert_eq!(ask(&mut bench, "a", 1, add(10, "d", Role::Agent)), Told::Ack(4));
    bench.restart();
    for kind in [Reply, Recall, Edit] {
        assert_eq!(ask(&mut bench, "d", 5, change(11, kind, 3)), INVALID, "before joining");
        assert_eq!(ask(&mut bench, "x", 6, change(11, kind, 3)), Told::No(Code::NOT_FOUND));
    }
    assert_eq!(ask(&mut bench, "a", 1, Body::Send(send(12))), Told::Ack(5));
    assert_eq!(ask(&mut bench, "d", 5, change(13, Recall, 5)), Told::Ack(6));
}

/// Decided against the committed state and what stands before it in the batch.
#[test]
fn entries_of_the_same_batch_are_changed() {
    let mut bench = room();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    bench.ask("b", 2, 2, Body::Send(send(11)));
    bench.ask("b", 2, 3, change(12, Edit, 5));
    bench.ask("a", 1, 4, change(13, Edit, 5));
    bench.ask("g", 4, 5, change(14, Recall, 5));
    bench.ask("b", 2, 6, change(15, Edit, 5));
    bench.ask("b", 2, 7, change(16, Recall, 6));
    // Seq 9 is the next to be given.
    bench.ask("b", 2, 8, change(17, Recall, 9));
    bench.ask("b", 2, 9, change(18, Edit, 3));
    bench.settle();
    let told = bench.told();
    assert_eq!(told[..3], [(1, Told::Ack(4)), (2, Told::Ack(5)), (3, Told::Ack(6))]);
    assert_eq!(told[3..7], [(4, NOT_ALLOWED), (5, Told::Ack(7)), (6, INVALID), (7, INVALID)]);
    assert_eq!(told[7..], [(8, INVALID), (9, Told::Ack(8))]);
}

#[test]
fn an_older_entry_is_read_and_the_order_stays() {
    let mut bench = room();
    bench.restart();
    bench.ask("b", 2, 1, change(10, Edit, 3));
    bench.load(2);
    assert_eq!((bench.targets.clone(), bench.append.is_none()), (vec![3], true));
    bench.ask("b", 2, 2, Body::Send(send_after(11, 10)));
    bench.ask("b", 2, 3, change(12, Recall, 3));
    assert_eq!(bench.targets, [3], "asked for once");
    bench.load_target(3);
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::Ack(4)), (2, Told::Ack(5)), (3, Told::Ack(6))]);
    let seqs: Vec<u64> = bench.pushed().into_iter().map(|push| push.0).collect();
    assert_eq!(seqs, [4, 5, 6]);
}

/// What the read found is older than a recall that was committed while it was on its way.
#[test]
fn a_recall_overtakes_a_read() {
    let mut bench = room();
    bench.restart();
    bench.ask("b", 2, 1, change(10, Recall, 3));
    bench.load(2);
    bench.load_target(3);
    bench.ask("g", 4, 2, change(11, Recall, 3));
    bench.load(4);
    bench.applied();
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::Ack(4)), (2, INVALID)]);

    bench.restart();
    for (user, device) in [("b", 2), ("g", 4)] {
        bench.ask(user, device, 0, Body::Send(send_after(1, 99)));
        bench.load(device);
    }
    bench.ask("a", 1, 3, change(12, Recall, 2));
    bench.load(1);
    let stale = bench.log.stored(2);
    bench.load_target(2);
    bench.ask("a", 1, 4, change(13, Edit, 2));
    bench.applied();
    bench.event(Event::TargetLoaded { seq: 2, entry: Ok(Some(stale)) });
    bench.settle();
    assert_eq!(bench.told(), [(3, Told::Ack(5)), (4, INVALID)]);
}

#[test]
fn a_failed_read_refuses_one_and_the_next_tries_again() {
    let mut bench = room();
    bench.restart();
    bench.ask("b", 2, 1, change(10, Edit, 3));
    bench.ask("b", 2, 2, Body::Send(send_after(11, 10)));
    bench.load(2);
    bench.targets.clear();
    bench.event(Event::TargetLoaded { seq: 3, entry: Err(broken()) });
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::No(Code::UNAVAILABLE)), (2, Told::No(Code::OUT_OF_ORDER))]);
    assert_eq!(ask(&mut bench, "b", 2, change(10, Edit, 3)), Told::Ack(4));
    bench.restart();
    bench.ask("b", 2, 1, change(12, Edit, 3));
    bench.load(2);
    bench.targets.clear();
    bench.event(Event::TargetLoaded { seq: 3, entry: Ok(None) });
    assert_eq!(bench.told(), [(1, Told::No(Code::CORRUPT))]);
}

/// What slides out of the latest entries while a request waits is read.
#[test]
fn more_old_entries_than_are_held() {
    let mut bench = room();
    let total = (MAX_RECENT + MAX_LOADED + 20) as u64;
    for n in 0..total {
        bench.ask("b", 2, 0, Body::Send(send(1_000 + n)));
        bench.settle();
    }
    bench.pushed();
    bench.restart();
    for n in 0..total {
        bench.ask("b", 2, n + 1, change(2_000 + n, Recall, 4 + n));
    }
    bench.load(2);
    assert!(bench.targets.len() <= MAX_LOADED);
    bench.settle();
    let told = bench.told();
    assert_eq!(told.len() as u64, total);
    assert!(
        told.iter().enumerate().all(|(n, told)| *told == (n as u64 + 1, Told::Ack(4 + total + n as u64)))
    );
}

#[test]
fn changes_are_always_stored() {
    let mut bench = room();
    for kind in [Edit, Recall] {
        let unstored = v1::Send { no_store: true, ..related(10, kind, 3) };
        assert_eq!(ask(&mut bench, "b", 2, Body::Send(unstored)), INVALID);
    }
    let unstored = v1::Send { no_store: true, ..related(10, Reply, 3) };
    assert_eq!(ask(&mut bench, "b", 2, Body::Send(unstored)), Told::Ack(0));
}
