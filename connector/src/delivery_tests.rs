//! Tests of [`super::Delivery`]: rules one by one, then random histories.

use bytes::BytesMut;
use proptest::prelude::*;
use protocol::limit::MAX_FRAME_BYTES;
use protocol::{frame, splice, v1};

use super::*;
use crate::window::MAX_UNACKED;

const SCHEDULE: Schedule = Schedule { after: 18, resends: 3 };

fn name() -> Bytes {
    Bytes::from_static(b"c")
}

fn message(seq: u64) -> Bytes {
    splice::push_frame("c", &v1::Message { seq, ..Default::default() }.encode_to_vec())
}

fn live() -> Delivery {
    Delivery::new(Outbox::new(100_000))
}

fn push(delivery: &mut Delivery, seq: u64, now: u32) -> Pushed {
    delivery.push(&message(seq), &name(), seq, now)
}

fn written(delivery: &mut Delivery) -> Vec<v1::ServerFrame> {
    let mut out = BytesMut::new();
    while delivery.outbox.take(&mut out) > 0 {}
    let mut frames = Vec::new();
    while let Ok(frame::Peek::Whole(length)) = frame::peek(&out, MAX_FRAME_BYTES) {
        let frame = frame::open(out.split_to(length).freeze()).unwrap();
        frames.extend(frame.messages::<v1::ServerFrame>().map(Result::unwrap));
    }
    frames
}

/// (session seq, seq) of the messages written.
fn messages(delivery: &mut Delivery) -> Vec<(u64, u64)> {
    let frames = written(delivery).into_iter();
    frames
        .filter_map(|frame| match frame.body {
            Some(server_frame::Body::Message(message)) => Some((frame.session_seq, message.seq)),
            _ => None,
        })
        .collect()
}

fn copies(places: Vec<Place>) -> Vec<Copy> {
    places.into_iter().map(|place| Copy { frame: Some(message(place.seq)), place }).collect()
}

#[test]
fn unacknowledged_pushes_are_repeated_three_times_and_then_given_up() {
    let mut delivery = live();
    assert!(push(&mut delivery, 7, 100).arm);
    assert!(!push(&mut delivery, 8, 101).arm, "armed already");
    assert_eq!(messages(&mut delivery), [(1, 7), (2, 8)]);
    for (strike, now) in [118, 136, 154].into_iter().enumerate() {
        let early = Due::Again { at: now, places: vec![] };
        assert_eq!(delivery.due(now - 1, SCHEDULE), early);
        let Due::Again { at, places } = delivery.due(now, SCHEDULE) else { panic!("strike {strike}") };
        assert_eq!(at, now + 18);
        delivery.resent(copies(places));
        let expected: &[(u64, u64)] = if strike == 0 { &[(1, 7)] } else { &[(1, 7), (2, 8)] };
        assert_eq!(messages(&mut delivery), expected);
    }
    assert_eq!(delivery.due(172, SCHEDULE), Due::Expired);
}

#[test]
fn a_repetition_that_cannot_be_had_is_due_still_and_puts_off_no_end() {
    let mut delivery = live();
    push(&mut delivery, 7, 100);
    messages(&mut delivery);
    for now in [118, 119, 120] {
        let Due::Again { places, .. } = delivery.due(now, SCHEDULE) else { panic!("at {now}") };
        assert_eq!(places.len(), 1);
        delivery.postpone();
    }
    assert!(matches!(delivery.due(121, SCHEDULE), Due::Again { at: 136, places } if places.len() == 1));
    assert!(matches!(delivery.due(171, SCHEDULE), Due::Again { .. }));
    delivery.postpone();
    assert_eq!(delivery.due(172, SCHEDULE), Due::Expired);
}

#[test]
fn an_acknowledgement_ends_the_repetitions() {
    let mut delivery = live();
    push(&mut delivery, 7, 100);
    push(&mut delivery, 8, 110);
    messages(&mut delivery);
    let Due::Again { places, .. } = delivery.due(118, SCHEDULE) else { panic!() };
    delivery.acknowledge(1).unwrap();
    delivery.resent(copies(places));
    assert_eq!(messages(&mut delivery), [], "acknowledged while it was read again");
    assert_eq!(delivery.due(119, SCHEDULE), Due::Again { at: 128, places: vec![] });
    delivery.acknowledge(2).unwrap();
    assert_eq!(delivery.due(128, SCHEDULE), Due::Nothing);
    assert!(push(&mut delivery, 9, 130).arm, "the wheel has let go");
    assert_eq!(delivery.acknowledge(4), Err(Code::MALFORMED));
}

#[test]
fn a_copy_that_still_waits_to_be_written_is_a_strike_but_not_sent_twice() {
    let mut delivery = live();
    push(&mut delivery, 7, 0);
    for now in [18, 36, 54] {
        assert_eq!(delivery.due(now, SCHEDULE), Due::Again { at: now + 18, places: vec![] });
    }
    assert_eq!(delivery.due(72, SCHEDULE), Due::Expired);
    assert_eq!(messages(&mut delivery), [(1, 7)]);
}

