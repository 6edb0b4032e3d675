//! What ties one connection of a logged-in device to this connector.

use std::sync::Arc;

use idgen::NodeId;
use protocol::code::Code;
use protocol::node::v1::{Announce, Detach, Identity, Revive, Suspend};
use protocol::v1::go_away::Verdict;

use crate::core::Core;
use crate::handle::{Handle, Seat};
use crate::presence;
use crate::session::Session;

/// A connection's session. Dropping it ends the connection's part in it, once: the session waits for the device to
/// resume it, or session and route are taken back.
pub(crate) struct Attachment {
    pub core: Arc<Core>,
    pub seat: Seat,
    pub session: Session,
}

impl Attachment {
    /// An attachment whose connection has not started: nobody could resume it.
    pub fn new(core: Arc<Core>, seat: Seat, session: Session) -> Self {
        Self { core, seat, session }
    }

    /// From now on a lost connection leaves the session to be resumed.
    pub fn started(&mut self) {
        self.seat.keeps_session = true;
    }

    /// The connection ends on purpose: with a code, or because the device said Bye.
    pub fn ends_with(&mut self, code: Option<Code>) {
        self.seat.keeps_session = match code {
            // Everything here ends; another process knows nothing of the session.
            None | Some(Code::SHUTTING_DOWN) => false,
            Some(code) => code.verdict() == Verdict::Resume,
        };
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Attachment { core, seat, .. } = self;
        core.metrics.ended.add(1);
        if !seat.leave(core.seconds()) {
            // A later connection has the session.
            return;
        }
        if seat.keeps_session {
            announce(core, &seat.handle);
        } else {
            end(core, &seat.handle);
        }
    }
}

/// Ends a session: nobody can resume it, its route is taken back.
pub(crate) fn end(core: &Core, handle: &Handle) {
    handle.end();
    core.sessions.remove(handle.device, handle.epoch);
    take_back(core, handle);
}

/// Takes the route of a session that is over back.
pub(crate) fn take_back(core: &Core, handle: &Handle) {
    let Identity { tenant, user, .. } = &*handle.identity;
    let (tenant, user) = (tenant.clone(), user.clone());
    let detach = Detach { tenant, user, device_id: handle.device, epoch: handle.epoch };
    if let Err(error) = core.uplink.detach(detach) {
        // The node that held the route is gone, and the route with it.
        tracing::debug!(%error, device = handle.device, "route not taken back");
    }
}

/// Tells the channel node whether the session has a connection. Both ends of a change may be under way on different
/// threads, so it is told again until what was told last is what is so.
pub(crate) fn announce(core: &Core, handle: &Handle) {
    loop {
        let away = handle.away_since().is_some();
        let Identity { tenant, user, .. } = &*handle.identity;
        let (tenant, user, device_id, epoch) = (tenant.clone(), user.clone(), handle.device, handle.epoch);
        let told = match away {
            true => core.uplink.suspend(Suspend { tenant, user, device_id, epoch }),
            false => core.uplink.revive(Revive { tenant, user, device_id, epoch }),
        };
        if let Err(error) = told {
            return tracing::debug!(%error, device = handle.device, "route not changed");
        }
        if handle.away_since().is_some() == away {
            return;
        }
    }
}

/// Tells one session to whoever owns its user now, and to the node `from`, which did, that it has moved.
pub(crate) fn announce_moved(core: &Core, from: Option<NodeId>, handle: &Handle) {
    let sessions = vec![presence::announced(handle)];
    let moved = Announce { sessions: sessions.clone(), moved: true, anew: false };
    if let Err(error) = core.uplink.announce(Announce { sessions, ..Announce::default() }) {
        // The next session of the link begins with all of them.
        tracing::debug!(%error, device = handle.device, "route not moved");
    }
    from.into_iter().for_each(|from| core.uplink.tell(from, moved.clone()));
}
