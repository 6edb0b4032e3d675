//! Links to all channel nodes of a cluster, as they come and go, and sessions told to whoever comes to own their users.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::link::LinkConfig;
use cluster::link::dial::DialledLink;
use cluster::{NodeRecord, Slot, View};
use idgen::NodeId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connector::Connector;
use crate::core::Core;
use crate::remote::{Events, Remote};

/// How long a drain waits for what was said last to be taken.
const FLUSH: Duration = Duration::from_secs(1);
const FLUSH_LOOK: Duration = Duration::from_millis(10);

/// The links of one connector.
pub(crate) struct Follower {
    core: Arc<Core>,
    config: Arc<LinkConfig>,
    links: HashMap<NodeId, (Arc<DialledLink>, Arc<Remote>)>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Connector {
    /// Links this connector to every channel node of the cluster, from now on until it has drained.
    pub fn follow(&self, config: LinkConfig) {
        let follower = Follower {
            core: self.core.clone(),
            config: Arc::new(config),
            links: HashMap::new(),
            tasks: self.link_tasks.clone(),
            stop: self.link_stop.clone(),
        };
        self.link_tasks.spawn(follower.run());
    }
}

impl Follower {
    async fn run(mut self) {
        let mut views = self.core.uplink.views();
        let mut before: Option<Arc<View>> = None;
        loop {
            let view = views.borrow_and_update().clone();
            self.link(&view);
            if let Some(before) = before.replace(view.clone()) {
                self.announce_moved(&before, &view);
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = views.changed() => if changed.is_err() { break },
            }
        }
        self.flush().await;
        self.links.values().for_each(|(link, _)| link.close());
    }

    fn link(&mut self, view: &View) {
        let core = &self.core;
        self.links.retain(|node, (link, _)| {
            let stays = view.node(*node).is_some_and(|record| record.link == link.address());
            if !stays {
                tracing::info!(%node, "a channel node is gone");
                core.uplink.remove(*node);
                link.close();
            }
            stays
        });
        let missing = view.channels().filter(|record| !self.links.contains_key(&record.node));
        let missing: Vec<NodeRecord> = missing.cloned().collect();
        for record in missing {
            if !record.speaks_with_us() {
                let versions = format!("{} to {}", record.versions.0, record.versions.1);
                tracing::warn!(node = %record.node, versions, "a channel node speaks no version of the node protocol that is known here");
                continue;
            }
            let link = DialledLink::new(record.node, record.link.clone(), self.config.clone());
            let remote = Remote::new(self.core.clone(), link.clone(), self.tasks.clone());
            self.core.uplink.add(remote.clone());
            self.tasks.spawn(link.clone().run(Arc::new(Events(remote.clone()))));
            self.links.insert(record.node, (link, remote));
        }
    }

    /// Who owns a slot since now is told of the sessions in it. A node that is being linked to is told of all of them
    /// anyway.
    fn announce_moved(&self, before: &Arc<View>, view: &Arc<View>) {
        for (node, (link, remote)) in &self.links {
            let gains = |slot: &Slot| view.owner(*slot) == Some(*node) && before.owner(*slot) != Some(*node);
            if link.is_connected() && Slot::all().any(|slot| gains(&slot)) {
                let (node, before) = (*node, before.clone());
                let moved =
                    move |tenant: &str, user: &str| before.owner(Slot::of_user(tenant, user)) != Some(node);
                self.tasks.spawn(remote.clone().announce(moved));
            }
        }
    }

    async fn flush(&self) {
        let until = Instant::now() + FLUSH;
        let waits = || self.links.values().any(|(link, _)| link.is_connected() && link.has_waiting());
        while waits() && Instant::now() < until {
            tokio::time::sleep(FLUSH_LOOK).await;
        }
    }
}
