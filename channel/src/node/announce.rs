//! Sessions that a connector tells again: to a node that has started anew, or owns their users since a moment ago.

use std::sync::Arc;

use idgen::NodeId;
use protocol::code::Code;
use protocol::node::v1::{Announce, AnnouncedSession};

use super::ChannelNode;
use crate::routes::Route;

impl ChannelNode {
    /// Sets the routes, and tells the sessions where their conversations are: what was committed around the change may
    /// have been pushed by nobody.
    pub(super) fn announce(self: &Arc<Self>, connector: NodeId, announce: Announce) {
        if announce.anew {
            self.forget_routes(connector);
        }
        let announced = announce.sessions.into_iter();
        let kept: Vec<_> = announced.filter(|session| self.take_back(connector, session)).collect();
        if kept.is_empty() {
            return;
        }
        self.metrics.announced.add(kept.len() as u64);
        let heads = self.heads.clone();
        self.work.spawn(async move { heads.tell(connector, kept).await });
    }

    /// Whether the session has its route again. Of one that is superseded the connection is closed.
    fn take_back(&self, connector: NodeId, session: &AnnouncedSession) -> bool {
        let Some(target) = session.target else { return false };
        let (tenant, user) = (session.tenant.as_str(), session.user.as_str());
        let route =
            Route { suspended: session.suspended, ..Route::new(target.device_id, target.epoch, connector) };
        let outcome = self.routes.attach(tenant, user, route);
        if !outcome.attached {
            self.login.kick(route, Code::SUPERSEDED);
            return false;
        }
        if let Some(displaced) = outcome.displaced {
            self.watches.forget(displaced.device, displaced.epoch);
            self.login.kick(displaced, Code::SUPERSEDED);
        }
        self.routes.suspend(tenant, user, route.device, route.epoch, session.suspended);
        self.watches.changed(tenant, user);
        true
    }
}
