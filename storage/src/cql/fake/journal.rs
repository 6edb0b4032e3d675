//! What becomes of logs, for a test that looks on from beside the store.

use std::time::Duration;

use crate::cql::tables::LogName;

/// Steps that are kept until somebody takes them; what is more is forgotten.
const MAX_STEPS: usize = 65_536;

/// One step of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Since the tables were made.
    pub at: Duration,
    pub log: LogName,
    pub tip: u64,
    pub what: Happened,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A conditional write was applied: the log ends there, and perhaps nobody knows.
    Decided,
    /// Somebody was answered that readers of a conversation see it end there.
    Answered,
}

/// Keeps steps once it is told to.
#[derive(Debug, Default)]
pub(super) struct Journal(Option<Vec<Step>>);

impl Journal {
    pub(super) fn keep(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(super) fn note(&mut self, step: Step) {
        if let Some(steps) = self.0.as_mut().filter(|steps| steps.len() < MAX_STEPS) {
            steps.push(step);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Step> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
