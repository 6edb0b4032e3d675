//! Lanes against a server that loses, refuses and delays: what is accepted is in send order, each once.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const WAIT: Duration = Duration::from_millis(100);

fn id(n: u64) -> MessageId {
    u128::from(n).to_be_bytes()
}

/// What the server does with the oldest request it has.
#[derive(Clone, Copy, Debug)]
enum Step {
    Accept,
    /// Stores it, but says that the outcome is not known.
    AcceptUnknown,
    Busy,
    Refuse,
    Disconnect,
    Push,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Accept),
        1 => Just(Step::AcceptUnknown),
        2 => Just(Step::Busy),
        1 => Just(Step::Refuse),
        1 => Just(Step::Disconnect),
        6 => Just(Step::Push),
    ]
}

/// A server that keeps the rule of `Send.after`.
#[derive(Default)]
struct Server {
    requests: VecDeque<(u64, Send)>,
    log: Vec<Bytes>,
}

impl Server {
    fn knows(&self, id: &Bytes) -> bool {
        self.log.contains(id)
    }

    fn store(&mut self, id: Bytes) {
        if !self.knows(&id) {
            self.log.push(id);
        }
    }
}

struct World {
    now: Instant,
    outgoing: Outgoing,
    server: Server,
    next_request: u64,
    pushed: u64,
    refused: Vec<u64>,
    acked: HashMap<MessageId, u32>,
}

impl World {
    fn pump(&mut self) {
        self.now += WAIT * 2;
        self.outgoing.wake(self.now);
        while let Some((_, send)) = self.outgoing.next(self.next_request) {
            self.server.requests.push_back((self.next_request, send));
            self.next_request += 1;
        }
        assert!(self.server.requests.len() <= SENDS_IN_FLIGHT);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push => {
                self.pushed += 1;
                self.outgoing.push("c", id(self.pushed), Send::default());
            }
            Step::Disconnect => {
                self.server.requests.clear();
                self.outgoing.on_lost();
            }
            answer => self.answer(answer),
        }
        self.pump();
    }

    fn answer(&mut self, step: Step) {
        let Some((request, send)) = self.server.requests.pop_front() else { return };
        let known = self.server.knows(&send.client_msg_id);
        let in_order = send.after.is_empty() || self.server.knows(&send.after);
        if !known && !in_order {
            return self.outgoing.on_overtaking(self.now, "c", request, WAIT);
        }
        match step {
            Step::Refuse if !known => {
                let item = self.outgoing.on_refused("c", request).expect("it was in flight");
                self.refused.push(u128::from_be_bytes(item.id) as u64);
            }
            Step::Busy => self.outgoing.on_retry(self.now, "c", request, WAIT),
            Step::AcceptUnknown => {
                self.server.store(send.client_msg_id);
                self.outgoing.on_retry(self.now, "c", request, WAIT);
            }
            _ => {
                self.server.store(send.client_msg_id);
                let item = self.outgoing.on_ack("c", request).expect("it was in flight");
                *self.acked.entry(item.id).or_default() += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_stored_is_in_send_order_and_everything_is_settled_once(
        steps in prop::collection::vec(step(), 1..300)
    ) {
        let mut world = World {
            now: Instant::now(),
            outgoing: Outgoing::default(),
            server: Server::default(),
            next_request: 1,
            pushed: 0,
            refused: Vec::new(),
            acked: HashMap::new(),
        };
        steps.into_iter().for_each(|s| world.step(s));
        for _ in 0..world.pushed * 4 + 10 {
            world.step(Step::Accept);
        }
        prop_assert!(world.outgoing.is_empty());
        prop_assert_eq!(world.outgoing.deadline(), None);
        let stored: Vec<u64> =
            world.server.log.iter().map(|id| u128::from_be_bytes(id[..].try_into().unwrap()) as u64).collect();
        let expected: Vec<u64> = (1..=world.pushed).filter(|n| !world.refused.contains(n)).collect();
        prop_assert_eq!(&stored, &expected);
        prop_assert!(world.acked.values().all(|times| *times == 1));
        prop_assert_eq!(world.acked.len(), expected.len());
    }
}

#[test]
fn lanes_take_turns_and_wait_apart() {
    let now = Instant::now();
    let mut outgoing = Outgoing::default();
    for n in 0..3 {
        outgoing.push("a", id(n), Send::default());
        outgoing.push("b", id(10 + n), Send::default());
    }
    let order: Vec<String> = (1..=4).filter_map(|r| outgoing.next(r)).map(|(lane, _)| lane).collect();
    assert_eq!(order, ["a", "b", "a", "b"]);
    outgoing.on_retry(now, "a", 1, WAIT);
    let order: Vec<String> = (5..=9).filter_map(|r| outgoing.next(r)).map(|(lane, _)| lane).collect();
    assert_eq!(order, ["b"]);
    assert_eq!(outgoing.deadline(), Some(now + WAIT));
}
