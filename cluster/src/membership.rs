//! The nodes that are alive and what they own.

use std::sync::Arc;

use idgen::NodeId;
use tokio::sync::watch;

use crate::record::NodeRecord;
use crate::slot::Slot;
use crate::slots::{Candidate, Table};

/// One state of the cluster. A newer one has a higher version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub version: u64,
    /// Sorted by id, one each.
    nodes: Vec<NodeRecord>,
    owners: Table,
}

impl View {
    /// A cluster of these nodes; who owns what follows from them. Of two records with one id the later incarnation
    /// counts.
    pub fn new(version: u64, nodes: Vec<NodeRecord>) -> View {
        let nodes = one_each(nodes);
        View { version, owners: Table::draw(&candidates(&nodes)), nodes }
    }

    /// The state that follows this one. Who owns what is not drawn again where the channel nodes are the same.
    pub fn followed_by(&self, version: u64, nodes: Vec<NodeRecord>) -> View {
        let nodes = one_each(nodes);
        let after = candidates(&nodes);
        let same = after == candidates(&self.nodes);
        View { version, owners: if same { self.owners.clone() } else { Table::draw(&after) }, nodes }
    }

    /// A cluster whose one channel node owns every slot.
    pub fn single(connector: NodeId, channel: NodeId) -> View {
        View::new(1, vec![NodeRecord::new(connector, 1), NodeRecord::new(channel, 1)])
    }

    /// Every node, by id.
    pub fn nodes(&self) -> &[NodeRecord] {
        &self.nodes
    }

    /// Those that terminate device connections.
    pub fn connectors(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.iter().filter(|record| !record.is_channel())
    }

    /// Those that own slots, or may.
    pub fn channels(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.iter().filter(|record| record.is_channel())
    }

    /// The node of this id.
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.binary_search_by_key(&id, |record| record.node).ok().map(|at| &self.nodes[at])
    }

    /// The channel node that owns a slot; `None` while nobody does.
    pub fn owner(&self, slot: Slot) -> Option<NodeId> {
        self.owners.owner(slot)
    }

    /// Whether every slot has the owner that it has in another view.
    pub fn has_owners_of(&self, other: &View) -> bool {
        self.owners == other.owners
    }

    /// Whether any other node than this one owns slots.
    pub fn has_owners_beside(&self, node: NodeId) -> bool {
        self.owners.nodes().iter().any(|owner| *owner != node)
    }

    /// The slots that a node owns.
    pub fn owned_by(&self, node: NodeId) -> impl Iterator<Item = Slot> + '_ {
        self.owners.owned_by(node)
    }
}

fn one_each(mut nodes: Vec<NodeRecord>) -> Vec<NodeRecord> {
    nodes.sort_unstable_by_key(|record| (record.node, std::cmp::Reverse(record.incarnation)));
    nodes.dedup_by_key(|record| record.node);
    nodes
}

fn candidates(nodes: &[NodeRecord]) -> Vec<Candidate> {
    nodes.iter().filter(|record| record.is_channel()).map(NodeRecord::candidate).collect()
}

/// Where a node learns who else is there.
pub trait Membership: Send + Sync + 'static {
    /// The state now.
    fn snapshot(&self) -> Arc<View>;

    /// The state now and whenever it changes.
    fn watch(&self) -> watch::Receiver<Arc<View>>;
}
