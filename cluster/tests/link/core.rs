//! One session over connections that break at any moment: nothing is lost, doubled or reordered.

use std::collections::VecDeque;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::limit::MAX_LINK_MESSAGE_BYTES;
use protocol::node::v1::link_message::Body;
use protocol::node::v1::{Peer, ToChannel, ToConnector, UserPush, peer, to_channel, to_connector};
use whimbrel_cluster::link::core::{
    LinkCore, MAX_PUSH_BYTES, MAX_WAITING_BYTES, Miscounted, Overrun, SURE_BYTES, WINDOW_BYTES,
};
use whimbrel_cluster::link::hints::MAX_HINTED;
use whimbrel_cluster::link::wire::{Batch, Inlet};

use super::support::{kick, numbered, push};

/// Messages that a core would write now.
fn written(core: &mut LinkCore) -> Vec<Body> {
    let mut batch = Batch::new();
    core.fill(&mut batch);
    let mut inlet = Inlet::dialling();
    inlet.welcome();
    let mut bytes = BytesMut::from(&batch.finish().unwrap_or_default()[..]);
    match inlet.next(&mut bytes).unwrap() {
        Some((messages, _)) => messages.map(|message| message.unwrap().body.unwrap()).collect(),
        None => Vec::new(),
    }
}

/// Takes everything out, acknowledging as it comes; the bytes of each batch.
fn drain(core: &mut LinkCore) -> Vec<Body> {
    let (mut all, mut count) = (Vec::new(), 0);
    loop {
        let some = written(core);
        if some.is_empty() {
            return all;
        }
        count += some.len() as u64;
        core.acknowledged(count).unwrap();
        all.extend(some);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Offer,
    Write,
    Arrive,
    Acknowledge,
    AckArrives,
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Offer),
        4 => Just(Step::Write),
        4 => Just(Step::Arrive),
        2 => Just(Step::Acknowledge),
        2 => Just(Step::AckArrives),
        1 => Just(Step::Break),
    ]
}

