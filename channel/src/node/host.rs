//! A channel node as what connectors dial.

use std::sync::Arc;

use cluster::link::listen::LinkHost;
use cluster::{ChannelLink, ConnectorLink};

use super::ChannelNode;

/// Takes links for a node.
pub struct Host(pub Arc<ChannelNode>);

impl LinkHost for Host {
    fn connect(&self, link: Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink> {
        self.0.connect(link)
    }

    fn disconnect(&self, link: &Arc<dyn ConnectorLink>) {
        self.0.disconnect(link);
    }
}
