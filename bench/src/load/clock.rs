//! The clock that all processes of a machine share.

use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

pub const SECOND: u64 = 1_000_000_000;
pub const MILLISECOND: u64 = 1_000_000;

thread_local! {
    static ARRIVED: Cell<u64> = const { Cell::new(0) };
}

/// Notes that something has arrived now.
pub fn arrive() {
    ARRIVED.set(now());
}

/// When what is looked at now has arrived. One look at the clock for all that one read has brought: a look for each
/// message would cost more than the message does.
pub fn arrived() -> u64 {
    ARRIVED.get()
}

/// Nanoseconds since the machine started.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}
