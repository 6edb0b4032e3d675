//! One speaker, many listeners. Each listener checks that it gets every message once and in order; one that was away or
//! is told that it is behind pulls what it has missed.

use std::collections::VecDeque;
use std::ops::Range;

use anyhow::{bail, ensure};

use super::pulse::{Pulse, window};
use super::{Book, Scenario, at_once};
use crate::load::clock::{self, SECOND};
use crate::load::conn::State;
use crate::load::engine::Engine;
use crate::load::plan::{Pace, Part, Plan};
use crate::load::speech::{Event, Publish, To};
use crate::load::stamp::Stamp;

/// Where nobody speaks in this process, silence of this length says that all has come.
const SILENCE: u64 = 2 * SECOND;
/// Most messages of one pull.
const PAGE: u32 = 256;

pub struct Fanout {
    speaker: Option<usize>,
    listeners: Range<usize>,
    pulse: Pulse,
    window: u64,
    stored: bool,
    accepts: bool,
    payload: Vec<u8>,
    going: bool,
    sent: u64,
    /// For each message under way, how many listeners have not got it.
    under_way: VecDeque<usize>,
    /// When each message was due that is not accepted.
    unanswered: VecDeque<u64>,
    heard: Vec<Heard>,
    heard_at: u64,
    book: Book,
}

/// What a listener has got.
#[derive(Clone, Copy, Default)]
struct Heard {
    number: u64,
    seq: u64,
    pulling: bool,
}

impl Fanout {
    pub fn new(plan: &Plan, pace: Pace, stored: bool) -> Fanout {
        Fanout {
            speaker: plan.places(Part::Speaker).next(),
            listeners: plan.places(Part::Listener),
            pulse: Pulse::of(pace),
            window: window(pace),
            stored,
            accepts: plan.accepts(),
            payload: vec![b'x'; plan.bytes],
            going: false,
            sent: 0,
            under_way: VecDeque::new(),
            unanswered: VecDeque::new(),
            heard: vec![Heard::default(); plan.devices() as usize],
            heard_at: 0,
            book: Book::default(),
        }
    }

    fn send(&mut self, engine: &mut Engine, due: u64) -> anyhow::Result<()> {
        let Some(speaker) = self.speaker else { return Ok(()) };
        self.sent += 1;
        Stamp { due, number: self.sent }.write(&mut self.payload);
        let publish = Publish { to: To::All, id: self.sent, payload: &self.payload, stored: self.stored };
        engine.publish(speaker, &publish)?;
        self.under_way.push_back(self.listeners.len());
        if self.accepts {
            self.unanswered.push_back(due);
        }
        self.book.sent();
        Ok(())
    }

    /// Fills the window, once half of it is free: so messages are sent together where many may be under way.
    fn refill(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        if self.going && (self.under_way.len() as u64) < self.window / 2 + 1 {
            while (self.under_way.len() as u64) < self.window {
                self.send(engine, at_once())?;
            }
        }
        Ok(())
    }

    fn delivered(&mut self, engine: &mut Engine, at: usize, payload: &[u8], seq: u64) -> anyhow::Result<()> {
        let Some(Stamp { due, number }) = Stamp::read(payload) else { return Ok(()) };
        let heard = &mut self.heard[at];
        if number <= heard.number {
            self.book.tally.repeated += 1;
            return Ok(());
        }
        if number > heard.number + 1 {
            ensure!(self.stored, "listener {at} got message {number} after {}: lost", heard.number);
            return self.pull(engine, at);
        }
        heard.number = number;
        heard.seq = seq.max(heard.seq);
        self.heard_at = clock::arrived();
        self.book.delivered(due);
        if self.speaker.is_some() && self.listeners.contains(&at) {
            self.count_off(number)?;
            self.refill(engine)?;
        }
        Ok(())
    }

