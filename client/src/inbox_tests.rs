//! An inbox against a log: whatever is lost, doubled or reordered, the application sees 1..n once, ascending.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use protocol::v1::{self, SyncedRange};

use super::*;

/// What the network does with one step.
#[derive(Clone, Debug)]
enum Step {
    /// Commits this many messages and pushes them.
    Commit(u8),
    /// Pushes an old message again, chosen by this.
    PushAgain(u16),
    /// The push queue loses its front, or delivers its back first.
    Lose,
    Swap,
    /// The next push arrives.
    Push,
    /// A head arrives.
    Head,
    /// A pull is answered with at most this many messages; 0 fails it.
    Answer(u8),
    /// The application takes what waits.
    Consume,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u8..40).prop_map(Step::Commit),
        2 => any::<u16>().prop_map(Step::PushAgain),
        2 => Just(Step::Lose),
        2 => Just(Step::Swap),
        6 => Just(Step::Push),
        1 => Just(Step::Head),
        4 => (0u8..60).prop_map(Step::Answer),
        2 => Just(Step::Consume),
        1 => Just(Step::Reconnect),
    ]
}

/// Every seventh entry is one the user may not see.
fn visible(seq: u64) -> bool {
    !seq.is_multiple_of(7)
}

fn wire(seq: u64) -> v1::Message {
    v1::Message { seq, ..Default::default() }
}

struct World {
    now: Instant,
    inbox: Inbox,
    tip: u64,
    pushes: std::collections::VecDeque<u64>,
    asked: Option<v1::SyncRange>,
    got: Vec<u64>,
    waiting: usize,
    waiting_bytes: usize,
}

impl World {
    fn new(from: Since) -> World {
        World {
            now: Instant::now(),
            inbox: Inbox::new(from),
            tip: 0,
            pushes: Default::default(),
            asked: None,
            got: Vec::new(),
            waiting: 0,
            waiting_bytes: 0,
        }
    }

