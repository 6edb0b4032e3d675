//! Links to all channel nodes of a cluster, as they come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use idgen::NodeId;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::LinkConfig;
use super::dial::{DialledLink, LinkEvents};
use crate::membership::View;
use crate::record::NodeRecord;

/// How long the end waits for what was said last to be taken.
const FLUSH: Duration = Duration::from_secs(1);
const FLUSH_LOOK: Duration = Duration::from_millis(10);

/// What follows from a new view.
pub enum Change<T> {
    /// A channel node is there; its link was made.
    Linked(Arc<T>),
    /// It is there no more; its link was closed.
    Gone(NodeId),
}

/// The links of one node; `T` is what their owner keeps of each.
pub struct Mesh<T> {
    config: Arc<LinkConfig>,
    links: BTreeMap<NodeId, (Arc<DialledLink>, Arc<T>)>,
    tasks: TaskTracker,
}

impl<T: LinkEvents> Mesh<T> {
    /// No links yet. They will be kept by tasks of `tasks`.
    pub fn new(config: LinkConfig, tasks: TaskTracker) -> Mesh<T> {
        Mesh { config: Arc::new(config), links: BTreeMap::new(), tasks }
    }

    /// Links to every channel node of the view but this one, and to no other. `make` makes what is kept of a link;
    /// `changed` is told before anything comes over a new link.
    pub fn follow(
        &mut self,
        view: &View,
        make: impl Fn(Arc<DialledLink>) -> Arc<T>,
        changed: impl Fn(Change<T>),
    ) {
        self.links.retain(|node, (link, _)| {
            let stays = view.node(*node).is_some_and(|record| record.link == link.address());
            if !stays {
                tracing::info!(%node, "a channel node is gone");
                changed(Change::Gone(*node));
                link.close();
            }
            stays
        });
        let me = self.config.me.node;
        let missing = |record: &&NodeRecord| record.node != me && !self.links.contains_key(&record.node);
        let missing: Vec<NodeRecord> = view.channels().filter(missing).cloned().collect();
        for record in missing {
            if !record.speaks_with_us() {
                let versions = format!("{} to {}", record.versions.0, record.versions.1);
                tracing::warn!(node = %record.node, versions, "a channel node speaks no version of the node protocol that is known here");
                continue;
            }
            let link = DialledLink::new(record.node, record.link.clone(), self.config.clone());
            let kept = make(link.clone());
            changed(Change::Linked(kept.clone()));
            self.tasks.spawn(link.clone().run(kept.clone()));
            self.links.insert(record.node, (link, kept));
        }
    }

    /// The nodes that are linked now, and what is kept of each.
    pub fn connected(&self) -> impl Iterator<Item = (NodeId, &Arc<T>)> {
        let up = self.links.iter().filter(|(_, (link, _))| link.is_connected());
        up.map(|(node, (_, kept))| (*node, kept))
    }

    /// Ends all links, once what was said last is sent.
    pub async fn close(self) {
        let until = Instant::now() + FLUSH;
        let waits = || self.links.values().any(|(link, _)| link.is_connected() && link.has_waiting());
        while waits() && Instant::now() < until {
            tokio::time::sleep(FLUSH_LOOK).await;
        }
        self.links.values().for_each(|(link, _)| link.close());
    }
}
