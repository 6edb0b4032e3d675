//! The id of a device.

use std::fmt;
use std::str::FromStr;

use crate::{DeviceType, IdError, NodeType, ParseIdError, Stamp, WorkerNumber, hex, prefix};

const DEVICE_TYPE_SHIFT: u32 = Stamp::BITS;

const _: () = assert!(DEVICE_TYPE_SHIFT + 2 + 16 == u64::BITS, "prefix, device type and stamp fill an id");

/// The id of one client installation, the same at every login of that installation.
///
/// | bits | width | field |
/// |---|---|---|
/// | 0 | 1 | zero |
/// | 1-3 | 3 | node type, always [`NodeType::Device`] (000) |
/// | 4-15 | 12 | [`WorkerNumber`] of the node that made the id |
/// | 16-17 | 2 | [`DeviceType`] |
/// | 18-47 | 30 | seconds since the project's epoch, see [`Stamp`] |
/// | 48-63 | 16 | counter within the second, see [`Stamp`] |
///
/// Worker number and stamp alone are unique. `Ord` is the order of the 64-bit numbers, good for maps; it is the order
/// of age only among ids of one worker *and* one device type. For age, compare [`stamp`](Self::stamp)s.
///
/// `{}` writes 16 lowercase hex digits, which `FromStr` reads back; `{:#}` writes for people:
/// `device-7/web@2026-03-01T12:34:56Z#42`.
///
/// The number 0 is well-formed, but a [`Generator`](crate::Generator) never hands it out, so that a protobuf field at
/// its default can mean "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(u64);

impl DeviceId {
    /// Puts an id together; the fields were checked when they were made.
    ///
    /// New ids come from a [`Generator`](crate::Generator), which alone keeps them unique.
    pub const fn new(worker: WorkerNumber, device_type: DeviceType, stamp: Stamp) -> Self {
        let prefix = prefix::pack(NodeType::Device, worker);
        Self(prefix | (device_type.get() as u64) << DEVICE_TYPE_SHIFT | stamp.bits())
    }

    /// Checks that the first bit is zero and the node type is `Device`.
    pub const fn from_u64(bits: u64) -> Result<Self, IdError> {
        match prefix::node_type(bits) {
            Ok(NodeType::Device) => Ok(Self(bits)),
            Ok(found) => Err(IdError::WrongNodeType { found }),
            Err(error) => Err(error),
        }
    }

    /// The id as a number, below 2^60.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Always [`NodeType::Device`].
    pub const fn node_type(self) -> NodeType {
        NodeType::Device
    }

    /// The number of the node that made the id.
    pub const fn worker(self) -> WorkerNumber {
        prefix::number(self.0)
    }

    /// What kind of installation the id was made for.
    pub const fn device_type(self) -> DeviceType {
        DeviceType::from_low_bits(self.0 >> DEVICE_TYPE_SHIFT)
    }

    /// When the id was made: the second and the counter within it.
    pub const fn stamp(self) -> Stamp {
        Stamp::from_low_bits(self.0)
    }
}

impl TryFrom<u64> for DeviceId {
    type Error = IdError;

    fn try_from(bits: u64) -> Result<Self, IdError> {
        Self::from_u64(bits)
    }
}

impl From<DeviceId> for u64 {
    fn from(id: DeviceId) -> u64 {
        id.as_u64()
    }
}

impl FromStr for DeviceId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Ok(Self::from_u64(hex::parse(text)?)?)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return hex::write(f, self.0);
        }
        write!(f, "{}-{}/{}@{}", self.node_type(), self.worker(), self.device_type(), self.stamp())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}
