//! A token bucket: so many per second on average, so many at once after a pause.
//!
//! Pure: the caller brings the time.

use std::time::Duration;

/// What a bucket regains in a second, and the most it holds; 0 counts as 1.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// Tokens that come back with time; what is there is kept as the time at which it would be all. Full at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// When the bucket would be full, in nanoseconds.
    full_at: u64,
}

impl Bucket {
    /// Takes a token at `now` (on any clock that does not step back), or says how long to wait for one. The rate is the
    /// same each time.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let price = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let full_at = self.full_at.max(now).saturating_add(price);
        match full_at.saturating_sub(now).checked_sub(price * u64::from(rate.burst.max(1))) {
            None | Some(0) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (mut bucket, at) = (Bucket::default(), Duration::from_millis);
        let mut take = |now| bucket.take(Rate { per_second: 10, burst: 3 }, now);
        for _ in 0..3 {
            assert_eq!(take(at(1000)), Ok(()));
        }
        assert_eq!(take(at(1000)), Err(at(100)));
        assert_eq!(take(at(1060)), Err(at(40)));
        assert_eq!(take(at(1100)), Ok(()));
        assert_eq!(take(at(1100)), Err(at(100)));
        for _ in 0..3 {
            assert_eq!(take(at(9000)), Ok(()));
        }
        assert_eq!(take(at(9000)), Err(at(100)), "a long pause is worth no more than a burst");
    }
}
