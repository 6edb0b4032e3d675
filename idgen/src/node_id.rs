//! The id of a connector or channel node.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use crate::{IdError, NodeType, ParseIdError, WorkerNumber, hex, prefix};

const IP_SHIFT: u32 = 16;

const _: () = assert!(IP_SHIFT + Ipv4Addr::BITS + 16 == u64::BITS, "prefix, address and port fill an id");

/// The id of a connector or channel node, which is also its address.
///
/// | bits | width | field |
/// |---|---|---|
/// | 0 | 1 | zero |
/// | 1-3 | 3 | node type, [`NodeType::Connector`] (001) or [`NodeType::Channel`] (010) |
/// | 4-15 | 12 | [`WorkerNumber`], unique in the cluster while its lease lasts |
/// | 16-47 | 32 | IPv4 address |
/// | 48-63 | 16 | port |
///
/// `{}` writes 16 lowercase hex digits, which `FromStr` reads back; `{:#}` writes for people:
/// `channel-7@10.0.0.1:7500`.
///
/// A node that restarts with the same number, address and port has the same id again: an id names a place, not an
/// incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// Puts an id together.
    ///
    /// # Errors
    ///
    /// [`IdError::WrongNodeType`] for [`NodeType::Device`]; every other argument fits.
    pub const fn new(
        node_type: NodeType,
        number: WorkerNumber,
        ip: Ipv4Addr,
        port: u16,
    ) -> Result<Self, IdError> {
        let prefix = prefix::pack(node_type, number);
        Self::from_u64(prefix | (ip.to_bits() as u64) << IP_SHIFT | port as u64)
    }

    /// Checks that the first bit is zero and the node type is `Connector` or `Channel`.
    pub const fn from_u64(bits: u64) -> Result<Self, IdError> {
        match prefix::node_type(bits) {
            Ok(NodeType::Connector | NodeType::Channel) => Ok(Self(bits)),
            Ok(found) => Err(IdError::WrongNodeType { found }),
            Err(error) => Err(error),
        }
    }

    /// The id as a number, from 2^60 to below 3 * 2^60.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// `Connector` or `Channel`.
    pub const fn node_type(self) -> NodeType {
        match prefix::node_type(self.0) {
            Ok(NodeType::Channel) => NodeType::Channel,
            // `from_u64` let nothing else in.
            _ => NodeType::Connector,
        }
    }

    /// The node's number in the cluster.
    pub const fn number(self) -> WorkerNumber {
        prefix::number(self.0)
    }

    /// The node's IPv4 address.
    pub const fn ip(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.0 >> IP_SHIFT) as u32)
    }

    /// The node's port.
    pub const fn port(self) -> u16 {
        self.0 as u16
    }

    /// Where the node listens for links.
    pub const fn addr(self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip(), self.port())
    }
}

impl TryFrom<u64> for NodeId {
    type Error = IdError;

    fn try_from(bits: u64) -> Result<Self, IdError> {
        Self::from_u64(bits)
    }
}

impl From<NodeId> for u64 {
    fn from(id: NodeId) -> u64 {
        id.as_u64()
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Ok(Self::from_u64(hex::parse(text)?)?)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return hex::write(f, self.0);
        }
        write!(f, "{}-{}@{}", self.node_type(), self.number(), self.addr())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}
