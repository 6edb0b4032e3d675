//! A token bucket: so many per second on average, so many at once after a pause.
//!
//! Pure: the caller brings the time.

use std::time::Duration;

/// Tokens that come back with time; what is there is kept as the time at which it would be all.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_second: u32,
    burst: u32,
    /// When the bucket would be full, in nanoseconds.
    full_at: u64,
}

impl Bucket {
    /// A full bucket of `burst` tokens that regains `per_second`; both at least 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.max(1), burst: burst.max(1), full_at: 0 }
    }

    /// Takes a token at `now` (on any clock that does not step back), or says how long to wait for one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let price = 1_000_000_000 / u64::from(self.per_second);
        let full_at = self.full_at.max(now).saturating_add(price);
        match full_at.saturating_sub(now).checked_sub(price * u64::from(self.burst)) {
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
        let mut bucket = Bucket::new(10, 3);
        let at = Duration::from_millis;
        for _ in 0..3 {
            assert_eq!(bucket.take(at(1000)), Ok(()));
        }
        assert_eq!(bucket.take(at(1000)), Err(at(100)));
        assert_eq!(bucket.take(at(1060)), Err(at(40)));
        assert_eq!(bucket.take(at(1100)), Ok(()));
        assert_eq!(bucket.take(at(1100)), Err(at(100)));
        for _ in 0..3 {
            assert_eq!(bucket.take(at(9000)), Ok(()));
        }
        assert_eq!(bucket.take(at(9000)), Err(at(100)), "a long pause is worth no more than a burst");
    }
}
