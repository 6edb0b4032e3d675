//! What connectors say of sessions: they begin, end, wait for their devices, and go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cluster::LinkError;
use idgen::NodeId;
use protocol::code::Code;
use protocol::node::v1::{Attach, Detach, Resend, Revive, Suspend};

use super::ChannelNode;
use crate::presence::Watcher;
use crate::routes::Route;

impl ChannelNode {
    pub(super) fn attach(&self, connector: NodeId, attach: Attach) {
        if self.draining.load(Ordering::Acquire) {
            return self.login.refuse(connector, attach.attach_id, Code::SHUTTING_DOWN);
        }
        let Some(place) = self.login.place() else {
            return self.login.refuse(connector, attach.attach_id, Code::OVERLOADED);
        };
        if let (Some(peers), Some(who)) = (&self.peers, &attach.identity) {
            peers.came(&who.tenant, &who.user);
        }
        let login = self.login.clone();
        self.work.spawn(async move {
            match place.turn().await {
                turn if turn.is_late => login.refuse(connector, attach.attach_id, Code::OVERLOADED),
                // Boxed: those who wait hold none of it.
                _turn => Box::pin(login.attach(connector, attach)).await,
            }
        });
    }

    pub(super) fn detach(&self, gone: &Detach) {
        let detached = self.routes.detach(&gone.tenant, &gone.user, gone.device_id, gone.epoch);
        self.watches.forget(gone.device_id, gone.epoch);
        if detached.removed {
            self.watches.changed(&gone.tenant, &gone.user);
        }
    }

    /// The device may come back: its route stays, so that what it misses is remembered by its connector, and so does
    /// what it watches.
    pub(super) fn suspend(&self, away: &Suspend) {
        let Suspend { tenant, user, device_id, epoch } = away;
        if self.routes.suspend(tenant, user, *device_id, *epoch, true) {
            self.watches.changed(tenant, user);
        }
    }

    pub(super) fn revive(self: &Arc<Self>, connector: NodeId, back: Revive) {
        let Revive { tenant, user, device_id: device, epoch } = back;
        if !self.routes.suspend(&tenant, &user, device, epoch, false) {
            return self.login.kick(Route::new(device, epoch, connector), Code::UNAVAILABLE);
        }
        self.watches.changed(&tenant, &user);
        if !self.watches.watches(device, epoch) {
            return;
        }
        // Who stood by while others came and went is told how things are now. Beyond the user's share of reads that
        // goes without the store, which knows when those who are offline were last seen.
        let (node, place) = (self.clone(), self.readers.place(&tenant, &user));
        self.work.spawn(async move {
            let watcher = Watcher { device, epoch, connector };
            let _turn = match &place {
                Some(place) => Some(place.turn().await),
                None => None,
            };
            Box::pin(node.watches.tell_all(watcher, &tenant, place.is_some())).await;
        });
    }

    pub(super) fn resend(&self, connector: NodeId, asked: Resend) -> Result<(), LinkError> {
        let Some(place) = self.readers.place(&asked.tenant, &asked.user) else { return Err(LinkError::Full) };
        let resender = self.resender.clone();
        self.work.spawn(async move {
            // However late: a connector counts on the answer.
            let _turn = place.turn().await;
            Box::pin(resender.resend(connector, asked)).await;
        });
        Ok(())
    }
}
