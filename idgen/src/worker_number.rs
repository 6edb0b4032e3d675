//! The number that keeps the ids of different nodes apart: bits 4-15 of every id.

use std::fmt;

use crate::OutOfRange;

/// A node's number in the cluster, 0 to 4,095.
///
/// It is leased through ZooKeeper, so at any moment at most one node holds it; that lease is what makes the ids of two
/// nodes differ. The same number stands in the node's own [`NodeId`](crate::NodeId).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerNumber(u16);

impl WorkerNumber {
    /// How many numbers there are.
    pub const COUNT: u16 = 1 << 12;
    /// The largest number.
    pub const MAX: Self = Self(Self::COUNT - 1);

    /// Checks that the number is below [`COUNT`](Self::COUNT).
    pub const fn new(number: u16) -> Result<Self, OutOfRange> {
        if number > Self::MAX.0 {
            return Err(OutOfRange { field: "worker number", value: number as u64, max: Self::MAX.0 as u64 });
        }
        Ok(Self(number))
    }

    /// The number, 0 to 4,095.
    pub const fn get(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_low_bits(bits: u64) -> Self {
        Self((bits & Self::MAX.0 as u64) as u16)
    }
}

impl TryFrom<u16> for WorkerNumber {
    type Error = OutOfRange;

    fn try_from(number: u16) -> Result<Self, OutOfRange> {
        Self::new(number)
    }
}

impl From<WorkerNumber> for u16 {
    fn from(number: WorkerNumber) -> u16 {
        number.get()
    }
}

impl fmt::Display for WorkerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
