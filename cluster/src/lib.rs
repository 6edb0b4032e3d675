//! Who is in the cluster, who owns which slot, and the links between nodes.
//!
//! | file | noun |
//! |---|---|
//! | [`slot`] | a hash bucket of users and conversations |
//! | [`slots`] | pure: who owns which |
//! | [`record`] | what a node publishes of itself |
//! | [`membership`] | the nodes that are alive and what they own: snapshot and watch |
//! | [`endpoints`] | pure: where devices connect, by how many each connector holds |
//! | [`fixed`] | the membership of a single process |
//! | [`zookeeper`] | the membership of several processes |
//! | [`lease`] | whether this process still holds its worker number |
//! | [`link`] | what connector and channel nodes call to reach each other |

pub mod endpoints;
pub mod fixed;
pub mod lease;
pub mod link;
pub mod membership;
pub mod record;
pub mod slot;
pub mod slots;
pub mod zookeeper;

pub use fixed::FixedMembership;
pub use lease::Lease;
pub use link::{ChannelLink, ConnectorLink, LinkError};
pub use membership::{Membership, View};
pub use record::NodeRecord;
pub use slot::{SLOTS, Slot};
pub use zookeeper::{JoinError, ZooKeeperConfig, ZooKeeperMembership};