    fn keep(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.got.push(message.seq);
            self.waiting += 1;
            self.waiting_bytes += message.cost();
        }
        assert!(self.waiting <= STREAM_MESSAGES);
    }

    fn push(&mut self, seq: u64) {
        let delivered = self.inbox.offer(self.now, Message::from_wire(wire(seq), "c"));
        self.keep(delivered);
    }

    fn answer(&mut self, most: u64) {
        self.now += Duration::from_secs(2);
        self.inbox.wake(self.now);
        let asked = self.asked.take().or_else(|| self.inbox.take_range("c"));
        let Some(asked) = asked else { return };
        if most == 0 {
            return self.inbox.on_failed(self.now, Duration::from_secs(1));
        }
        let delivered = self.inbox.on_range(self.now, self.read(&asked, most));
        self.keep(delivered);
    }

    fn read(&self, asked: &v1::SyncRange, most: u64) -> SyncedRange {
        if asked.backwards {
            return SyncedRange { first: self.tip, last: self.tip, tip: self.tip, ..Default::default() };
        }
        let last = self.tip.min(asked.from + most.min(u64::from(asked.limit)) - 1);
        SyncedRange {
            first: asked.from,
            last,
            messages: (asked.from..=last).filter(|s| visible(*s)).map(wire).collect(),
            tip: self.tip,
            has_more: last < self.tip,
            ..Default::default()
        }
    }

    fn consume(&mut self) {
        self.inbox.refund(self.waiting, self.waiting_bytes);
        (self.waiting, self.waiting_bytes) = (0, 0);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(n) => {
                let new = self.tip + 1..=self.tip + u64::from(n);
                self.tip = *new.end();
                self.pushes.extend(new.filter(|seq| visible(*seq)));
            }
            Step::PushAgain(which) if self.tip > 0 => {
                let seq = u64::from(which) % self.tip + 1;
                self.pushes.extend(visible(seq).then_some(seq));
            }
            Step::PushAgain(_) => {}
            Step::Lose => drop(self.pushes.pop_front()),
            Step::Swap => self.pushes.rotate_left(usize::from(!self.pushes.is_empty())),
            Step::Push => {
                let seq = self.pushes.pop_front();
                seq.into_iter().for_each(|seq| self.push(seq));
            }
            Step::Head => self.inbox.tell_tip(self.tip),
            Step::Answer(most) => self.answer(u64::from(most)),
            Step::Consume => self.consume(),
            Step::Reconnect => {
                self.asked = None;
                self.inbox.restart();
            }
        }
        if self.asked.is_none() {
            self.asked = self.inbox.take_range("c");
        }
    }

    /// The network heals: a head, and answers until nothing is wanted.
    fn settle(&mut self) {
        self.inbox.tell_tip(self.tip);
        for _ in 0..2 * self.tip + 20 {
            self.consume();
            self.answer(50);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_visible_seq_comes_once_and_ascending(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new(Since::Start);
        steps.into_iter().for_each(|step| world.step(step));
        world.settle();
        let expected: Vec<u64> = (1..=world.tip).filter(|seq| visible(*seq)).collect();
        prop_assert_eq!(&world.got, &expected);
    }

    #[test]
    fn a_stream_from_the_tip_has_no_hole(before in 0u8..50, steps in prop::collection::vec(step(), 1..100)) {
        let mut world = World::new(Since::Latest);
        world.tip = u64::from(before);
        steps.into_iter().for_each(|step| world.step(step));
        world.settle();
        let first = world.got.first().copied().unwrap_or(u64::MAX);
        let expected: Vec<u64> = (first..=world.tip).filter(|seq| visible(*seq)).collect();
        prop_assert_eq!(&world.got, &expected);
    }
}

#[test]
fn a_range_that_ends_without_progress_is_not_asked_forever() {
    let now = Instant::now();
    let mut inbox = Inbox::new(Since::Seq(5));
    inbox.tell_tip(9);
    let mut asked = 0;
    for second in 0..100 {
        inbox.wake(now + Duration::from_secs(second));
        if inbox.take_range("c").is_some() {
            asked += 1;
            let empty = SyncedRange { first: 5, last: 4, tip: 9, ..Default::default() };
            assert!(inbox.on_range(now + Duration::from_secs(second), empty).is_empty());
        }
    }
    assert_eq!(asked, EMPTY_PULLS + 1);
}

#[test]
fn a_slow_consumer_stops_the_pull_and_a_refund_resumes_it() {
    let now = Instant::now();
    let mut inbox = Inbox::new(Since::Start);
    let range = inbox.take_range("c").expect("the first pull");
    assert_eq!(range.limit as usize, STREAM_MESSAGES);
    let messages = (1..=300).map(wire).collect();
    let answer =
        SyncedRange { first: 1, last: 300, messages, tip: 400, has_more: true, ..Default::default() };
    assert_eq!(inbox.on_range(now, answer).len(), STREAM_MESSAGES);
    assert_eq!(inbox.take_range("c"), None);
    assert!(inbox.offer(now, Message::from_wire(wire(257), "c")).is_empty());
    inbox.refund(10, 10 * 512);
    let range = inbox.take_range("c").expect("a pull after the refund");
    assert_eq!((range.from, range.limit), (257, 10));
}

#[test]
fn a_push_that_was_overtaken_costs_no_pull() {
    let now = Instant::now();
    let mut inbox = Inbox::new(Since::Seq(1));
    inbox.take_range("c");
    inbox.on_range(now, SyncedRange { first: 1, last: 0, ..Default::default() });
    assert!(inbox.offer(now, Message::from_wire(wire(2), "c")).is_empty());
    assert!(matches!(inbox.pull(), Pull::After(_)));
    let delivered = inbox.offer(now, Message::from_wire(wire(1), "c"));
    assert_eq!(delivered.iter().map(|m| m.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(inbox.pull(), Pull::Idle);
}

#[test]
fn early_messages_are_bounded() {
    let now = Instant::now();
    let mut inbox = Inbox::new(Since::Seq(1));
    for seq in 2..10_000 {
        inbox.offer(now, Message::from_wire(wire(seq), "c"));
    }
    assert_eq!(inbox.early.len(), EARLY_MESSAGES);
}
