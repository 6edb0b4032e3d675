//! This node among others.

use std::sync::Arc;

use cluster::link::LinkConfig;
use cluster::link::dial::{DialledLink, LinkEvents};
use cluster::link::mesh::{Change, Mesh};
use cluster::{ChannelLink, Membership};
use idgen::Clock;
use protocol::node::v1::{ToChannel, ToConnector};
use storage::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ChannelNode, StartError};
use crate::config::ChannelConfig;
use crate::peer_task::PeerTask;
use crate::peers::Peers;

impl ChannelNode {
    /// As [`ChannelNode::start`], for a node of a cluster: it owns what the membership says, and works with the other
    /// channel nodes, which have the same store.
    pub async fn join(
        config: ChannelConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        membership: Arc<dyn Membership>,
    ) -> Result<Arc<ChannelNode>, StartError> {
        let peers = Arc::new(Peers::new(config.node, membership));
        let node = ChannelNode::start_among(config, store, clock, Some(peers.clone())).await?;
        let task = PeerTask {
            peers,
            routes: node.routes.clone(),
            watches: node.watches.clone(),
            login: node.login.clone(),
            rounds: node.rounds.clone(),
        };
        node.work.spawn(task.run(node.stop.clone()));
        Ok(node)
    }

    /// Links this node to every other channel node of its cluster, from now on until it has drained.
    pub fn follow(&self, config: LinkConfig) {
        let Some(peers) = self.peers.clone() else { return };
        let PeerLinks { tasks, stop } = &self.peer_links;
        tasks.spawn(follow(Mesh::new(config, tasks.clone()), peers, stop.clone()));
    }

    /// Adds the way to another channel node.
    pub fn add_peer(&self, way: Arc<dyn ChannelLink>) {
        if let Some(peers) = &self.peers {
            peers.add(way);
        }
    }

    /// How many connectors are linked.
    pub fn connector_count(&self) -> usize {
        self.links.count()
    }

    /// How many other channel nodes are linked: those that this node hears.
    pub fn peer_count(&self) -> usize {
        self.peers.as_ref().map_or(0, |peers| peers.heard_count())
    }
}

/// The links that this node dials. They end when everything else has.
#[derive(Default)]
pub(super) struct PeerLinks {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl PeerLinks {
    /// Ends them, once what was said last is sent.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn follow(mut mesh: Mesh<PeerEvents>, peers: Arc<Peers>, stop: CancellationToken) {
    let mut views = peers.views();
    loop {
        let view = views.borrow_and_update().clone();
        let make = |link: Arc<DialledLink>| Arc::new(PeerEvents { peers: peers.clone(), link });
        mesh.follow(&view, make, |change| match change {
            Change::Linked(events) => peers.add(events.link.clone()),
            Change::Gone(node) => peers.remove(node),
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            changed = views.changed() => if changed.is_err() { break },
        }
    }
    mesh.close().await;
}

/// What a link to another channel node tells.
struct PeerEvents {
    peers: Arc<Peers>,
    link: Arc<DialledLink>,
}

impl LinkEvents for PeerEvents {
    /// Whoever is dialled says nothing that way: it dials too.
    fn deliver(&self, _message: ToConnector) {}

    fn opening(&self) -> Option<ToChannel> {
        None
    }

    fn began(&self) {
        self.peers.began(self.link.node());
    }

    /// Nothing here waits for an answer.
    fn ended(&self) {}
}
