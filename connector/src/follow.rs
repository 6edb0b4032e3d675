//! Links to all channel nodes of a cluster, as they come and go, and sessions told to whoever comes to own their users.

use std::sync::Arc;

use cluster::link::LinkConfig;
use cluster::link::mesh::{Change, Mesh};
use cluster::{ChannelLink as _, Slot, View};
use idgen::NodeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connector::Connector;
use crate::core::Core;
use crate::remote::{Events, Remote};

/// The links of one connector.
pub(crate) struct Follower {
    core: Arc<Core>,
    mesh: Mesh<Events>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Connector {
    /// Links this connector to every channel node of the cluster, from now on until it has drained.
    pub fn follow(&self, config: LinkConfig) {
        let follower = Follower {
            core: self.core.clone(),
            mesh: Mesh::new(config, self.link_tasks.clone()),
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
                self.tell_moved(&before, &view);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                changed = views.changed() => if changed.is_err() { break },
            }
        }
        self.mesh.close().await;
    }

    fn link(&mut self, view: &View) {
        let (core, tasks) = (&self.core, &self.tasks);
        let make = |link| Arc::new(Events(Remote::new(core.clone(), link, tasks.clone())));
        self.mesh.follow(view, make, |change| match change {
            Change::Linked(events) => core.uplink.add(events.0.clone()),
            Change::Gone(node) => core.uplink.remove(node),
        });
    }

    /// Who owns a slot since now is told of the sessions in it, and who owned it that they have moved. A node that is
    /// being linked to is told of all its sessions anyway.
    fn tell_moved(&self, before: &Arc<View>, view: &Arc<View>) {
        if view.has_owners_of(before) {
            return;
        }
        let mut gaining: Vec<Arc<Remote>> = Vec::new();
        let mut losing: Vec<Arc<Remote>> = Vec::new();
        for (node, events) in self.mesh.connected() {
            let owns = |view: &View, slot| view.owner(slot) == Some(node);
            if Slot::all().any(|slot| owns(view, slot) && !owns(before, slot)) {
                gaining.push(events.0.clone());
            }
            if Slot::all().any(|slot| owns(before, slot) && !owns(view, slot)) {
                losing.push(events.0.clone());
            }
        }
        let before = before.clone();
        self.tasks.spawn(async move {
            let was = |node: NodeId, tenant: &str, user: &str| {
                before.owner(Slot::of_user(tenant, user)) == Some(node)
            };
            // First whoever has them since now: at no time nobody knows the way to a device.
            for remote in gaining {
                let node = remote.node();
                remote.announce(|tenant, user| !was(node, tenant, user)).await;
            }
            for remote in losing {
                let node = remote.node();
                remote.withdraw(|tenant, user| was(node, tenant, user)).await;
            }
        });
    }
}
