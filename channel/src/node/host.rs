//! Connectors and other channel nodes come and go: in this process, or over links that they dial.

use std::sync::Arc;

use cluster::link::listen::LinkHost;
use cluster::{ChannelLink, ConnectorLink, LinkError};
use idgen::{NodeId, NodeType};
use parking_lot::Mutex;
use protocol::node::v1::ToChannel;

use super::ChannelNode;
use crate::fanout::Fanout;
use crate::peer_link::PeerLink;
use crate::peers::Peers;
use crate::samples::Samples;

impl ChannelNode {
    /// Registers a connector, or another channel node, and returns its way to this node. Each registers once at a time.
    pub fn connect(self: &Arc<Self>, connector: Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink> {
        if let (NodeType::Channel, Some(peers)) = (connector.node().node_type(), &self.peers) {
            return self.connect_peer(peers, &connector);
        }
        let link = NodeLink { node: self.clone(), connector: connector.node() };
        self.links.register(connector);
        Arc::new(link)
    }

    fn connect_peer(&self, peers: &Arc<Peers>, link: &Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink> {
        if peers.heard(link) {
            // What it has said before may be lost.
            self.rounds.begin();
        }
        let samples = Arc::new(Samples::new(0));
        let fanout = Fanout::new(self.routes.clone(), self.links.clone(), None, samples);
        Arc::new(PeerLink {
            me: self.node,
            from: link.node(),
            peers: peers.clone(),
            fanout: Mutex::new(fanout),
            watches: self.watches.clone(),
            login: self.login.clone(),
            metrics: self.metrics.clone(),
        })
    }

    /// A connector is gone, and with it every route through it; or another channel node, and with it what it asked for.
    pub fn disconnect(&self, connector: &Arc<dyn ConnectorLink>) {
        if let (NodeType::Channel, Some(peers)) = (connector.node().node_type(), &self.peers) {
            if peers.unheard(connector) {
                self.rounds.begin();
            }
            return;
        }
        if !self.links.unregister(connector) {
            return;
        }
        self.forget_routes(connector.node());
        self.watches.forget_connector(connector.node());
    }

    /// Forgets every route through a connector; who was online only there is looked at.
    pub(super) fn forget_routes(&self, connector: NodeId) {
        let mut offline = Vec::new();
        self.routes.remove_connector(connector, |tenant, user| {
            offline.push((tenant.to_owned(), user.to_owned()));
        });
        for (tenant, user) in offline {
            self.watches.changed(&tenant, &user);
        }
    }
}

/// Takes dialled links for a node.
pub struct Host(pub Arc<ChannelNode>);

impl LinkHost for Host {
    fn connect(&self, link: Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink> {
        self.0.connect(link)
    }

    fn disconnect(&self, link: &Arc<dyn ConnectorLink>) {
        self.0.disconnect(link);
    }
}

/// A connector's way to this node. Calls go straight through, so nothing can be reordered.
struct NodeLink {
    node: Arc<ChannelNode>,
    connector: NodeId,
}

impl ChannelLink for NodeLink {
    fn node(&self) -> NodeId {
        self.node.node
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        self.node.handle(self.connector, message)
    }
}
