//! The connectors that are linked to this node.

use std::sync::Arc;

use cluster::ConnectorLink;
use hashbrown::HashMap;
use idgen::NodeId;
use parking_lot::RwLock;
use protocol::node::v1::ToConnector;

/// NodeId → link. Routes hold node ids, not links, so that a connector that comes back is reached by its new link.
#[derive(Default)]
pub struct Links {
    links: RwLock<HashMap<NodeId, Arc<dyn ConnectorLink>>>,
}

impl Links {
    /// Registers a connector; a link that it had before is replaced.
    pub fn register(&self, link: Arc<dyn ConnectorLink>) {
        self.links.write().insert(link.node(), link);
    }

    /// Removes a link, if it is still that connector's present one.
    pub fn unregister(&self, link: &Arc<dyn ConnectorLink>) -> bool {
        let mut links = self.links.write();
        let is_present = links.get(&link.node()).is_some_and(|present| Arc::ptr_eq(present, link));
        is_present && links.remove(&link.node()).is_some()
    }

    /// Hands a message to a connector; false if there is no link to it. What is lost so is found in the log.
    pub fn deliver(&self, connector: NodeId, message: ToConnector) -> bool {
        // The lock is released before the call: a link may call back.
        let Some(link) = self.links.read().get(&connector).cloned() else {
            return false;
        };
        link.deliver(message);
        true
    }

    /// How many connectors are linked.
    pub fn count(&self) -> usize {
        self.links.read().len()
    }
}
