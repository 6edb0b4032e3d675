//! The way to the channel nodes: picks the owner of a slot and its link.

use std::collections::HashMap;
use std::sync::Arc;

use cluster::{ChannelLink, LinkError, Membership, Slot, View};
use idgen::NodeId;
use parking_lot::RwLock;
use protocol::limit::CLIENT_MSG_ID_BYTES;
use protocol::names;
use protocol::node::v1::to_channel::Body as ToChannelBody;
use protocol::node::v1::{Attach, Detach, Identity, Request, Resend, Revive, Suspend, ToChannel};
use protocol::v1::client_frame::Body;

/// Links to channel nodes, and who owns what.
pub struct Uplink {
    membership: Arc<dyn Membership>,
    links: RwLock<HashMap<NodeId, Arc<dyn ChannelLink>>>,
}

impl Uplink {
    /// An uplink without links yet.
    pub fn new(membership: Arc<dyn Membership>) -> Self {
        Self { membership, links: RwLock::default() }
    }

    /// Adds the link to a channel node, or replaces it.
    pub fn add(&self, link: Arc<dyn ChannelLink>) {
        self.links.write().insert(link.node(), link);
    }

    /// Takes the link to a channel node away.
    pub fn remove(&self, node: NodeId) {
        self.links.write().remove(&node);
    }

    /// Links that can take something now.
    pub fn linked(&self) -> usize {
        self.links.read().values().filter(|link| link.is_up()).count()
    }

    /// Who owns a user's slot now.
    pub fn owner_of(&self, tenant: &str, user: &str) -> Option<NodeId> {
        self.membership.snapshot().owner(Slot::of_user(tenant, user))
    }

    /// The cluster, now and whenever it changes.
    pub fn views(&self) -> tokio::sync::watch::Receiver<Arc<View>> {
        self.membership.watch()
    }

    /// Sends a device's request to the owner of what it is about.
    pub fn request(&self, request: Request) -> Result<(), LinkError> {
        self.send(slot_of(&request), ToChannelBody::Request(request))
    }

    /// Announces a login to the owner of its user.
    pub fn attach(&self, attach: Attach) -> Result<(), LinkError> {
        let slot = attach.identity.as_ref().map_or(Slot::of_user("", ""), user_slot);
        self.send(slot, ToChannelBody::Attach(attach))
    }

    /// Takes a route back.
    pub fn detach(&self, detach: Detach) -> Result<(), LinkError> {
        self.send(Slot::of_user(&detach.tenant, &detach.user), ToChannelBody::Detach(detach))
    }

    /// A session waits for its device.
    pub fn suspend(&self, suspend: Suspend) -> Result<(), LinkError> {
        self.send(Slot::of_user(&suspend.tenant, &suspend.user), ToChannelBody::Suspend(suspend))
    }

    /// A device is back on its session.
    pub fn revive(&self, revive: Revive) -> Result<(), LinkError> {
        self.send(Slot::of_user(&revive.tenant, &revive.user), ToChannelBody::Revive(revive))
    }

    /// Asks for messages to be read again.
    pub fn resend(&self, resend: Resend) -> Result<(), LinkError> {
        self.send(Slot::of_user(&resend.tenant, &resend.user), ToChannelBody::Resend(resend))
    }

    fn send(&self, slot: Slot, body: ToChannelBody) -> Result<(), LinkError> {
        let owner = self.membership.snapshot().owner(slot).ok_or(LinkError::Closed)?;
        let link = self.links.read().get(&owner).cloned().ok_or(LinkError::Closed)?;
        link.send(ToChannel { body: Some(body) })
    }
}

/// The slot whose owner serves a request: the conversation's for what changes it, the user's for what reads.
fn slot_of(request: &Request) -> Slot {
    let nobody = Identity::default();
    let who = request.identity.as_ref().unwrap_or(&nobody);
    let conversation = |id: &str| Slot::of_conversation(&who.tenant, id);
    match request.frame.as_ref().and_then(|frame| frame.body.as_ref()) {
        Some(Body::Send(send)) if send.conversation.is_empty() => {
            conversation(&names::direct(&who.user, &send.to_user))
        }
        Some(Body::Send(send)) => conversation(&send.conversation),
        Some(Body::ChangeMembers(change)) => conversation(&change.conversation),
        Some(Body::AskTimeline(asked)) => conversation(&asked.conversation),
        Some(Body::Mark(mark)) => conversation(&mark.conversation),
        Some(Body::Signal(signal)) => conversation(&signal.conversation),
        Some(Body::CreateConversation(create)) => {
            let id = <[u8; CLIENT_MSG_ID_BYTES]>::try_from(&create.client_msg_id[..]);
            conversation(&names::group(request.device_id, &id.unwrap_or_default()))
        }
        _ => user_slot(who),
    }
}

fn user_slot(who: &Identity) -> Slot {
    Slot::of_user(&who.tenant, &who.user)
}
