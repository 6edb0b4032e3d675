//! The links between connector and channel node: straight calls, watched, and the place of some planted bugs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{ChannelLink, ConnectorLink, LinkError};
use idgen::NodeId;
use parking_lot::Mutex;
use protocol::Proto as _;
use protocol::code::Code;
use protocol::node::v1::attached::Outcome;
use protocol::node::v1::push::Telling;
use protocol::node::v1::to_channel::Body as Up;
use protocol::node::v1::to_connector::Body as Down;
use protocol::node::v1::{Kick, Peer, Push, Target, ToChannel, ToConnector, peer};
use protocol::v1::client_frame::Body as Asked;
use protocol::v1::{Message, ServerFrame, server_frame};

use crate::hub::{Hub, Out};
use crate::mutant::Mutant;

/// What the links of one gateway share.
pub struct Tap {
    hub: Arc<Hub>,
    mutant: Option<Mutant>,
    /// What is pushed is lost.
    down: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Login under way → connection, tenant and user.
    logins: BTreeMap<(NodeId, u64), (usize, String, String)>,
    /// Device → its latest epoch, connector, tenant and user.
    devices: BTreeMap<u64, (u64, NodeId, String, String)>,
    /// Conversation → users who left it.
    leavers: BTreeMap<String, BTreeSet<String>>,
    pushes: u64,
}

impl Tap {
    pub fn new(hub: Arc<Hub>, mutant: Option<Mutant>, down: Arc<AtomicBool>) -> Tap {
        Tap { hub, mutant, down, state: Mutex::default() }
    }
}

/// From a connector to the channel node.
pub struct UpTap {
    pub tap: Arc<Tap>,
    pub inner: Arc<dyn ChannelLink>,
    pub from: NodeId,
}

impl ChannelLink for UpTap {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    fn send(&self, mut message: ToChannel) -> Result<(), LinkError> {
        match &mut message.body {
            Some(Up::Attach(attach)) => {
                let who = attach.identity.clone().unwrap_or_default();
                let login = (conn_of(&attach.remote), who.tenant, who.user);
                self.tap.state.lock().logins.insert((self.from, attach.attach_id), login);
            }
            Some(Up::Detach(detach)) if self.tap.mutant == Some(Mutant::UnconditionalDetach) => {
                if let Some((epoch, ..)) = self.tap.state.lock().devices.get(&detach.device_id) {
                    detach.epoch = *epoch;
                }
            }
            Some(Up::Request(request)) if self.tap.mutant == Some(Mutant::AfterIgnored) => {
                if let Some(Asked::Send(send)) = request.frame.as_mut().and_then(|frame| frame.body.as_mut())
                {
                    send.after = Default::default();
                }
            }
            Some(Up::Announce(announce))
                if self.tap.mutant == Some(Mutant::SessionsUntold) && !announce.moved =>
            {
                announce.sessions.clear();
            }
            Some(Up::Peer(Peer { body: Some(peer::Body::Push(_)) }))
                if self.tap.mutant == Some(Mutant::PeersUntold) =>
            {
                return Ok(());
            }
            _ => {}
        }
        self.inner.send(message)
    }
}

/// From the channel node to a connector.
pub struct DownTap {
    pub tap: Arc<Tap>,
    pub inner: Arc<dyn ConnectorLink>,
}

impl ConnectorLink for DownTap {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    fn deliver(&self, mut message: ToConnector) {
        match &mut message.body {
            Some(Down::Attached(attached)) => self.attached(attached.attach_id, attached.outcome.as_ref()),
            Some(Down::Push(push)) if self.is_lost(push) => return,
            Some(Down::Push(push)) if self.tap.mutant == Some(Mutant::LeaverPushed) => {
                self.push_to_leavers(push);
            }
            Some(Down::Kick(kick)) if self.is_kept(kick) => return,
            Some(Down::Reply(reply)) if self.tap.mutant == Some(Mutant::SyncClipped) => {
                reply.frame = clipped(&reply.frame);
            }
            _ => {}
        }
        self.inner.deliver(message);
    }
}

impl DownTap {
    fn attached(&self, attach_id: u64, outcome: Option<&Outcome>) {
        let mut state = self.tap.state.lock();
        let Some((conn, tenant, user)) = state.logins.remove(&(self.node(), attach_id)) else { return };
        if let Some(Outcome::Admitted(admitted)) = outcome {
            let (device, epoch) = (admitted.device_id, admitted.epoch);
            state.devices.insert(device, (epoch, self.node(), tenant, user));
            self.tap.hub.put(Out::Admitted { conn, device, epoch });
        }
    }

    fn is_kept(&self, kick: &Kick) -> bool {
        self.tap.mutant == Some(Mutant::KickLost) && kick.code == Code::SUPERSEDED.number()
    }

    fn is_lost(&self, push: &Push) -> bool {
        if self.tap.down.load(Ordering::Relaxed) {
            return true;
        }
        if self.tap.mutant == Some(Mutant::TipsToldOnce) && push.telling() != Telling::First {
            return true;
        }
        if self.tap.mutant != Some(Mutant::PushLost) || push.seq == 0 {
            return false;
        }
        let mut state = self.tap.state.lock();
        state.pushes += 1;
        state.pushes.is_multiple_of(7)
    }

    fn push_to_leavers(&self, push: &mut Push) {
        let mut state = self.tap.state.lock();
        let Ok(ServerFrame { body: Some(server_frame::Body::Message(message)), .. }) =
            ServerFrame::decode(push.frame.clone())
        else {
            return;
        };
        let State { devices, leavers, .. } = &mut *state;
        let gone = leavers.entry(String::from_utf8_lossy(&push.conversation).into_owned()).or_default();
        for (device, (epoch, connector, _, user)) in devices.iter() {
            let there = push.targets.iter().any(|target| target.device_id == *device);
            if gone.contains(user) && *connector == self.node() && !there {
                push.targets.push(Target { device_id: *device, epoch: *epoch });
            }
        }
        let changed = message.members_changed.unwrap_or_default();
        gone.retain(|user| changed.added.iter().all(|new| new.user != *user));
        gone.extend(changed.removed);
    }
}

/// An answer to Sync without its last message.
fn clipped(frame: &bytes::Bytes) -> bytes::Bytes {
    let Ok(mut answer) = ServerFrame::decode(frame.clone()) else { return frame.clone() };
    if let Some(server_frame::Body::SyncResult(result)) = &mut answer.body {
        for range in &mut result.ranges {
            let last: Option<Message> = range.messages.pop();
            drop(last);
        }
        return answer.encode_to_vec().into();
    }
    frame.clone()
}

fn conn_of(remote: &str) -> usize {
    match remote.parse::<SocketAddr>().map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) => (ip.to_bits() & 0x00FF_FFFF) as usize,
        _ => usize::MAX,
    }
}