    fn count_off(&mut self, number: u64) -> anyhow::Result<()> {
        let first = self.sent - self.under_way.len() as u64 + 1;
        let Some(left) = number.checked_sub(first).and_then(|at| self.under_way.get_mut(at as usize)) else {
            bail!("message {number} came though it was not under way");
        };
        *left -= 1;
        while self.under_way.front() == Some(&0) {
            self.under_way.pop_front();
        }
        Ok(())
    }

    fn pull(&mut self, engine: &mut Engine, at: usize) -> anyhow::Result<()> {
        if !self.stored || std::mem::replace(&mut self.heard[at].pulling, true) {
            return Ok(());
        }
        self.book.tally.pulled += 1;
        self.ask(engine, at)
    }

    fn ask(&mut self, engine: &mut Engine, at: usize) -> anyhow::Result<()> {
        let group = engine.speech.group().to_owned();
        engine.ask(at, &group, 1, self.heard[at].seq + 1, PAGE)
    }

    fn page(
        &mut self,
        engine: &mut Engine,
        at: usize,
        messages: Vec<(u64, Vec<u8>)>,
        more: bool,
    ) -> anyhow::Result<()> {
        for (seq, payload) in messages {
            self.delivered(engine, at, &payload, seq)?;
            self.heard[at].seq = seq.max(self.heard[at].seq);
        }
        match more {
            true => self.ask(engine, at),
            false => {
                self.heard[at].pulling = false;
                Ok(())
            }
        }
    }

    /// A device is there. One that comes back without its session has to pull what was said meanwhile.
    fn ready(&mut self, engine: &mut Engine, at: usize) -> anyhow::Result<()> {
        let resumed = engine.conns[at].device.session.resumed;
        self.book.tally.resumed += u64::from(resumed);
        self.heard[at].pulling = false;
        if self.sent > 0 && !resumed && self.listeners.contains(&at) {
            return self.pull(engine, at);
        }
        Ok(())
    }
}

impl Scenario for Fanout {
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        if engine.conns[at].device.part == Part::Stalled {
            return Ok(());
        }
        match event {
            Event::Delivered { payload, seq } => self.delivered(engine, at, payload, seq)?,
            Event::Accepted { .. } => {
                let Some(due) = self.unanswered.pop_front() else { bail!("an answer to nothing") };
                self.book.accepted(due);
            }
            Event::Repeated => self.book.tally.repeated += 1,
            // Where nothing is stored that is about entries from before; what is lost shows in the numbers.
            Event::Behind { .. } => self.pull(engine, at)?,
            Event::Page { messages, more, .. } => self.page(engine, at, messages, more)?,
            Event::Ready => self.ready(engine, at)?,
            Event::SentAway { .. } | Event::Nothing => {}
        }
        Ok(())
    }

    fn pace(&mut self, engine: &mut Engine, now: u64) -> anyhow::Result<Option<u64>> {
        while let Some(due) = self.pulse.due(now) {
            self.send(engine, due)?;
        }
        Ok(self.pulse.next())
    }

    fn go(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.going = true;
        if self.speaker.is_some_and(|speaker| engine.conns[speaker].state == State::Ready) {
            self.pulse.start(clock::now());
            self.refill(engine)?;
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.going = false;
        self.pulse.stop();
    }

    fn missing(&self) -> Option<String> {
        let last = if self.speaker.is_some() { self.sent } else { self.furthest() };
        let behind = self.listeners.clone().filter(|at| self.heard[*at].number < last).count();
        if behind > 0 {
            return Some(format!(
                "{behind} of {} listeners have not got message {last}",
                self.listeners.len()
            ));
        }
        if !self.unanswered.is_empty() {
            return Some(format!("{} messages were not accepted", self.unanswered.len()));
        }
        let silent = self.speaker.is_some() || clock::now() > self.heard_at + SILENCE;
        (!silent).then(|| "messages were still coming".into())
    }

    fn book(&mut self) -> &mut Book {
        self.book.tally.last = self.furthest();
        &mut self.book
    }
}

impl Fanout {
    fn furthest(&self) -> u64 {
        self.heard.iter().map(|heard| heard.number).max().unwrap_or_default()
    }
}
