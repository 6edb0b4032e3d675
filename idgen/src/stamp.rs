//! When a device id was made: the second and the counter within it, bits 18-63 of a device id.

use std::fmt;

use crate::OutOfRange;

/// The project's epoch, 2026-01-01T00:00:00Z, in seconds since the Unix epoch. Second 0 of every [`Stamp`].
pub const PROJECT_EPOCH_UNIX_SECS: i64 = 1_767_225_600;

const COUNTER_BITS: u32 = 16;

/// A second since the project's epoch (30 bits) and a counter within that second (16 bits).
///
/// Stamps order one worker's ids by age: a later id has a greater stamp. The ids themselves do not, because the device
/// type stands above the stamp. Wherever "the highest id of a worker" matters, compare stamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// How many bits of an id a stamp takes.
    pub(crate) const BITS: u32 = 46;
    /// The last second there is, 2060-01-10T13:37:03Z.
    pub const MAX_SECONDS: u32 = (1 << (Self::BITS - COUNTER_BITS)) - 1;
    /// The last stamp there is.
    pub const MAX: Self = Self((1 << Self::BITS) - 1);

    /// Checks that `seconds` since the project's epoch fit 30 bits; every `counter` fits.
    pub const fn new(seconds: u32, counter: u16) -> Result<Self, OutOfRange> {
        if seconds > Self::MAX_SECONDS {
            return Err(OutOfRange { field: "second", value: seconds as u64, max: Self::MAX_SECONDS as u64 });
        }
        Ok(Self((seconds as u64) << COUNTER_BITS | counter as u64))
    }

    /// Seconds since the project's epoch, 0 to [`MAX_SECONDS`](Self::MAX_SECONDS).
    pub const fn seconds(self) -> u32 {
        (self.0 >> COUNTER_BITS) as u32
    }

    /// Seconds since the Unix epoch.
    pub const fn unix_secs(self) -> i64 {
        PROJECT_EPOCH_UNIX_SECS + self.seconds() as i64
    }

    /// The counter within the second.
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The stamp after this one: the next counter, or counter 0 of the next second; `None` after the last.
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }

    pub(crate) const fn from_low_bits(bits: u64) -> Self {
        Self(bits & Self::MAX.0)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({self})")
    }
}

/// The UTC time and the counter: `2026-03-01T12:34:56Z#42`.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let counter = self.counter();
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z#{counter}")
    }
}

/// The date that many days after the project's epoch. Ends within 34 years and 12 months, because stamps do.
fn date(mut days: u32) -> (u32, u32, u32) {
    let mut year = 2026;
    while days >= 365 + leap_day(year) {
        days -= 365 + leap_day(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in(month, year) {
        days -= days_in(month, year);
        month += 1;
    }
    (year, month, days + 1)
}

fn days_in(month: u32, year: u32) -> u32 {
    match month {
        2 => 28 + leap_day(year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Right from 1901 to 2099, and stamps end in 2060.
fn leap_day(year: u32) -> u32 {
    u32::from(year.is_multiple_of(4))
}
