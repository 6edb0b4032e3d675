//! Lines of a log that a stranger can cause: one a second, each with the number of those that were left out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(1);

/// When something was told last, and how often it was not since.
#[derive(Debug, Default)]
pub struct Told(Mutex<(Option<Instant>, u64)>);

impl Told {
    /// How many were left out, if one may be told now.
    pub fn may_tell(&self, now: Instant) -> Option<u64> {
        let (last, left_out) = &mut *self.0.lock();
        if last.is_some_and(|last| now < last + EVERY) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_told_and_the_others_are_counted() {
        let (told, now) = (Told::default(), Instant::now());
        assert_eq!(told.may_tell(now), Some(0));
        assert_eq!([1, 500, 999].map(|ms| told.may_tell(now + Duration::from_millis(ms))), [None; 3]);
        assert_eq!(told.may_tell(now + EVERY), Some(3));
        assert_eq!(told.may_tell(now + 3 * EVERY), Some(0));
    }
}
