//! How long an unanswered request is waited for. Pure.
//!
//! A slow link carries one large answer for minutes, and a connection that is cut meanwhile asks for the same answer
//! again. So only quiet time counts: while bytes keep arriving the patience with every request stands still.

use std::time::{Duration, Instant};

/// A pause between bytes that a slow link makes; what is longer is quiet time.
pub const PAUSE: Duration = Duration::from_secs(2);
/// Quiet time without an answer after which the connection is of no use.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// However much arrives, a request is answered within this: four whole frames at 1 KB/s and what was queued before
/// them. What arrives for so long without the answer is not the answer.
pub const ANSWER_AT_MOST: Duration = Duration::from_secs(600);

/// The quiet time of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Quiet time before the latest arrival.
    quiet: Duration,
    arrived: Instant,
}

/// A request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    at: Instant,
    /// The connection's quiet time then.
    quiet: Duration,
}

impl Patience {
    /// A connection on which something arrives now.
    pub fn new(now: Instant) -> Patience {
        Patience { quiet: Duration::ZERO, arrived: now }
    }

    /// Bytes arrived.
    pub fn on_arrived(&mut self, now: Instant) {
        *self = Patience { quiet: self.quiet(now), arrived: now };
    }

    /// A request goes out.
    pub fn ask(&self, now: Instant) -> Asked {
        Asked { at: now, quiet: self.quiet(now) }
    }

    /// When patience with a request ends if nothing more arrives. Of two requests, that of the earlier ends first.
    pub fn ends(&self, asked: Asked) -> Instant {
        let left = (asked.quiet + ANSWER_WITHIN).saturating_sub(self.quiet);
        // Where none is left it has ended before the latest arrival.
        let quiet = if left.is_zero() { self.arrived } else { self.arrived + PAUSE + left };
        quiet.min(asked.at + ANSWER_AT_MOST)
    }

    fn quiet(&self, now: Instant) -> Duration {
        self.quiet + now.saturating_duration_since(self.arrived).saturating_sub(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_ends_it() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        let asked = patience.ask(start);
        assert_eq!(patience.ends(asked), start + PAUSE + ANSWER_WITHIN);
        patience.on_arrived(start + 10 * SECOND);
        // Eight quiet seconds have passed.
        assert_eq!(patience.ends(asked), start + 10 * SECOND + PAUSE + 22 * SECOND);
    }

    #[test]
    fn a_request_that_went_out_in_silence_has_all_its_time() {
        let start = Instant::now();
        let patience = Patience::new(start);
        let later = start + 60 * SECOND;
        assert_eq!(patience.ends(patience.ask(later)), later + ANSWER_WITHIN);
    }

    #[test]
    fn bytes_that_keep_arriving_prolong_it_up_to_a_bound() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        let asked = patience.ask(start);
        for n in 1..=590 {
            patience.on_arrived(start + n * SECOND);
        }
        assert_eq!(patience.ends(asked), start + ANSWER_AT_MOST);
        assert!(patience.ends(asked) < patience.ends(patience.ask(start + SECOND)));
    }

    #[test]
    fn an_answer_that_was_lost_is_missed_although_heartbeats_are_answered() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        let asked = patience.ask(start);
        let mut now = start;
        while now < patience.ends(asked) {
            now += 10 * SECOND;
            patience.on_arrived(now);
        }
        assert!(now - start <= 40 * SECOND, "{:?}", now - start);
    }
}
