//! What the leader of generator processes says to them and hears from them: one JSON value a line, on stdin and stdout.

use serde::{Deserialize, Serialize};

use super::tally::Tally;

/// From the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Log everybody in: with a resume token where there is one, or afresh.
    Open { resume: bool },
    /// Cut all connections.
    Cut,
    /// Begin the traffic.
    Go,
    /// From now on it counts.
    Measure,
    /// It no longer counts: send nothing more, wait for what is under way, and tell the tally.
    Stop,
}

/// From a generator process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// So many devices are logged in, or, once all were, have been reached.
    Open(u32),
    /// All are, and whatever has to be prepared is.
    Ready,
    /// Everybody has been reached who had to be.
    Reached,
    Tally(Box<Tally>),
    /// It cannot go on; what it has counted until then.
    Failed {
        problem: String,
        tally: Box<Tally>,
    },
}
