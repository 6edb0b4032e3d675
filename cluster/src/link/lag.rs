//! For how long a link has brought nothing of what was said. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Looks that are remembered, one a second: what is older is not told apart.
const LOOKS: usize = 64;

/// How often to look.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at the numbers of one link.
#[derive(Debug, Default)]
pub struct Lag {
    /// When so many messages had been said.
    looks: VecDeque<(Instant, u64)>,
}

impl Lag {
    /// So many messages have been said, and the peer has confirmed so many of them. How long ago, to a second, the oldest
    /// was said that it has not confirmed.
    pub fn look(&mut self, now: Instant, said: u64, confirmed: u64) -> Duration {
        if self.looks.back().is_some_and(|(_, before)| *before > said) {
            // Another session counts anew.
            self.looks.clear();
        }
        while self.looks.front().is_some_and(|(_, said)| *said <= confirmed) {
            self.looks.pop_front();
        }
        if said > confirmed {
            if self.looks.len() == LOOKS {
                // Of two neighbours the older one says more.
                self.looks.remove(LOOKS / 2);
            }
            self.looks.push_back((now, said));
        }
        self.looks.front().map_or(Duration::ZERO, |(since, _)| now.duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_age_of_the_oldest_message_that_is_not_confirmed() {
        let (mut lag, start) = (Lag::default(), Instant::now());
        let mut look = |second: u64, said, confirmed| {
            lag.look(start + Duration::from_secs(second), said, confirmed).as_secs()
        };
        assert_eq!([look(0, 0, 0), look(1, 5, 5)], [0, 0], "nothing is open");
        assert_eq!([look(2, 8, 5), look(3, 9, 5), look(4, 12, 5)], [0, 1, 2]);
        assert_eq!(look(5, 20, 8), 2, "number 9 was said by the third second");
        assert_eq!(look(6, 20, 20), 0);
        assert_eq!(look(7, 3, 0), 0, "a new session");
        for second in 8..300 {
            assert_eq!(look(second, second, 0), second - 7);
        }
    }
}
