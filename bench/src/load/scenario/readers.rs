//! Readers: each fills a conversation of its own, then reads pages of it from random places and checks that they hold
//! what was written.

use std::collections::VecDeque;

use anyhow::{Context as _, ensure};
use rand::Rng as _;

use super::pulse::{Pulse, window};
use super::{Book, Scenario, at_once};
use crate::load::clock;
use crate::load::engine::Engine;
use crate::load::plan::{Pace, Plan};
use crate::load::speech::{Event, Publish, To};
use crate::load::stamp::Stamp;

/// Messages unanswered while a conversation is filled.
const FILLING: u64 = 32;

pub struct Readers {
    readers: Vec<Reader>,
    pulse: Pulse,
    window: usize,
    messages: u64,
    page: u64,
    payload: Vec<u8>,
    going: bool,
    turn: usize,
    book: Book,
}

#[derive(Default)]
struct Reader {
    conversation: String,
    sent: u64,
    accepted: u64,
    /// The seq of the first message.
    first: u64,
    asked: u64,
    /// For each read under way: its id, when it was due and where it begins.
    reads: VecDeque<(u64, u64, u64)>,
}

impl Readers {
    pub fn new(plan: &Plan, pace: Pace, messages: u32, page: u32) -> Readers {
        Readers {
            readers: (0..plan.devices()).map(|_| Reader::default()).collect(),
            pulse: Pulse::of(pace),
            window: window(pace) as usize,
            messages: messages.into(),
            page: page.clamp(1, messages.max(1)).into(),
            payload: vec![b'x'; plan.bytes],
            going: false,
            turn: 0,
            book: Book::default(),
        }
    }

    fn fill(&mut self, engine: &mut Engine, of: usize) -> anyhow::Result<()> {
        let reader = &mut self.readers[of];
        while reader.sent < self.messages && reader.sent - reader.accepted < FILLING {
            reader.sent += 1;
            Stamp { due: clock::now(), number: reader.sent }.write(&mut self.payload);
            let publish = Publish { to: To::Own(0), id: reader.sent, payload: &self.payload, stored: true };
            engine.publish(of, &publish)?;
        }
        Ok(())
    }

    fn ask(&mut self, engine: &mut Engine, of: usize, due: u64) -> anyhow::Result<()> {
        let reader = &mut self.readers[of];
        let from = reader.first + rand::rng().random_range(0..=self.messages - self.page);
        reader.asked += 1;
        // Ids of reads stand behind those of the messages.
        let id = self.messages + reader.asked;
        reader.reads.push_back((id, due, from));
        engine.ask(of, &reader.conversation, id, from, self.page as u32)
    }

    fn refill(&mut self, engine: &mut Engine, of: usize) -> anyhow::Result<()> {
        while self.going && self.readers[of].reads.len() < self.window {
            self.ask(engine, of, at_once())?;
        }
        Ok(())
    }

    fn page(&mut self, of: usize, id: u64, messages: &[(u64, Vec<u8>)], more: bool) -> anyhow::Result<()> {
        let reader = &mut self.readers[of];
        // Answers to reads may pass each other.
        let at = reader.reads.iter().position(|(asked, ..)| *asked == id);
        let (_, due, from) = at.and_then(|at| reader.reads.remove(at)).context("an answer to no read")?;
        let whole = messages.len() as u64 == self.page || (more && !messages.is_empty());
        ensure!(whole, "reader {of} got {} messages from {from} in place of {}", messages.len(), self.page);
        for (at, (seq, payload)) in (from..).zip(messages) {
            let number = Stamp::read(payload).context("a message that nobody wrote")?.number;
            let right = *seq == at && number == at - reader.first + 1;
            ensure!(right, "reader {of} got seq {seq} with message {number} at {at}");
        }
        self.book.read(due, messages.len());
        Ok(())
    }
}

impl Scenario for Readers {
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        match event {
            Event::Accepted { id, seq, conversation } => {
                let reader = &mut self.readers[at];
                if reader.accepted == 0 {
                    reader.first = seq;
                    reader.conversation = conversation.into();
                }
                reader.accepted += 1;
                ensure!(seq == reader.first + id - 1, "reader {at}: message {id} has seq {seq}");
                self.fill(engine, at)
            }
            Event::Page { id, messages, more } => {
                self.page(at, id, &messages, more)?;
                self.refill(engine, at)
            }
            _ => Ok(()),
        }
    }

    fn prepare(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        (0..self.readers.len()).try_for_each(|of| self.fill(engine, of))
    }

    fn is_prepared(&self) -> bool {
        self.readers.iter().all(|reader| reader.accepted == self.messages)
    }

    fn go(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.going = true;
        self.pulse.start(clock::now());
        (0..self.readers.len()).try_for_each(|of| self.refill(engine, of))
    }

    fn pace(&mut self, engine: &mut Engine, now: u64) -> anyhow::Result<Option<u64>> {
        while let Some(due) = self.pulse.due(now) {
            self.ask(engine, self.turn, due)?;
            self.turn = (self.turn + 1) % self.readers.len();
        }
        Ok(self.pulse.next())
    }

    fn stop(&mut self) {
        self.going = false;
        self.pulse.stop();
    }

    fn missing(&self) -> Option<String> {
        let missing: usize = self.readers.iter().map(|reader| reader.reads.len()).sum();
        (missing > 0).then(|| format!("{missing} reads were not answered"))
    }

    fn book(&mut self) -> &mut Book {
        &mut self.book
    }
}
