//! Each rule about sends, retries and outcomes, by an example.

use protocol::code::Code;
use protocol::limit::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES};
use protocol::v1::{self, Role, relation};
use storage::log::{AppendOutcome, Opened};
use whimbrel_channel::conversation::event::{Body, Event};
use whimbrel_channel::conversation::{MAX_PENDING, MAX_PENDING_BYTES};

use crate::support::*;

fn room() -> Bench {
    Bench::group(&[("a", Role::Owner), ("b", Role::Member)])
}

/// A room whose rings are loaded for devices 1 (a) and 2 (b): each has sent once, seqs 2 and 3.
fn warm() -> Bench {
    let mut bench = room();
    bench.ask("a", 1, 1, Body::Send(send(1)));
    bench.ask("b", 2, 2, Body::Send(send(1)));
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::Ack(2)), (2, Told::Ack(3))]);
    bench.pushed();
    bench
}

#[test]
fn an_ack_waits_for_the_store_and_goes_with_the_push() {
    let mut bench = room();
    bench.ask("a", 1, 7, Body::Send(send(1)));
    assert_eq!((bench.loads.clone(), bench.append.is_none()), (vec![1], true));
    bench.load(1);
    assert!(bench.answers.is_empty() && bench.pushes.is_empty());
    bench.applied();
    assert_eq!(bench.told(), [(7, Told::Ack(2))]);
    let push = &bench.pushes[0];
    assert!(matches!(push.except, whimbrel_channel::conversation::action::Except::Session { device: 1, .. }));
    let v1::server_frame::Body::Message(message) = frame(push) else { panic!("a message") };
    assert_eq!((message.conversation.as_str(), message.seq, message.at_ms), ("room", 2, NOW));
    assert_eq!((message.sender.as_str(), message.sender_device), ("a", 1));
    assert_eq!((message.client_msg_id, message.content), (id(1), send(1).content));
    assert_eq!(bench.pushed(), [(2, vec!["a".to_owned(), "b".to_owned()])]);
    assert!(bench.log.message(2).conversation.is_empty());
}

#[test]
fn what_arrives_during_an_append_joins_the_next_batch() {
    let mut bench = warm();
    (10..10 + MAX_BATCH_MESSAGES as u64 + 2).for_each(|n| bench.ask("a", 1, n, Body::Send(send(n))));
    assert_eq!(bench.append.as_ref().unwrap().entries.len(), 1);
    bench.applied();
    assert_eq!(bench.append.as_ref().unwrap().entries.len(), MAX_BATCH_MESSAGES);
    bench.settle();
    let expected: Vec<_> = (0..MAX_BATCH_MESSAGES as u64 + 2).map(|n| (10 + n, Told::Ack(4 + n))).collect();
    assert_eq!(bench.told(), expected);
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let mut bench = warm();
    let big = |n| {
        let content = v1::Content { r#type: "x".into(), data: vec![0; 30_000].into() };
        Body::Send(v1::Send { content: Some(content), ..send(n) })
    };
    (10..20).for_each(|n| bench.ask("a", 1, n, big(n)));
    bench.applied();
    let append = bench.append.as_ref().unwrap();
    assert_eq!(append.entries.len(), 2);
    assert!(append.entries.iter().map(|entry| entry.payload.len()).sum::<usize>() <= MAX_BATCH_BYTES);
}

#[test]
fn the_queue_is_bounded_in_count_and_bytes() {
    let mut bench = warm();
    bench.ask("a", 1, 0, Body::Send(send(10)));
    (0..=MAX_PENDING as u64).for_each(|n| bench.ask("a", 1, 100 + n, Body::Send(send(100 + n))));
    assert_eq!(bench.told(), [(100 + MAX_PENDING as u64, Told::No(Code::OVERLOADED))]);
    bench.settle();
    bench.told();
    bench.ask("a", 1, 0, Body::Send(send(5000)));
    let content = v1::Content { r#type: "x".into(), data: vec![0; 48 * 1024].into() };
    let fit = (MAX_PENDING_BYTES / (48 * 1024)) as u64;
    for n in 0..=fit {
        let send = v1::Send { content: Some(content.clone()), ..send(6000 + n) };
        bench.ask("a", 1, 6000 + n, Body::Send(send));
    }
    assert!(bench.told().contains(&(6000 + fit, Told::No(Code::OVERLOADED))));
    bench.settle();
}

#[test]
fn a_retry_gets_the_first_seq_even_with_other_content() {
    let mut bench = warm();
    bench.ask("a", 1, 5, Body::Send(v1::Send { content: send(9).content, ..send(1) }));
    assert_eq!(bench.told(), [(5, Told::Again(2))]);
    // Of another device the same id is another message.
    bench.ask("b", 2, 6, Body::Send(send(2)));
    bench.ask("a", 1, 7, Body::Send(send(2)));
    bench.settle();
    assert_eq!(bench.told(), [(6, Told::Ack(4)), (7, Told::Ack(5))]);
    // A new owner knows it from the store.
    bench.restart();
    bench.ask("a", 1, 8, Body::Send(send(2)));
    bench.settle();
    assert_eq!(bench.told(), [(8, Told::Again(5))]);
    assert_eq!(bench.log.tip(), 5);
}

#[test]
fn a_retry_of_what_is_under_way_is_not_stored_twice() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(2)));
    bench.ask("a", 1, 2, Body::Send(send(3)));
    // Of the one in flight, and of the one that waits, over a newer connection.
    bench.ask_over(2, "a", 1, 3, Body::Send(send(2)));
    bench.ask_over(2, "a", 1, 4, Body::Send(send(3)));
    bench.settle();
    assert_eq!(bench.log.tip(), 5);
    let told = bench.told();
    assert_eq!(told, [(1, Told::Ack(4)), (2, Told::Ack(5)), (3, Told::Again(4)), (4, Told::Again(5))]);
}

