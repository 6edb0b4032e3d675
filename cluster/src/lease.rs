//! Whether this process still holds the worker number that it was given.
//!
//! The number stands in every DeviceId that a node makes, so it must not be used a moment longer than nobody else can
//! have got it. A number in ZooKeeper is given to somebody else at the earliest one session timeout after the server has
//! last heard of its holder; each answer of the server therefore extends the lease to one timeout after the question
//! was sent. A process that stood still finds its lease over when it goes on.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A lease of a worker number.
#[derive(Debug)]
pub struct Lease {
    /// `None` for one that needs no renewal.
    until: Mutex<Option<Instant>>,
}

impl Lease {
    /// Of a node that is alone.
    pub fn for_ever() -> Lease {
        Lease { until: Mutex::new(None) }
    }

    /// One that lasts until then.
    pub fn until(until: Instant) -> Lease {
        Lease { until: Mutex::new(Some(until)) }
    }

    /// Whether the number may be used now.
    pub fn holds(&self) -> bool {
        self.until.lock().is_none_or(|until| Instant::now() < until)
    }

    /// The server has answered what was asked at `asked`; it keeps the session `timeout` at least from then on.
    pub fn renew(&self, asked: Instant, timeout: Duration) {
        if let Some(until) = &mut *self.until.lock() {
            *until = (*until).max(asked + timeout);
        }
    }

    /// It is over: somebody else may have the number.
    pub fn end(&self) {
        *self.until.lock() = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_one_timeout_after_the_last_question_that_was_answered() {
        let second = Duration::from_secs(1);
        let lease = Lease::until(Instant::now() + 6 * second);
        let asked = Instant::now();
        tokio::time::advance(3 * second).await;
        lease.renew(asked, 6 * second);
        tokio::time::advance(2 * second).await;
        assert!(lease.holds());
        tokio::time::advance(second).await;
        assert!(!lease.holds(), "the question counts, not the answer");
        lease.renew(Instant::now(), 6 * second);
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds() && Lease::for_ever().holds());
    }
}
