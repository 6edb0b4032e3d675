//! Pairs: each sender tells its receiver something; the receiver checks number and, where it is stored, seq.

use std::collections::VecDeque;

use anyhow::{Context as _, bail, ensure};

use super::pulse::{Pulse, window};
use super::{Book, Scenario, at_once};
use crate::load::clock;
use crate::load::engine::Engine;
use crate::load::plan::{Pace, Part, Plan};
use crate::load::speech::{Event, Publish, To};
use crate::load::stamp::Stamp;

/// Messages of one pull.
const PAGE: u32 = 256;

pub struct Pairs {
    pairs: Vec<Pair>,
    /// The place of the first receiver; the senders stand in front.
    receivers: usize,
    first_number: u32,
    pulse: Pulse,
    window: u64,
    stored: bool,
    accepts: bool,
    payload: Vec<u8>,
    going: bool,
    /// Whose turn it is in an open loop.
    turn: usize,
    book: Book,
}

#[derive(Default)]
struct Pair {
    sent: u64,
    accepted: u64,
    delivered: u64,
    /// The seq of the latest message that was pushed.
    seq: u64,
    unanswered: VecDeque<u64>,
}

impl Pairs {
    pub fn new(plan: &Plan, pace: Pace, stored: bool) -> Pairs {
        let pairs = plan.places(Part::Sender).len();
        Pairs {
            pairs: (0..pairs).map(|_| Pair::default()).collect(),
            receivers: plan.places(Part::Receiver).start,
            first_number: plan.crowds.iter().map(|crowd| crowd.first).min().unwrap_or_default(),
            pulse: Pulse::of(pace),
            window: window(pace),
            stored,
            accepts: plan.accepts(),
            payload: vec![b'x'; plan.bytes],
            going: false,
            turn: 0,
            book: Book::default(),
        }
    }

    fn send(&mut self, engine: &mut Engine, of: usize, due: u64) -> anyhow::Result<()> {
        let pair = &mut self.pairs[of];
        pair.sent += 1;
        Stamp { due, number: pair.sent }.write(&mut self.payload);
        if self.accepts {
            pair.unanswered.push_back(due);
        }
        self.book.sent();
        let to = To::Receiver(self.first_number + of as u32);
        engine.publish(of, &Publish { to, id: pair.sent, payload: &self.payload, stored: self.stored })
    }

    /// In a closed loop a message is done when it has come and, where that is told, was accepted.
    fn refill(&mut self, engine: &mut Engine, of: usize) -> anyhow::Result<()> {
        while self.going && self.pairs[of].under_way(self.accepts) < self.window {
            self.send(engine, of, at_once())?;
        }
        Ok(())
    }

    fn delivered(&mut self, of: usize, payload: &[u8], seq: u64) -> anyhow::Result<()> {
        let Some(Stamp { due, number }) = Stamp::read(payload) else { return Ok(()) };
        let pair = &mut self.pairs[of];
        if number <= pair.delivered {
            self.book.tally.repeated += 1;
            return Ok(());
        }
        ensure!(number == pair.delivered + 1, "receiver {of} got {number} after {}: lost", pair.delivered);
        if self.stored && pair.seq > 0 && seq > 0 {
            ensure!(seq == pair.seq + 1, "receiver {of} got seq {seq} after {}", pair.seq);
        }
        (pair.delivered, pair.seq) = (number, seq);
        self.book.delivered(due);
        Ok(())
    }

    fn accepted(&mut self, of: usize, id: u64) -> anyhow::Result<()> {
        let pair = &mut self.pairs[of];
        pair.accepted += 1;
        let due =
            pair.unanswered.pop_front().with_context(|| format!("sender {of}: an answer to nothing"))?;
        // MQTT's ids have 16 bits.
        let expected = [pair.accepted, (pair.accepted - 1) % 65_535 + 1];
        ensure!(expected.contains(&id), "sender {of}: an answer to {id} in place of {}", pair.accepted);
        self.book.accepted(due);
        Ok(())
    }
}

impl Pair {
    fn under_way(&self, accepts: bool) -> u64 {
        let done = if accepts { self.accepted.min(self.delivered) } else { self.delivered };
        self.sent - done
    }
}

impl Scenario for Pairs {
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        let of = if at < self.receivers { at } else { at - self.receivers };
        match event {
            Event::Delivered { payload, seq } if at >= self.receivers => self.delivered(of, payload, seq)?,
            Event::Accepted { id, .. } => self.accepted(of, id)?,
            Event::Behind { conversation } => {
                if !self.stored {
                    bail!("receiver {of} is behind, and nothing is stored: lost");
                }
                self.book.tally.pulled += 1;
                return engine.ask(at, &conversation, 1, self.pairs[of].seq + 1, PAGE);
            }
            Event::Page { messages, .. } => {
                for (seq, payload) in messages {
                    self.delivered(of, &payload, seq)?;
                }
            }
            Event::Repeated => self.book.tally.repeated += 1,
            Event::Delivered { .. } | Event::Ready | Event::SentAway { .. } | Event::Nothing => return Ok(()),
        }
        self.refill(engine, of)
    }

    fn pace(&mut self, engine: &mut Engine, now: u64) -> anyhow::Result<Option<u64>> {
        while let Some(due) = self.pulse.due(now) {
            self.send(engine, self.turn, due)?;
            self.turn = (self.turn + 1) % self.pairs.len();
        }
        Ok(self.pulse.next())
    }

    fn go(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.going = true;
        self.pulse.start(clock::now());
        (0..self.pairs.len()).try_for_each(|of| self.refill(engine, of))
    }

    fn stop(&mut self) {
        self.going = false;
        self.pulse.stop();
    }

    fn missing(&self) -> Option<String> {
        let open = |pair: &&Pair| pair.under_way(self.accepts) > 0;
        let pairs = self.pairs.iter().filter(open).count();
        let messages: u64 = self.pairs.iter().map(|pair| pair.under_way(self.accepts)).sum();
        (pairs > 0)
            .then(|| format!("{messages} messages of {pairs} pairs have not come or were not accepted"))
    }

    fn book(&mut self) -> &mut Book {
        &mut self.book
    }
}
