//! Where callers get the time they pass in.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day. It may jump and step back; whoever uses it decides what that means.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, negative before it.
    fn unix_millis(&self) -> i64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn unix_millis(&self) -> i64 {
        (**self).unix_millis()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_millis(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => saturate(since.as_millis()),
            Err(error) => -saturate(error.duration().as_millis()),
        }
    }
}

/// A clock that only moves when told to, for tests and simulation. Share it as an `Arc<ManualClock>`.
#[derive(Debug, Default)]
pub struct ManualClock {
    // One value that orders nothing else, so every access is relaxed.
    unix_millis: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `unix_millis`, milliseconds since the Unix epoch.
    pub const fn new(unix_millis: i64) -> Self {
        Self { unix_millis: AtomicI64::new(unix_millis) }
    }

    /// Moves the clock to `unix_millis`, forwards or back.
    pub fn set(&self, unix_millis: i64) {
        self.unix_millis.store(unix_millis, Ordering::Relaxed);
    }

    /// Moves the clock by `millis`, back when negative, and wraps around at the ends of `i64`.
    pub fn advance(&self, millis: i64) {
        self.unix_millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> i64 {
        self.unix_millis.load(Ordering::Relaxed)
    }
}

fn saturate(millis: u128) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}
