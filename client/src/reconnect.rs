//! When to connect again: exponential backoff with full jitter, which obeys what the server said. Pure.

use std::time::Duration;

use protocol::code::Code;
use protocol::v1::GoAway;
use protocol::v1::go_away::Verdict;
use rand::Rng;

/// Longest first wait.
pub const BASE: Duration = Duration::from_millis(250);
/// Longest wait.
pub const CAP: Duration = Duration::from_secs(30);
/// A connection that lasted this long counts as a success: the next wait starts small again.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Why a connection ended, and what the server wants done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The code the server named, if it named one this client knows.
    pub code: Option<Code>,
    /// For people.
    pub reason: String,
    pub verdict: Verdict,
    /// What the server asks to wait at least.
    pub delay: Duration,
    /// Where the server asks to connect; empty for the same address.
    pub endpoint: String,
}

impl Lost {
    /// The connection broke and the server said nothing.
    pub fn broken(reason: impl Into<String>) -> Lost {
        Lost {
            code: None,
            reason: reason.into(),
            verdict: Verdict::Resume,
            delay: Duration::ZERO,
            endpoint: String::new(),
        }
    }

    /// The server closed with this code and no GoAway.
    pub fn coded(code: Code, reason: impl Into<String>) -> Lost {
        Lost { code: Some(code), verdict: code.verdict(), ..Lost::broken(reason) }
    }

    /// The server said why.
    pub fn go_away(go_away: GoAway) -> Lost {
        let named = Verdict::try_from(go_away.verdict);
        Lost {
            code: Code::from_number(go_away.code),
            // A verdict from a later version is taken for the careful one: a new session after a wait.
            verdict: named.unwrap_or(Verdict::Fresh),
            reason: go_away.reason,
            delay: Duration::from_millis(u64::from(go_away.delay_ms)),
            endpoint: go_away.endpoint,
        }
    }

    /// The server refused the connection with an Error.
    pub fn error(error: protocol::v1::Error) -> Lost {
        let code = Code::from_number(error.code);
        let fallback = if error.retryable { Verdict::Resume } else { Verdict::Never };
        Lost {
            code,
            verdict: code.map_or(fallback, Code::verdict),
            delay: Duration::from_millis(u64::from(error.retry_after_ms)),
            ..Lost::broken(error.message)
        }
    }
}

/// Counts attempts and says how long to wait.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// How long to wait before the next attempt: a uniform draw from 0 to `BASE` · 2ⁿ (at most `CAP`), or from
    /// once to twice what the server asked for, whichever is later.
    pub fn next(&mut self, asked: Duration, rng: &mut impl Rng) -> Duration {
        let own = full_jitter(self.attempt, rng);
        self.attempt = self.attempt.saturating_add(1);
        own.max(asked + draw(asked, rng))
    }

    /// What was tried succeeded.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// A uniform draw from 0 to `BASE` · 2^attempt, at most `CAP`.
pub fn full_jitter(attempt: u32, rng: &mut impl Rng) -> Duration {
    let ceiling = BASE.saturating_mul(1u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX)).min(CAP);
    draw(ceiling, rng)
}

fn draw(ceiling: Duration, rng: &mut impl Rng) -> Duration {
    let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.random_range(0..=micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    proptest! {
        #[test]
        fn a_wait_stays_in_its_range(seed: u64, attempts in 1u32..40, asked_ms in 0u64..60_000) {
            let mut rng = StdRng::seed_from_u64(seed);
            let asked = Duration::from_millis(asked_ms);
            let mut backoff = Backoff::default();
            for attempt in 0..attempts {
                let wait = backoff.next(asked, &mut rng);
                let ceiling = (BASE * 2u32.pow(attempt.min(10))).min(CAP);
                prop_assert!(wait >= asked);
                prop_assert!(wait <= ceiling.max(asked * 2));
            }
        }
    }

    #[test]
    fn waits_differ_between_devices() {
        let first = |seed| full_jitter(5, &mut StdRng::seed_from_u64(seed));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn the_servers_verdict_is_kept() {
        let lost = Lost::go_away(Code::SUPERSEDED.go_away("elsewhere"));
        assert_eq!(lost.verdict, Verdict::Never);
        assert_eq!(lost.code, Some(Code::SUPERSEDED));
        let unknown = protocol::v1::Error { code: 599, retryable: true, ..Default::default() };
        assert_eq!(Lost::error(unknown).verdict, Verdict::Resume);
        let unknown = protocol::v1::Error { code: 299, ..Default::default() };
        assert_eq!(Lost::error(unknown).verdict, Verdict::Never);
    }
}
