//! A channel node in another process: its link, what it still has to answer, and what it has to be told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::link::dial::{DialledLink, LinkEvents};
use cluster::{ChannelLink, ConnectorLink, LinkError};
use idgen::NodeId;
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::node::v1::{Announce, ToChannel, ToConnector, to_channel, to_connector};
use protocol::splice;
use tokio_util::task::TaskTracker;

use crate::attachment;
use crate::connector;
use crate::core::Core;
use crate::handle::Handle;
use crate::open::Open;
use crate::presence::{self, PAGE};

/// Wait while the link is full.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The link to one channel node.
pub(crate) struct Remote {
    core: Arc<Core>,
    link: Arc<DialledLink>,
    incoming: Arc<dyn ConnectorLink>,
    unanswered: Mutex<Unanswered>,
    tasks: TaskTracker,
}

/// What was asked and not answered. A device has a bounded number of requests under way, and one login.
#[derive(Default)]
struct Unanswered {
    /// Device, epoch, id.
    requests: BTreeSet<(u64, u64, u64)>,
    attaches: BTreeSet<u64>,
}

impl Remote {
    pub fn new(core: Arc<Core>, link: Arc<DialledLink>, tasks: TaskTracker) -> Arc<Remote> {
        let incoming = connector::incoming(core.clone(), Some(link.node()));
        Arc::new(Remote { core, link, incoming, unanswered: Mutex::default(), tasks })
    }

    /// Tells the node of the sessions whose users it owns, of those that pass.
    pub async fn announce(self: Arc<Self>, passes: impl Fn(&str, &str) -> bool + Send) {
        let node = self.link.node();
        let is_theirs = |handle: &Arc<Handle>| {
            let (tenant, user) = (&handle.identity.tenant, &handle.identity.user);
            self.core.uplink.owner_of(tenant, user) == Some(node) && passes(tenant, user)
        };
        let all: Vec<_> = self.core.sessions.all().into_iter().filter(is_theirs).collect();
        for page in all.chunks(PAGE) {
            let sessions: Vec<_> = page.iter().map(|handle| presence::announced(handle)).collect();
            if !self.say(Announce { sessions: sessions.clone(), ..Announce::default() }).await {
                return;
            }
            // What has changed since the page was made was told before the page was sent.
            for (handle, told) in page.iter().zip(sessions) {
                match self.core.sessions.with(handle.device, handle.epoch, |_| ()) {
                    Some(()) if handle.away_since().is_some() == told.suspended => {}
                    Some(()) => attachment::announce(&self.core, handle),
                    None => attachment::take_back(&self.core, handle),
                }
            }
        }
        if !all.is_empty() {
            tracing::info!(%node, sessions = all.len(), "a channel node was told of the sessions here");
        }
    }

    /// Tells the node of the sessions whose users it does not own any more, of those that pass.
    pub async fn withdraw(&self, passes: impl Fn(&str, &str) -> bool + Send) {
        let node = self.link.node();
        let is_gone = |handle: &Arc<Handle>| {
            let (tenant, user) = (&handle.identity.tenant, &handle.identity.user);
            self.core.uplink.owner_of(tenant, user) != Some(node) && passes(tenant, user)
        };
        let all: Vec<_> = self.core.sessions.all().into_iter().filter(is_gone).collect();
        for page in all.chunks(PAGE) {
            let sessions = page.iter().map(|handle| presence::announced(handle)).collect();
            if !self.say(Announce { moved: true, sessions, anew: false }).await {
                return;
            }
        }
    }

    async fn say(&self, announce: Announce) -> bool {
        loop {
            let body = Some(to_channel::Body::Announce(announce.clone()));
            match self.link.send(ToChannel { body }) {
                Ok(()) => return true,
                Err(LinkError::Full) => tokio::time::sleep(FULL_PAUSE).await,
                // With the next session of the link everything is told.
                Err(LinkError::Closed) => return false,
            }
        }
    }
}

