//! What connector and channel nodes call to reach each other.
//!
//! A link is ordered: what is sent first arrives first. Neither direction ever blocks its caller, and each has a
//! decided outcome when it is full: a request comes back to the connector, which answers its device with a
//! retryable OVERLOADED; a push is taken by the device's outbox, which is bounded in bytes and falls back to Head.
//!
//! Within one process a link is the other side itself behind these traits: the messages travel unencoded.

use idgen::NodeId;
use protocol::node::v1::{ToChannel, ToConnector};

/// A connector's way to one channel node.
pub trait ChannelLink: Send + Sync + 'static {
    /// The node at the other end.
    fn node(&self) -> NodeId;

    /// Hands a message over. `Detach` is always taken while the link is up.
    fn send(&self, message: ToChannel) -> Result<(), LinkError>;
}

/// A channel node's way to one connector.
pub trait ConnectorLink: Send + Sync + 'static {
    /// The node at the other end.
    fn node(&self) -> NodeId;

    /// Hands a message over. What cannot be delivered (no such device, another epoch) is dropped: the device
    /// finds it in the log.
    fn deliver(&self, message: ToConnector);
}

/// Why a message was not taken. It was not, and will not be, handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("the link is full")]
    Full,
    #[error("the link is closed")]
    Closed,
}
