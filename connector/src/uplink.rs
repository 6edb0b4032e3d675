//! The way to the channel nodes: picks the owner of a slot and its link.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{ChannelLink, LinkError, Membership, Slot, View};
use idgen::NodeId;
use parking_lot::{Mutex, RwLock};
use protocol::code::Code;
use protocol::limit::CLIENT_MSG_ID_BYTES;
use protocol::names;
use protocol::node::v1::to_channel::Body as ToChannelBody;
use protocol::node::v1::{Announce, Attach, Detach, Identity, Request, Resend, Revive, Suspend, ToChannel};
use protocol::v1::client_frame::Body;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::held::Held;
use crate::open::Open;

/// Links to channel nodes, and who owns what.
pub struct Uplink {
    membership: Arc<dyn Membership>,
    links: RwLock<HashMap<NodeId, Arc<dyn ChannelLink>>>,
    held: Mutex<Held>,
    /// Something is held. Set and cleared with the lock held.
    holding: AtomicBool,
    wake: Notify,
    /// How long something is held at most.
    patience: Duration,
}

impl Uplink {
    /// An uplink without links yet. What is asked of nodes that are out of reach is held for up to `patience`.
    pub fn new(membership: Arc<dyn Membership>, patience: Duration) -> Self {
        let (links, held) = (RwLock::default(), Mutex::default());
        Self { membership, links, held, holding: AtomicBool::new(false), wake: Notify::new(), patience }
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

    /// Sends a device's request to the owner of what it is about, or holds it until there is one within reach. Then its
    /// answer comes later, whatever it is.
    pub fn request(&self, request: Request) -> Result<(), LinkError> {
        self.ask(slot_of(&request), ToChannelBody::Request(request))
    }

    /// Announces a login to the owner of its user; held as a request is.
    pub fn attach(&self, attach: Attach) -> Result<(), LinkError> {
        let slot = attach.identity.as_ref().map_or(Slot::of_user("", ""), user_slot);
        self.ask(slot, ToChannelBody::Attach(attach))
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

    /// Tells sessions of one user to the owner.
    pub fn announce(&self, announce: Announce) -> Result<(), LinkError> {
        let slot = announce.sessions.first().map(|session| Slot::of_user(&session.tenant, &session.user));
        self.send(slot.ok_or(LinkError::Closed)?, ToChannelBody::Announce(announce))
    }

    /// Tells sessions to one node, if there is a link to it.
    pub fn tell(&self, node: NodeId, announce: Announce) {
        if let Some(link) = self.links.read().get(&node).cloned() {
            // What a full link does not take the node finds out by itself.
            _ = link.send(ToChannel { body: Some(ToChannelBody::Announce(announce)) });
        }
    }

    /// Resolves when something is held.
    pub(crate) async fn something_held(&self) {
        self.wake.notified().await;
    }

    /// Whether anything is.
    pub(crate) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Acquire)
    }

    /// Sends what has an owner within reach by now. What is not taken, or has waited for too long, goes to `refuse`.
    pub(crate) fn release(&self, mut refuse: impl FnMut(Open, Code)) {
        let mut refused = Vec::new();
        let mut held = self.held.lock();
        held.release(
            |slot| self.within_reach(slot).is_some(),
            |slot, message| {
                let open = message.body.as_ref().and_then(Open::of);
                let link = self.within_reach(slot).ok_or(LinkError::Closed);
                if let Err(error) = link.and_then(|link| link.send(message)) {
                    refused.push((open, code_of(error)));
                }
            },
        );
        for message in held.expire(Instant::now(), self.patience) {
            refused.push((message.body.as_ref().and_then(Open::of), Code::UNAVAILABLE));
        }
        self.holding.store(!held.is_empty(), Ordering::Release);
        // The lock is released before devices are answered.
        drop(held);
        for (open, code) in refused {
            open.into_iter().for_each(|open| refuse(open, code));
        }
    }

    /// Sends at once if nothing of the slot waits and its owner is within reach.
    fn ask(&self, slot: Slot, body: ToChannelBody) -> Result<(), LinkError> {
        let message = ToChannel { body: Some(body) };
        if !self.is_holding()
            && let Some(link) = self.within_reach(slot)
        {
            return link.send(message);
        }
        let mut held = self.held.lock();
        if !held.holds(slot)
            && let Some(link) = self.within_reach(slot)
        {
            return link.send(message);
        }
        held.add(slot, message, Instant::now()).map_err(|_| LinkError::Full)?;
        self.holding.store(true, Ordering::Release);
        self.wake.notify_one();
        Ok(())
    }

    fn within_reach(&self, slot: Slot) -> Option<Arc<dyn ChannelLink>> {
        let owner = self.membership.snapshot().owner(slot)?;
        self.links.read().get(&owner).filter(|link| link.is_up()).cloned()
    }

    fn send(&self, slot: Slot, body: ToChannelBody) -> Result<(), LinkError> {
        let owner = self.membership.snapshot().owner(slot).ok_or(LinkError::Closed)?;
        let link = self.links.read().get(&owner).cloned().ok_or(LinkError::Closed)?;
        link.send(ToChannel { body: Some(body) })
    }
}

/// What a device is told when a link does not take its request.
pub(crate) fn code_of(error: LinkError) -> Code {
    match error {
        LinkError::Full => Code::OVERLOADED,
        LinkError::Closed => Code::UNAVAILABLE,
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
