//! Devices that send nothing.

use anyhow::ensure;

use super::{Book, Scenario};
use crate::load::engine::Engine;
use crate::load::plan::Plan;
use crate::load::speech::Event;
use crate::load::stamp::Stamp;

/// Devices that are there.
#[derive(Default)]
pub struct Hold {
    book: Book,
}

impl Scenario for Hold {
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        if let Event::Ready = event {
            self.book.tally.resumed += u64::from(engine.conns[at].device.session.resumed);
        }
        Ok(())
    }

    fn book(&mut self) -> &mut Book {
        &mut self.book
    }
}

/// Devices that hear what the server sends by itself: batches of frames, numbered from 1 in each.
pub struct Listen {
    batch: u64,
    last: Vec<u64>,
    book: Book,
}

impl Listen {
    pub fn new(plan: &Plan, batch: u64) -> Listen {
        Listen { batch, last: vec![0; plan.devices() as usize], book: Book::default() }
    }
}

impl Scenario for Listen {
    fn event(&mut self, _engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()> {
        if let Event::Delivered { payload, .. } = event
            && let Some(Stamp { due, number }) = Stamp::read(payload)
        {
            let last = std::mem::replace(&mut self.last[at], number);
            ensure!(number == last % self.batch + 1, "listener {at} got frame {number} after {last}");
            self.book.delivered(due);
        }
        Ok(())
    }

    fn book(&mut self) -> &mut Book {
        &mut self.book
    }
}