#[test]
fn an_older_connection_is_refused() {
    let mut bench = warm();
    bench.ask_over(5, "a", 1, 1, Body::Send(send(2)));
    bench.ask_over(4, "a", 1, 2, Body::Send(send(3)));
    bench.settle();
    assert_eq!(bench.told(), [(2, Told::No(Code::SUPERSEDED)), (1, Told::Ack(4))]);
}

#[test]
fn a_send_follows_its_predecessor_or_is_refused() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    bench.ask("a", 1, 2, Body::Send(send_after(11, 10)));
    let reply = v1::Relation { kind: relation::Kind::Reply.into(), seq: 99 };
    bench.ask("a", 1, 3, Body::Send(v1::Send { relation: Some(reply), ..send_after(12, 11) }));
    bench.ask("a", 1, 4, Body::Send(send_after(13, 12)));
    bench.ask("a", 1, 5, Body::Send(send_after(14, 13)));
    // Another device's send is no predecessor.
    bench.ask("b", 2, 6, Body::Send(send_after(15, 10)));
    bench.settle();
    let told = bench.told();
    let refused = Told::No(Code::OUT_OF_ORDER);
    assert_eq!(told[..2], [(1, Told::Ack(4)), (2, Told::Ack(5))]);
    assert_eq!(told[2..], [(3, Told::No(Code::INVALID_REQUEST)), (4, refused), (5, refused), (6, refused)]);
}

#[test]
fn a_device_waits_for_its_ring_and_others_do_not_wait_for_it() {
    let mut bench = room();
    bench.ask("a", 1, 1, Body::Send(send(1)));
    bench.ask("a", 1, 2, Body::Send(send_after(2, 1)));
    bench.ask("b", 2, 3, Body::Send(send(1)));
    assert_eq!(bench.loads, [1, 2]);
    bench.load(2);
    bench.applied();
    assert_eq!(bench.told(), [(3, Told::Ack(2))]);
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::Ack(3)), (2, Told::Ack(4))]);
    bench.restart();
    bench.ask("a", 1, 4, Body::Send(send(3)));
    bench.event(Event::SenderLoaded { device: 1, slots: Err(broken()) });
    assert_eq!(bench.told(), [(4, Told::No(Code::UNAVAILABLE))]);
    assert!(bench.conversation.is_idle());
}

#[test]
fn a_refused_append_takes_what_is_behind_it_along() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    bench.ask("b", 2, 2, Body::Send(send(10)));
    bench.outcome(AppendOutcome::Refused(storage::StoreError::Overloaded));
    let refused = Told::No(Code::OVERLOADED);
    assert_eq!(bench.told(), [(1, refused), (2, refused)]);
    bench.ask("a", 1, 3, Body::Send(send(10)));
    bench.settle();
    assert_eq!(bench.told(), [(3, Told::Ack(4))]);
    assert!(bench.drops == 0);
}

