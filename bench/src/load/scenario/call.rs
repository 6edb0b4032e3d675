//! A caller tells every idle device of its process something: each its own message, once.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context as _, ensure};

use super::{Book, Scenario, at_once};
use crate::load::engine::Engine;
use crate::load::plan::{Part, Plan};
use crate::load::speech::{Event, Publish, To};
use crate::load::stamp::Stamp;

pub struct Call {
    caller: usize,
    called: Range<usize>,
    first_number: u32,
    window: usize,
    payload: Vec<u8>,
    going: bool,
    /// Calls that were sent, to the first so many devices.
    sent: u32,
    /// When each call was due that is not accepted.
    unanswered: HashMap<u64, u64>,
    heard: Vec<bool>,
    reached: u32,
    book: Book,
}

impl Call {
    pub fn new(plan: &Plan, in_flight: u32) -> Call {
        let called = plan.places(Part::Idle);
        let crowd = plan.crowds.iter().find(|crowd| crowd.part == Part::Idle);
        Call {
            caller: plan.places(Part::Caller).start,
            first_number: crowd.map_or(0, |crowd| crowd.first),
            window: in_flight as usize,
            payload: vec![b'x'; plan.bytes],
            going: false,
            sent: 0,
            unanswered: HashMap::new(),
            heard: vec![false; called.len()],
            reached: 0,
            called,
            book: Book::default(),
        }
    }

    fn refill(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        while self.going && self.unanswered.len() < self.window && (self.sent as usize) < self.called.len() {
            let (to, due) = (To::Idle(self.first_number + self.sent), at_once());
            self.sent += 1;
            let number = u64::from(self.sent);
            self.unanswered.insert(number, due);
            Stamp { due, number }.write(&mut self.payload);
            self.book.sent();
            engine
                .publish(self.caller, &Publish { to, id: number, payload: &self.payload, stored: false })?;
        }
        Ok(())
    }

    fn delivered(&mut self, at: usize, payload: &[u8]) -> anyhow::Result<()> {
        let Some(Stamp { due, number }) = Stamp::read(payload) else { return Ok(()) };
        let of = at.checked_sub(self.called.start).filter(|of| *of < self.heard.len());
        let of = of.with_context(|| format!("who is not called got message {number}"))?;
        ensure!(number == of as u64 + 1, "device {of} got message {number}, which is another's");
        if std::mem::replace(&mut self.heard[of], true) {
            self.book.tally.repeated += 1;
            return Ok(());
        }
        self.reached += 1;
        self.book.delivered(due);
        Ok(())
    }
}

impl Scenario for Call {
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        match event {
            Event::Delivered { payload, .. } => self.delivered(at, payload),
            Event::Accepted { id, .. } => {
                let due = self.unanswered.remove(&id).context("an answer to nothing")?;
                self.book.accepted(due);
                self.refill(engine)
            }
            Event::Repeated => {
                self.book.tally.repeated += 1;
                Ok(())
            }
            Event::Ready | Event::Behind { .. } | Event::Page { .. } => Ok(()),
            Event::SentAway { .. } | Event::Nothing => Ok(()),
        }
    }

    fn go(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.going = true;
        self.refill(engine)
    }

    fn missing(&self) -> Option<String> {
        let left = self.unanswered.len();
        (left > 0).then(|| format!("{left} messages were not accepted"))
    }

    fn reached(&self) -> Option<(u32, u32)> {
        Some((self.reached, self.called.len() as u32))
    }

    fn book(&mut self) -> &mut Book {
        &mut self.book
    }
}