impl Unanswered {
    fn note(&mut self, open: Open) {
        match open {
            Open::Request(device, epoch, id) => self.requests.insert((device, epoch, id)),
            Open::Attach(id) => self.attaches.insert(id),
        };
    }

    /// Whether it was noted.
    fn forget(&mut self, open: Open) -> bool {
        match open {
            Open::Request(device, epoch, id) => self.requests.remove(&(device, epoch, id)),
            Open::Attach(id) => self.attaches.remove(&id),
        }
    }

    /// Whether a message is to be passed on. A request that was answered here when the session ended may be answered by
    /// the node too, in the next one: the device would take that for the answer to what it has asked since.
    fn passes(&mut self, message: &ToConnector) -> bool {
        match &message.body {
            Some(to_connector::Body::Reply(reply)) => {
                let target = reply.target.unwrap_or_default();
                self.forget(Open::Request(target.device_id, target.epoch, splice::peek_re(&reply.frame)))
            }
            Some(to_connector::Body::Attached(attached)) => {
                self.forget(Open::Attach(attached.attach_id));
                true
            }
            _ => true,
        }
    }
}

impl ChannelLink for Remote {
    fn node(&self) -> NodeId {
        self.link.node()
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        // Noted first: the answer may be faster than this thread.
        let open = message.body.as_ref().and_then(Open::of);
        open.into_iter().for_each(|open| self.unanswered.lock().note(open));
        let sent = self.link.send(message);
        if sent.is_err() {
            open.into_iter().for_each(|open| _ = self.unanswered.lock().forget(open));
        }
        sent
    }

    fn is_up(&self) -> bool {
        self.link.is_connected()
    }
}

/// What the link tells.
pub(crate) struct Events(pub Arc<Remote>);

impl LinkEvents for Events {
    fn deliver(&self, message: ToConnector) {
        let passes = self.0.unanswered.lock().passes(&message);
        if passes {
            self.0.incoming.deliver(message);
        }
    }

    fn opening(&self) -> Option<ToChannel> {
        let announce = Announce { anew: true, ..Announce::default() };
        Some(ToChannel { body: Some(to_channel::Body::Announce(announce)) })
    }

    fn began(&self) {
        self.0.tasks.spawn(self.0.clone().announce(|_, _| true));
    }

    fn ended(&self) {
        let Unanswered { requests, attaches } = std::mem::take(&mut *self.0.unanswered.lock());
        let core = &self.0.core;
        for (device, epoch, re) in requests {
            Open::Request(device, epoch, re).refuse(core, Code::OUTCOME_UNKNOWN);
        }
        for attach_id in attaches {
            Open::Attach(attach_id).refuse(core, Code::UNAVAILABLE);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Proto as _;
    use protocol::node::v1::{Attached, Reply, Target};
    use protocol::v1::ServerFrame;

    use super::*;

    #[test]
    fn an_answer_passes_once_and_only_where_it_is_owed() {
        let reply = |device_id, re| {
            let frame = ServerFrame { session_seq: 0, re, body: None }.encode_to_vec().into();
            let target = Some(Target { device_id, epoch: 1 });
            ToConnector { body: Some(to_connector::Body::Reply(Reply { target, frame })) }
        };
        let mut unanswered = Unanswered::default();
        unanswered.note(Open::Request(7, 1, 3));
        assert!(!unanswered.passes(&reply(7, 2)), "it was answered when an earlier session ended");
        assert!(!unanswered.passes(&reply(8, 3)));
        assert!(unanswered.passes(&reply(7, 3)));
        assert!(!unanswered.passes(&reply(7, 3)));
        // Of a login that is known no more the route has to be taken back.
        let late = to_connector::Body::Attached(Attached { attach_id: 9, outcome: None });
        assert!(unanswered.passes(&ToConnector { body: Some(late) }));
    }
}