#[test]
fn a_resumed_device_gets_exactly_what_it_has_not_handled_and_is_told_when_that_is_all() {
    let mut delivery = live();
    (1..=3).for_each(|seq| _ = push(&mut delivery, seq, 0));
    messages(&mut delivery);
    delivery.disconnected();
    assert_eq!(push(&mut delivery, 4, 1), Pushed { wake: Wake::Never, arm: false });
    assert!(delivery.resume(2, Bytes::from_static(&[0x72, 0])).is_some());
    assert_eq!(delivery.replay(), None, "the welcome goes first");
    assert_eq!(written(&mut delivery).len(), 1);
    let places = delivery.replay().unwrap();
    push(&mut delivery, 5, 2);
    assert_eq!(delivery.replay(), None, "asked already");
    delivery.resent(copies(places));
    assert_eq!(messages(&mut delivery), [(3, 3), (4, 4)]);
    let places = delivery.replay().unwrap();
    delivery.resent(copies(places));
    assert_eq!(messages(&mut delivery), [(5, 5)]);
    assert_eq!(delivery.replay(), None);
    let told = written(&mut delivery);
    assert_eq!(told[0].body, Some(server_frame::Body::CaughtUp(CaughtUp {})));
    push(&mut delivery, 6, 3);
    assert_eq!(messages(&mut delivery), [(6, 6)]);
}

#[test]
fn what_cannot_be_read_again_is_hinted_at() {
    let mut delivery = live();
    push(&mut delivery, 9, 0);
    messages(&mut delivery);
    delivery.disconnected();
    assert!(delivery.resume(0, Bytes::new()).is_some());
    written(&mut delivery);
    let place = delivery.replay().unwrap().remove(0);
    delivery.resent(vec![Copy { place, frame: None }]);
    let head = v1::Head { conversation: "c".into(), tip: 9 };
    assert_eq!(written(&mut delivery)[0].body, Some(server_frame::Body::Head(head)));
}

#[test]
fn a_session_that_missed_too_much_says_so() {
    let mut delivery = live();
    delivery.disconnected();
    for seq in 1..=MAX_UNACKED as u64 + 1 {
        push(&mut delivery, seq, 0);
    }
    assert_eq!(delivery.unacknowledged(), 0, "nothing of it is kept");
    assert_eq!(delivery.resume(0, Bytes::new()), None);
}

#[test]
fn a_device_that_claims_more_than_it_was_sent_does_not_resume() {
    let mut delivery = live();
    push(&mut delivery, 1, 0);
    delivery.disconnected();
    assert_eq!(delivery.resume(2, Bytes::new()), None);
}

#[test]
fn what_is_not_stored_is_dropped_while_away() {
    let mut delivery = live();
    delivery.disconnected();
    assert_eq!(delivery.push(&message(0), &name(), 0, 0).wake, Wake::Never);
    assert!(delivery.resume(0, Bytes::new()).is_some());
    written(&mut delivery);
    assert_eq!(delivery.replay(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is pushed, lost with connections, repeated and resumed: the device sees every message once after
    /// dropping repeats, in order, or is told of a hint or a gap.
    #[test]
    fn every_push_arrives_or_is_hinted_at(steps in prop::collection::vec(0u8..10, 1..80), limit in 60usize..400) {
        let mut delivery = Delivery::new(Outbox::new(limit));
        let (mut now, mut pushed, mut handled, mut seen, mut hint) = (0, 0, 0, Vec::new(), 0);
        let mut connected = true;
        let mut finish = vec![9u8, 8, 8, 8, 8, 8, 8, 8, 8];
        finish.extend(std::iter::repeat_n(8, 40));
        for step in steps.into_iter().chain(finish) {
            now += 1;
            match step {
                0..=3 => {
                    pushed += 1;
                    push(&mut delivery, pushed, now);
                }
                4 if connected => {
                    delivery.disconnected();
                    connected = false;
                }
                5 if connected => prop_assert_eq!(delivery.acknowledge(handled), Ok(())),
                6 => now += 18,
                7 if connected => match delivery.due(now, SCHEDULE) {
                    Due::Again { places, .. } => _ = delivery.resent(copies(places)),
                    Due::Nothing | Due::Expired => {}
                },
                9 if !connected => {
                    prop_assert!(delivery.resume(handled, Bytes::new()).is_some());
                    connected = true;
                }
                _ if connected => {
                    for frame in written(&mut delivery) {
                        match frame.body {
                            Some(server_frame::Body::Message(message)) => {
                                handled = handled.max(frame.session_seq);
                                seen.push(message.seq);
                            }
                            Some(server_frame::Body::Head(head)) => hint = hint.max(head.tip),
                            _ => {}
                        }
                    }
                    if let Some(places) = delivery.replay() {
                        delivery.resent(copies(places));
                    }
                }
                _ => {}
            }
        }
        seen.sort_unstable();
        seen.dedup();
        for seq in 1..=pushed {
            prop_assert!(seen.binary_search(&seq).is_ok() || seq <= hint, "{} of {} is lost", seq, pushed);
        }
    }
}