#[test]
fn an_unknown_outcome_that_was_stored_is_acknowledged() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    bench.ask("a", 1, 2, Body::Send(send(11)));
    bench.unknown(true);
    assert!(bench.told().is_empty() && bench.append.is_none());
    bench.reopened();
    assert_eq!(bench.told(), [(1, Told::Ack(4))]);
    bench.settle();
    assert_eq!(bench.told(), [(2, Told::Ack(5))]);
}

#[test]
fn an_unknown_outcome_that_was_lost_is_appended_again() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    let first = bench.append.clone().unwrap();
    bench.unknown(false);
    bench.reopened();
    let second = bench.append.clone().unwrap();
    assert_eq!((second.batch, &second.entries), (first.batch, &first.entries));
    assert!(second.epoch > first.epoch);
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::Ack(4))]);
}

#[test]
fn what_stays_unknown_is_said_to_be_and_ownership_ends() {
    let unknown = Told::No(Code::OUTCOME_UNKNOWN);
    type Reopen = fn(&Bench) -> Result<Opened, storage::StoreError>;
    let reopens: [Reopen; 2] = [
        |_| Err(broken()),
        |bench| {
            Ok(Opened {
                epoch: 99,
                tip: bench.log.tip() + 1,
                last_batch: [9; 16],
                info: None,
                members: vec![],
            })
        },
    ];
    for reopen in reopens {
        let mut bench = warm();
        bench.ask("a", 1, 1, Body::Send(send(10)));
        bench.ask("b", 2, 2, Body::Send(send(10)));
        bench.ask("b", 3, 3, Body::Send(send(10)));
        bench.unknown(false);
        bench.event(Event::Reopened(reopen(&bench)));
        assert_eq!(bench.told(), [(1, unknown), (2, unknown), (3, unknown)]);
        assert_eq!((bench.drops, bench.log.tip()), (1, 3));
    }
}

#[test]
fn an_outcome_does_not_stay_unknown_for_ever() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    while bench.drops == 0 {
        bench.unknown(false);
        bench.reopened();
    }
    assert_eq!(bench.told(), [(1, Told::No(Code::OUTCOME_UNKNOWN))]);
}

#[test]
fn a_conflict_is_definite_and_ends_ownership() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(send(10)));
    bench.ask("b", 2, 2, Body::Send(send(10)));
    bench.outcome(AppendOutcome::Conflict { tip: 9, epoch: 9 });
    let refused = Told::No(Code::UNAVAILABLE);
    assert_eq!((bench.told(), bench.drops), (vec![(1, refused), (2, refused)], 1));
}

#[test]
fn what_is_not_stored_goes_out_at_once() {
    let mut bench = warm();
    bench.ask("a", 1, 1, Body::Send(v1::Send { no_store: true, ..send(10) }));
    assert_eq!(bench.told(), [(1, Told::Ack(0))]);
    let v1::server_frame::Body::Message(message) = frame(&bench.pushes[0]) else { panic!("a message") };
    assert_eq!((message.seq, message.conversation.as_str()), (0, "room"));
    assert_eq!(bench.pushed(), [(0, vec!["a".to_owned(), "b".to_owned()])]);
    assert!(bench.append.is_none() && bench.log.tip() == 3);
}

#[test]
fn a_request_without_an_id_gets_no_answer() {
    let mut bench = warm();
    bench.ask("a", 1, 0, Body::Send(send(10)));
    bench.ask("x", 9, 0, Body::Send(send(10)));
    bench.settle();
    assert_eq!((bench.told().len(), bench.pushed().len()), (0, 1));
}

/// The device asked another owner, which stored its send; this one is behind and does not know yet.
#[test]
fn a_retry_that_a_later_owner_has_stored_is_acknowledged() {
    let mut bench = room();
    bench.ask("a", 1, 7, Body::Send(send(1)));
    bench.load(1);
    let mut append = bench.append.take().unwrap();
    bench.restart();
    append.epoch += 1;
    bench.log.apply(&append);
    bench.ask("a", 1, 8, Body::Send(send(1)));
    bench.load(1);
    assert_eq!(bench.told(), [(8, Told::Again(2))]);
    assert!(bench.append.is_none());
}

/// The answer goes to the session that asked; a later one of the same device has to be told like any other.
#[test]
fn a_device_that_has_logged_in_again_gets_the_push_of_what_it_sent_before() {
    let mut bench = room();
    bench.ask_over(5, "a", 1, 7, Body::Send(send(1)));
    bench.settle();
    let except = &bench.pushes[0].except;
    assert_eq!(*except, whimbrel_channel::conversation::action::Except::Session { device: 1, epoch: 5 });
}
