//! Scribes: each writes into many conversations in turn, whose other ends are away. What is checked is the number that
//! each answer brings: seqs of a conversation rise by one, so nothing accepted is lost or stored twice.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};

use super::{Book, Scenario, at_once};
use crate::load::engine::Engine;
use crate::load::plan::Plan;
use crate::load::speech::{Event, Publish, To};
use crate::load::stamp::Stamp;

pub struct Scribes {
    scribes: Vec<Scribe>,
    window: usize,
    conversations: u64,
    payload: Vec<u8>,
    /// Until every conversation is there, and while it counts.
    writing: bool,
    going: bool,
    book: Book,
}

#[derive(Default)]
struct Scribe {
    sent: u64,
    accepted: u64,
    /// When each message was due that is not accepted.
    unanswered: HashMap<u64, u64>,
    /// The latest seq of each conversation.
    seqs: Vec<u64>,
}

impl Scribes {
    pub fn new(plan: &Plan, in_flight: u32, conversations: u32) -> Scribes {
        let scribe = || Scribe { seqs: vec![0; conversations as usize], ..Scribe::default() };
        Scribes {
            scribes: (0..plan.devices()).map(|_| scribe()).collect(),
            window: in_flight as usize,
            conversations: conversations.into(),
            payload: vec![b'x'; plan.bytes],
            writing: false,
            going: false,
            book: Book::default(),
        }
    }

    fn refill(&mut self, engine: &mut Engine, of: usize) -> anyhow::Result<()> {
        let scribe = &mut self.scribes[of];
        while self.writing && scribe.unanswered.len() < self.window {
            if !self.going && scribe.sent == self.conversations {
                break;
            }
            let (to, due) = ((scribe.sent % self.conversations) as u32, at_once());
            scribe.sent += 1;
            scribe.unanswered.insert(scribe.sent, due);
            Stamp { due, number: scribe.sent }.write(&mut self.payload);
            self.book.sent();
            let publish = Publish { to: To::Own(to), id: scribe.sent, payload: &self.payload, stored: true };
            engine.publish(of, &publish)?;
        }
        Ok(())
    }

    fn refill_all(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        (0..self.scribes.len()).try_for_each(|of| self.refill(engine, of))
    }
}

impl Scenario for Scribes {
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        let Event::Accepted { id, seq, .. } = event else { return Ok(()) };
        let scribe = &mut self.scribes[at];
        let due =
            scribe.unanswered.remove(&id).with_context(|| format!("scribe {at}: an answer to nothing"))?;
        scribe.accepted += 1;
        let of = ((id - 1) % self.conversations) as usize;
        let last = std::mem::replace(&mut scribe.seqs[of], seq);
        ensure!(last == 0 || seq == last + 1, "scribe {at}, conversation {of}: seq {seq} after {last}");
        self.book.accepted(due);
        self.refill(engine, at)
    }

    fn prepare(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.writing = true;
        self.refill_all(engine)
    }

    fn is_prepared(&self) -> bool {
        self.scribes.iter().all(|scribe| scribe.accepted >= self.conversations)
    }

    fn go(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.going = true;
        self.refill_all(engine)
    }

    fn stop(&mut self) {
        self.writing = false;
    }

    fn missing(&self) -> Option<String> {
        let missing: usize = self.scribes.iter().map(|scribe| scribe.unanswered.len()).sum();
        (missing > 0).then(|| format!("{missing} messages were not accepted"))
    }

    fn book(&mut self) -> &mut Book {
        &mut self.book
    }
}
