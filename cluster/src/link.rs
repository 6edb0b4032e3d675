//! What connector and channel nodes call to reach each other.
//!
//! A link is ordered: what is sent first arrives first. Neither direction ever blocks its caller, and each has a
//! decided outcome when it is full: a request comes back to the connector, which answers its device with a
//! retryable OVERLOADED; a push is taken by the device's outbox, which is bounded in bytes and falls back to Head.
//!
//! Within one process a link is the other side itself behind these traits: the messages travel unencoded. Between
//! processes it is a TCP connection that a connector, or another channel node, dials, and a session that outlives it:
//!
//! | file | noun |
//! |---|---|
//! | [`wire`] | messages as bytes |
//! | [`hello`] | pure: who may link with whom |
//! | [`core`] | pure: numbers, windows, bounds of one session |
//! | [`hints`] | pure: what is left of pushes that found the link full |
//! | [`socket`] | one connection: reads, writes, pings |
//! | [`dial`], [`listen`] | the side that dials, the side that is dialled |
//! | [`mesh`] | links to all channel nodes of a cluster, as they come and go |
//! | [`tls`] | certificates of nodes |
//! | [`stream`] | what the bytes travel on: TCP, or any other stream |
//! | [`traffic`], `lag` | what links have carried; how far behind they are (pure) |
//! | `told` | lines of the log that a stranger can cause |

use std::sync::Arc;
use std::time::Duration;

use idgen::NodeId;
use protocol::node::v1::{ToChannel, ToConnector};

pub mod core;
pub mod dial;
pub mod hello;
pub mod hints;
mod lag;
pub mod listen;
pub mod mesh;
pub mod socket;
pub mod stream;
pub mod tls;
mod told;
pub mod traffic;
pub mod wire;

/// How a node links with others.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    pub me: hello::Me,
    pub pace: socket::Pace,
    /// Certificates for both sides; plain without.
    pub tls: Option<tls::LinkTls>,
    /// How long what is said to a node out of reach is held before whoever asked is told.
    pub hold: Duration,
    /// How long the routes of a connector out of reach are kept, unless it is known to be gone.
    pub linger: Duration,
    /// Where all links of the node count their bytes.
    pub traffic: Arc<traffic::Traffic>,
    /// How other nodes are reached.
    pub dial: Arc<dyn stream::Dial>,
    pub chance: stream::Chance,
}

impl LinkConfig {
    /// The usual times, without TLS.
    pub fn new(me: hello::Me) -> LinkConfig {
        let (hold, linger) = (Duration::from_secs(10), Duration::from_secs(15));
        LinkConfig {
            me,
            pace: socket::Pace::default(),
            tls: None,
            hold,
            linger,
            traffic: Arc::default(),
            dial: Arc::new(stream::Tcp),
            chance: stream::Chance::default(),
        }
    }
}

/// A connector's, or another channel node's, way to one channel node.
pub trait ChannelLink: Send + Sync + 'static {
    /// The node at the other end.
    fn node(&self) -> NodeId;

    /// Hands a message over. `Detach` is always taken while the link is up.
    fn send(&self, message: ToChannel) -> Result<(), LinkError>;

    /// Whether the node is within reach now. What is sent while it is not is held for a while.
    fn is_up(&self) -> bool {
        true
    }
}

/// A channel node's way to one node that has dialled it.
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