/// Sender, receiver, and what is on its way in each direction.
#[derive(Default)]
struct Model {
    sender: LinkCore,
    receiver: LinkCore,
    wire: VecDeque<Body>,
    acks: VecDeque<u64>,
    offered: u64,
    arrived: Vec<Body>,
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Offer => {
                self.offered += 1;
                self.sender.offer(Body::ToChannel(numbered(self.offered))).unwrap();
            }
            Step::Write => self.wire.extend(written(&mut self.sender)),
            Step::Arrive => {
                if let Some(body) = self.wire.pop_front() {
                    self.receiver.received();
                    self.arrived.push(body);
                }
            }
            Step::Acknowledge => self.acks.extend(self.receiver.acknowledgement().map(|ack| ack.received)),
            Step::AckArrives => {
                if let Some(received) = self.acks.pop_front() {
                    self.sender.acknowledged(received).unwrap();
                }
            }
            // What is on its way is lost, both ways; the session goes on.
            Step::Break => {
                self.wire.clear();
                self.acks.clear();
                self.sender.resume(self.receiver.count(), WINDOW_BYTES).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_session_loses_nothing_over_broken_connections(steps in vec(step(), 0..80)) {
        let mut model = Model::default();
        steps.iter().for_each(|step| model.step(step));
        model.step(&Step::Break);
        while model.arrived.len() < model.offered as usize {
            model.step(&Step::Write);
            prop_assert!(!model.wire.is_empty(), "{} of {}", model.arrived.len(), model.offered);
            while !model.wire.is_empty() {
                model.step(&Step::Arrive);
            }
        }
        let expected: Vec<Body> = (1..=model.offered).map(|number| Body::ToChannel(numbered(number))).collect();
        prop_assert_eq!(model.arrived, expected);
        model.sender.acknowledged(model.offered).unwrap();
        prop_assert_eq!(model.sender.held(), (0, false));
    }
}

#[test]
fn no_more_than_a_window_is_under_way() {
    let mut core = LinkCore::default();
    core.set_window(0);
    let bytes = 100_000;
    while core.offer(Body::ToConnector(push(1, bytes, 1))).is_ok() {}
    let mut under_way = 0;
    loop {
        let some = written(&mut core).len();
        under_way += some;
        if some == 0 {
            break;
        }
    }
    assert!(under_way * bytes <= MAX_LINK_MESSAGE_BYTES && under_way >= 9, "{under_way}");
    core.acknowledged(1).unwrap();
    assert_eq!(written(&mut core).len(), 1, "one acknowledged, one more may go");
}

#[test]
fn a_session_begins_with_its_opening_and_keeps_only_what_was_never_sent() {
    let (opening, request) = (|| Body::ToChannel(numbered(100)), |number| Body::ToChannel(numbered(number)));
    let mut core = LinkCore::default();
    core.offer(request(1)).unwrap();
    core.begin(WINDOW_BYTES, Some(opening()));
    assert_eq!(written(&mut core), [opening(), request(1)]);
    core.offer(request(2)).unwrap();
    core.begin(WINDOW_BYTES, Some(opening()));
    assert_eq!(written(&mut core), [opening()], "the first session is over, and all that was said in it");
}

#[test]
fn a_wrong_count_is_an_error_and_changes_nothing() {
    let mut core = LinkCore::default();
    for number in 1..=3 {
        core.offer(Body::ToChannel(numbered(number))).unwrap();
    }
    assert_eq!(core.acknowledged(1), Err(Miscounted { said: 1, first: 0, last: 0 }), "nothing was sent");
    assert_eq!(written(&mut core).len(), 3);
    core.acknowledged(2).unwrap();
    assert_eq!(core.acknowledged(1), Err(Miscounted { said: 1, first: 2, last: 3 }));
    assert_eq!(core.acknowledged(4), Err(Miscounted { said: 4, first: 2, last: 3 }));
    assert_eq!(core.resume(9, 0), Err(Miscounted { said: 9, first: 2, last: 3 }));
    core.resume(2, WINDOW_BYTES).unwrap();
    assert_eq!(written(&mut core), [Body::ToChannel(numbered(3))]);
}

#[test]
fn requests_are_refused_at_the_bound_and_what_must_pass_has_room_beyond() {
    let mut core = LinkCore::default();
    let large = || Body::ToConnector(push(1, 60_000, 1));
    while core.offer(large()).is_ok() {}
    assert!((MAX_WAITING_BYTES..MAX_WAITING_BYTES + 61_000).contains(&core.held().0));
    core.offer_surely(Body::ToChannel(numbered(1))).unwrap();
    while core.offer_surely(large()).is_ok() {}
    assert!(core.held().0 < MAX_WAITING_BYTES + SURE_BYTES + 61_000);
    assert_eq!(core.offer_surely(Body::ToChannel(numbered(2))), Err(Overrun));
}

/// The heads and the last seq of each hint that a core has told.
fn hints(bodies: Vec<Body>) -> Vec<(u64, usize)> {
    let hint = |body| match body {
        Body::ToConnector(ToConnector { body: Some(to_connector::Body::Push(push)) })
            if push.frame.is_empty() =>
        {
            Some((push.seq, push.targets.len()))
        }
        _ => None,
    };
    bodies.into_iter().filter_map(hint).collect()
}

#[test]
fn pushes_to_a_full_link_become_one_hint_a_conversation() {
    let mut core = LinkCore::default();
    while core.held().0 < MAX_PUSH_BYTES {
        core.offer_to_connector(push(1, 60_000, 1)).unwrap();
    }
    let before = core.held().0;
    for seq in 2..100 {
        core.offer_to_connector(push(seq, 60_000, 3)).unwrap();
        core.offer_to_connector(push(0, 60_000, 3)).unwrap();
    }
    assert_eq!(core.held(), (before, true), "no bytes more");
    core.offer_to_connector(kick(1)).unwrap();
    assert_eq!(hints(drain(&mut core)), [(99, 3)], "the newest seq, for all who missed something");
    assert_eq!(core.held(), (0, false));
}

#[test]
fn a_push_to_another_channel_node_goes_without_content_where_the_link_is_full() {
    let said = |seq: u64| {
        let push =
            UserPush { users: vec!["u".into()], frame: vec![7; 60_000].into(), seq, ..UserPush::default() };
        ToChannel { body: Some(to_channel::Body::Peer(Peer { body: Some(peer::Body::Push(push)) })) }
    };
    let mut core = LinkCore::default();
    let mut whole = 0;
    while core.held().0 < MAX_PUSH_BYTES {
        whole += 1;
        core.offer_to_channel(said(whole)).unwrap();
    }
    let before = core.held().0;
    core.offer_to_channel(said(0)).unwrap();
    assert_eq!(core.held().0, before, "what is not stored is dropped");
    for seq in 1..=1_000 {
        core.offer_to_channel(said(whole + seq)).unwrap();
    }
    assert!(core.held().0 < before + 100_000);
    let told: Vec<(u64, usize)> = drain(&mut core)
        .into_iter()
        .map(|body| match body {
            Body::ToChannel(ToChannel {
                body: Some(to_channel::Body::Peer(Peer { body: Some(peer::Body::Push(push)) })),
            }) => (push.seq, push.frame.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = (1..=whole + 1_000).map(|seq| (seq, if seq <= whole { 60_000 } else { 0 }));
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn hints_are_bounded_and_told_in_parts() {
    let mut core = LinkCore::default();
    while core.held().0 < MAX_PUSH_BYTES {
        core.offer_to_connector(push(1, 60_000, 1)).unwrap();
    }
    core.offer_to_connector(push(5, 10, 10_000)).unwrap();
    assert_eq!(core.offer_to_connector(push(6, 10, MAX_HINTED as u64 + 1)), Err(Overrun));
    let told: usize = hints(drain(&mut core)).into_iter().map(|(_, targets)| targets).sum();
    assert_eq!(told, MAX_HINTED + 1, "an overrun ends the session; until then nothing was forgotten");
}

#[test]
fn a_push_to_a_crowd_is_split() {
    let mut core = LinkCore::default();
    core.offer_to_connector(push(1, 60_000, 40_000)).unwrap();
    let targets = drain(&mut core).into_iter().map(|body| match body {
        Body::ToConnector(ToConnector { body: Some(to_connector::Body::Push(push)) }) => {
            assert_eq!((push.seq, push.frame.len()), (1, 60_000));
            push.targets.len()
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(targets.sum::<usize>(), 40_000);
}

#[test]
fn acknowledgements_are_due_by_bytes() {
    let mut core = LinkCore::default();
    assert_eq!(core.acknowledgement(), None);
    core.received();
    assert!(!core.handled(1_000));
    assert!(core.handled(WINDOW_BYTES / 4), "a quarter of the window waits for it");
    assert_eq!(core.acknowledgement().map(|ack| ack.received), Some(1));
    assert!(!core.handled(WINDOW_BYTES), "nothing new has come");
    assert_eq!(core.acknowledgement(), None);
}
