//! Counting, while it counts.

use crate::load::clock;
use crate::load::tally::Tally;

pub struct Book {
    counts: bool,
    from: u64,
    until: u64,
    pub tally: Tally,
}

impl Default for Book {
    fn default() -> Self {
        Book { counts: false, from: u64::MAX, until: u64::MAX, tally: Tally::default() }
    }
}

impl Book {
    pub fn begin(&mut self) {
        (self.counts, self.from, self.until) = (true, clock::now(), u64::MAX);
        self.tally = Tally::default();
    }

    pub fn end(&mut self) {
        (self.counts, self.until) = (false, clock::now());
    }

    /// A message that was due at a time has come. It is counted if that is now, and its latency recorded if it was due
    /// while it counted: what comes late is late, not left out.
    pub fn delivered(&mut self, due: u64) {
        self.tally.deliveries += u64::from(self.counts);
        if self.covers(due) {
            self.tally.delivery.record(clock::arrived().saturating_sub(due));
        }
    }

    pub fn accepted(&mut self, due: u64) {
        self.tally.accepted += u64::from(self.counts);
        if self.covers(due) {
            self.tally.answer.record(clock::arrived().saturating_sub(due));
        }
    }

    pub fn read(&mut self, due: u64, messages: usize) {
        if self.counts {
            self.tally.reads += 1;
            self.tally.read_messages += messages as u64;
        }
        if self.covers(due) {
            self.tally.answer.record(clock::arrived().saturating_sub(due));
        }
    }

    pub fn sent(&mut self) {
        self.tally.sent += u64::from(self.counts);
    }

    fn covers(&self, due: u64) -> bool {
        due >= self.from && due < self.until
    }
}
