//! What kind of installation a device is: bits 16-17 of a device id.

use std::fmt;

use crate::OutOfRange;

/// What kind of installation a device is, 0 to 3.
///
/// It lets a reader of an id see what the id stands for; an id is unique without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceType(u8);

impl DeviceType {
    /// A device that did not say what it is.
    pub const DEFAULT: Self = Self(0);
    /// A browser.
    pub const WEB: Self = Self(1);
    /// A phone or tablet.
    pub const MOBILE: Self = Self(2);
    /// A program on a computer.
    pub const DESKTOP: Self = Self(3);

    const MAX: u8 = 0b11;

    /// Checks that the code is at most 3.
    pub const fn new(code: u8) -> Result<Self, OutOfRange> {
        if code > Self::MAX {
            return Err(OutOfRange { field: "device type", value: code as u64, max: Self::MAX as u64 });
        }
        Ok(Self(code))
    }

    /// The two-bit code, 0 to 3.
    pub const fn get(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_low_bits(bits: u64) -> Self {
        Self((bits & Self::MAX as u64) as u8)
    }
}

impl TryFrom<u8> for DeviceType {
    type Error = OutOfRange;

    fn try_from(code: u8) -> Result<Self, OutOfRange> {
        Self::new(code)
    }
}

impl From<DeviceType> for u8 {
    fn from(device_type: DeviceType) -> u8 {
        device_type.get()
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::WEB => "web",
            Self::MOBILE => "mobile",
            Self::DESKTOP => "desktop",
            _ => "default",
        })
    }
}
