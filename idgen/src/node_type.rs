//! What an id names: bits 1-3 of every id.

use std::fmt;

/// What an id names. Three bits; the codes 3 to 7 are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NodeType {
    /// One client installation; its id is a [`DeviceId`](crate::DeviceId).
    Device = 0b000,
    /// A node that terminates device connections; its id is a [`NodeId`](crate::NodeId).
    Connector = 0b001,
    /// A node that routes by user and owns conversations; its id is a [`NodeId`](crate::NodeId).
    Channel = 0b010,
}

impl NodeType {
    /// The three-bit code, 0 to 2.
    pub const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0b000 => Some(Self::Device),
            0b001 => Some(Self::Connector),
            0b010 => Some(Self::Channel),
            _ => None,
        }
    }
}

impl fmt::Display for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Device => "device",
            Self::Connector => "connector",
            Self::Channel => "channel",
        })
    }
}
