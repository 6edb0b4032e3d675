//! What happened, in words: hashed always, kept if somebody wants to read it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// The events of one run.
#[derive(Default)]
pub struct Trace {
    hasher: DefaultHasher,
    pub lines: Option<Vec<String>>,
    pub events: u64,
}

impl Trace {
    /// A trace whose lines are kept, or only hashed.
    pub fn new(keep: bool) -> Trace {
        Trace { lines: keep.then(Vec::new), ..Trace::default() }
    }

    /// Something happened to somebody.
    pub fn note(&mut self, now_ms: u64, who: &str, what: &str) {
        self.events += 1;
        (now_ms, who, what).hash(&mut self.hasher);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>4}.{:03} {who:<12} {what}", now_ms / 1000, now_ms % 1000));
        }
    }

    /// Two runs with the same hash did the same.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
