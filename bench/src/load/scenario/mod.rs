//! What devices do. A scenario is told of every event and says what to send next.

use anyhow::bail;

use super::clock;
use super::engine::Engine;
use super::plan::{Deed, Plan};
use super::speech::Event;

mod book;
mod call;
mod fanout;
mod hold;
mod pairs;
mod pulse;
mod readers;
mod scribes;

pub use book::Book;

pub trait Scenario {
    /// Something has happened to the device at a place.
    fn event(&mut self, engine: &mut Engine, at: usize, event: Event<'_>) -> anyhow::Result<()>;

    /// Sends what is due; when more is, or None if that depends on what comes.
    fn pace(&mut self, _engine: &mut Engine, _now: u64) -> anyhow::Result<Option<u64>> {
        Ok(None)
    }

    /// Everybody is logged in: what has to be there before the traffic is made now.
    fn prepare(&mut self, _engine: &mut Engine) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether that is done.
    fn is_prepared(&self) -> bool {
        true
    }

    /// The traffic begins.
    fn go(&mut self, _engine: &mut Engine) -> anyhow::Result<()> {
        Ok(())
    }

    /// Nothing more is sent.
    fn stop(&mut self) {}

    /// What is still under way: after [`Scenario::stop`] it falls to nothing, or something is lost.
    fn missing(&self) -> Option<String> {
        None
    }

    /// How many devices have been reached, and how many have to be: where that is what the traffic is about, it ends by
    /// itself.
    fn reached(&self) -> Option<(u32, u32)> {
        None
    }

    fn book(&mut self) -> &mut Book;
}

/// The scenario that a plan names.
pub fn of(plan: &Plan) -> anyhow::Result<Box<dyn Scenario>> {
    if plan.bytes < super::STAMP_BYTES {
        bail!("a message holds its time and its number: --bytes is at least {}", super::STAMP_BYTES);
    }
    Ok(match plan.deed {
        Deed::Hold => Box::new(hold::Hold::default()),
        Deed::Listen { batch } => Box::new(hold::Listen::new(plan, batch)),
        Deed::Fanout { pace, stored } => Box::new(fanout::Fanout::new(plan, pace, stored)),
        Deed::Pairs { pace, stored, .. } => Box::new(pairs::Pairs::new(plan, pace, stored)),
        Deed::Scribes { in_flight, conversations } => {
            Box::new(scribes::Scribes::new(plan, in_flight, conversations))
        }
        Deed::Read { pace, messages, page } => Box::new(readers::Readers::new(plan, pace, messages, page)),
        Deed::Call { in_flight } => Box::new(call::Call::new(plan, in_flight)),
    })
}

/// The moment that a message is due which is sent as soon as it may be.
fn at_once() -> u64 {
    clock::now()
}
