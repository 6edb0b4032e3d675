//! Deadlines of all sessions without a timer per session: a ring of one-second buckets, checked lazily.
//!
//! A session stands in the bucket of the second at which it *may* be due. When that second comes its real deadline
//! is computed from what happened since; usually it is later and the session moves on. An idle device costs one
//! look per deadline, a busy one no more.

/// Seconds the ring spans; a deadline further away is looked at once per turn.
const BUCKETS: usize = 128;

/// A ring of buckets of `T`.
pub struct Wheel<T> {
    buckets: Vec<Vec<T>>,
    now: u32,
}

impl<T> Wheel<T> {
    /// A wheel that has been turned up to the second `now`.
    pub fn new(now: u32) -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), now }
    }

    /// Has `entry` come up at the second `at`: not before the next second, not later than one turn from now.
    pub fn add(&mut self, entry: T, at: u32) {
        let at = at.clamp(self.now + 1, self.now + BUCKETS as u32 - 1);
        self.buckets[at as usize % BUCKETS].push(entry);
    }

    /// Turns the wheel to the second `now` and returns what came up on the way.
    pub fn turn(&mut self, now: u32) -> Vec<T> {
        let mut due = Vec::new();
        while self.now < now {
            self.now += 1;
            // Taken with its memory: a second in which many came would hold it for good.
            due.append(&mut std::mem::take(&mut self.buckets[self.now as usize % BUCKETS]));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_up_at_their_second() {
        let mut wheel = Wheel::new(5);
        wheel.add('a', 7);
        wheel.add('b', 6);
        wheel.add('c', 2);
        assert_eq!(wheel.turn(6), ['b', 'c']);
        assert_eq!(wheel.turn(6), [' '; 0]);
        assert_eq!(wheel.turn(9), ['a']);
    }

    #[test]
    fn far_deadlines_come_up_once_per_turn() {
        let mut wheel = Wheel::new(0);
        wheel.add('a', 1_000_000);
        let early = wheel.turn(BUCKETS as u32 - 2);
        assert_eq!((early.len(), wheel.turn(BUCKETS as u32 - 1)), (0, vec!['a']));
    }
}
