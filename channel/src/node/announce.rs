//! Sessions that a connector tells again: to a node that has started anew, or owns their users since a moment ago.

use std::sync::Arc;

use futures::future::join_all;
use idgen::NodeId;
use protocol::code::Code;
use protocol::node::v1::{Announce, AnnouncedSession};
use tokio::time::Instant;

use super::ChannelNode;
use crate::peers::UNSURE;
use crate::routes::Route;

impl ChannelNode {
    /// Sets the routes, and tells the sessions where their conversations are: what was committed around the change may
    /// have been pushed by nobody.
    pub(super) fn announce(self: &Arc<Self>, connector: NodeId, announce: Announce) {
        if announce.anew {
            self.forget_routes(connector);
        }
        if announce.moved {
            return announce.sessions.iter().for_each(|session| self.give_away(session));
        }
        let announced = announce.sessions.into_iter();
        let kept: Vec<_> = announced.filter(|session| self.take_back(connector, session)).collect();
        if kept.is_empty() {
            return;
        }
        self.metrics.announced.add(kept.len() as u64);
        self.restore_watches(connector, &kept);
        let heads = self.heads.clone();
        self.work.spawn(async move { heads.tell(connector, kept).await });
    }

    /// The user is another node's now, and the session was told to that.
    fn give_away(&self, session: &AnnouncedSession) {
        let Some(target) = session.target else { return };
        if let Some(peers) = &self.peers {
            peers.left(&session.tenant, &session.user);
        }
        self.watches.forget(target.device_id, target.epoch);
        self.routes.forget(&session.tenant, &session.user, target.device_id, target.epoch);
    }

    fn restore_watches(&self, connector: NodeId, kept: &[AnnouncedSession]) {
        let watching: Vec<_> = kept.iter().filter(|session| !session.watched.is_empty()).cloned().collect();
        if watching.is_empty() {
            return;
        }
        let settled =
            self.peers.as_ref().map_or_else(|| Instant::now() + UNSURE, |peers| peers.unsure_until());
        let (watches, stop) = (self.watches.clone(), self.stop.clone());
        self.work.spawn(async move {
            let restored = watching.into_iter().map(|session| watches.restore(connector, session, settled));
            stop.run_until_cancelled(join_all(restored)).await;
        });
    }

    /// Whether the session has its route again. Of one that is superseded the connection is closed.
    fn take_back(&self, connector: NodeId, session: &AnnouncedSession) -> bool {
        let Some(target) = session.target else { return false };
        let (tenant, user) = (session.tenant.as_str(), session.user.as_str());
        let (suspended, away) = (session.suspended, session.away);
        let route = Route { suspended, away, ..Route::new(target.device_id, target.epoch, connector) };
        if let Some(peers) = &self.peers {
            peers.came(tenant, user);
        }
        let outcome = self.routes.attach(tenant, user, route);
        if !outcome.attached {
            self.login.kick(route, Code::SUPERSEDED);
            return false;
        }
        if let Some(displaced) = outcome.displaced {
            self.watches.forget(displaced.device, displaced.epoch);
            self.login.kick(displaced, Code::SUPERSEDED);
        }
        self.routes.suspend(tenant, user, route.device, route.epoch, suspended);
        self.routes.set_away(tenant, user, route.device, route.epoch, away);
        self.watches.changed(tenant, user);
        true
    }
}
