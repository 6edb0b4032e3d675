//! The nodes that are alive and what they own.

use std::sync::Arc;

use idgen::NodeId;
use tokio::sync::watch;

use crate::slot::Slot;

/// One state of the cluster. A newer one has a higher version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub version: u64,
    pub connectors: Vec<NodeId>,
    pub channels: Vec<NodeId>,
    owners: Owners,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owners {
    One(NodeId),
}

impl View {
    /// A cluster whose one channel node owns every slot.
    pub fn single(connector: NodeId, channel: NodeId) -> View {
        View {
            version: 1,
            connectors: vec![connector],
            channels: vec![channel],
            owners: Owners::One(channel),
        }
    }

    /// The channel node that owns a slot; `None` while nobody does.
    pub fn owner(&self, _slot: Slot) -> Option<NodeId> {
        match self.owners {
            Owners::One(node) => Some(node),
        }
    }
}

/// Where a node learns who else is there.
pub trait Membership: Send + Sync + 'static {
    /// The state now.
    fn snapshot(&self) -> Arc<View>;

    /// The state now and whenever it changes.
    fn watch(&self) -> watch::Receiver<Arc<View>>;
}
