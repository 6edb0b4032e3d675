//! One frame for many users: their routes, grouped into one push per connector, and who belongs to other channel nodes,
//! grouped into one push per node.

use std::sync::Arc;

use bytes::Bytes;
use idgen::NodeId;
use protocol::limit::{MAX_FRAME_BYTES, MAX_LINK_MESSAGE_BYTES, MAX_USER_BYTES};
use protocol::node::v1::{Push as ConnectorPush, Target, ToConnector, UserPush, peer, to_connector};
use storage::ConversationKey;

use crate::conversation::action::{Except, Push, Telling};
use crate::links::Links;
use crate::peers::Peers;
use crate::routes::{Route, Routes};
use crate::samples::{PushSample, Samples};

/// Users in one push to another channel node.
const USERS_AT_ONCE: usize = 4_096;

const _: () =
    assert!(USERS_AT_ONCE * (MAX_USER_BYTES + 4) + MAX_FRAME_BYTES + 1_024 < MAX_LINK_MESSAGE_BYTES);

/// Sends pushes. Of one task: it keeps its grouping tables between pushes.
pub struct Fanout {
    routes: Arc<Routes>,
    links: Arc<Links>,
    /// `None` where this node is the only one.
    peers: Option<Arc<Peers>>,
    groups: Vec<Group>,
    elsewhere: Vec<(NodeId, Vec<Arc<str>>)>,
    samples: Arc<Samples>,
}

struct Group {
    connector: NodeId,
    targets: Vec<Target>,
}

impl Fanout {
    pub fn new(
        routes: Arc<Routes>,
        links: Arc<Links>,
        peers: Option<Arc<Peers>>,
        samples: Arc<Samples>,
    ) -> Fanout {
        Fanout { routes, links, peers, groups: Vec::new(), elsewhere: Vec::new(), samples }
    }

    /// The samples of this task.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The other channel nodes.
    pub fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.as_ref()
    }

    /// Sends a push to every route of its users. Per receiver it costs a look-up and a target; the frame is shared.
    /// `now_ms` is for the samples.
    pub fn push(&mut self, key: &ConversationKey, push: Push, now_ms: i64) {
        let entry = push.telling == Telling::First && matches!(push.except, Except::Session { .. });
        let committed = if entry { push.seq } else { 0 };
        let mut sample = PushSample::new(key, committed, now_ms);
        let (session, user) = match &push.except {
            Except::Nobody => ((0, 0), ""),
            Except::Session { device, epoch } => ((*device, *epoch), ""),
            Except::User(user) => ((0, 0), user.as_str()),
        };
        let groups = &mut self.groups;
        for receiver in push.users.iter().filter(|receiver| &***receiver != user) {
            // Also of users who are another node's: they may be on their way there.
            self.routes.for_each(&key.tenant, receiver, |route| {
                if (route.device, route.epoch) != session {
                    add(groups, route);
                    sample.add(receiver, route.device);
                }
            });
        }
        self.push_elsewhere(key, &push, session, user);
        let conversation = || Bytes::copy_from_slice(key.conversation.as_bytes());
        self.deliver(conversation, &push.frame, push.seq, push.telling);
        self.samples.pushed(sample);
    }

    /// Sends a push of another channel node to every route of its users.
    pub fn pass_on(&mut self, push: &UserPush) {
        let session = push.except.unwrap_or_default();
        let groups = &mut self.groups;
        for user in &push.users {
            self.routes.for_each(&push.tenant, user, |route| {
                if (route.device, route.epoch) != (session.device_id, session.epoch) {
                    add(groups, route);
                }
            });
        }
        self.deliver(|| push.conversation.clone(), &push.frame, push.seq, push.telling());
    }

    fn push_elsewhere(&mut self, key: &ConversationKey, push: &Push, session: (u64, u64), user: &str) {
        let Some(peers) = &self.peers else { return };
        let Some(view) = peers.shared_view() else { return };
        for receiver in push.users.iter().filter(|receiver| &***receiver != user) {
            let Some(owner) = peers.elsewhere(&view, &key.tenant, receiver) else { continue };
            match self.elsewhere.iter_mut().find(|(node, _)| *node == owner) {
                Some((_, users)) => users.push(receiver.clone()),
                None => self.elsewhere.push((owner, vec![receiver.clone()])),
            }
        }
        let (device_id, epoch) = session;
        for (node, users) in self.elsewhere.drain(..) {
            for page in users.chunks(USERS_AT_ONCE) {
                let push = UserPush {
                    tenant: key.tenant.to_string(),
                    users: page.iter().map(ToString::to_string).collect(),
                    frame: push.frame.clone(),
                    conversation: Bytes::copy_from_slice(key.conversation.as_bytes()),
                    seq: push.seq,
                    telling: push.telling.into(),
                    except: (device_id != 0).then_some(Target { device_id, epoch }),
                };
                peers.say(node, peer::Body::Push(push));
            }
        }
    }

    fn deliver(&mut self, conversation: impl Fn() -> Bytes, frame: &Bytes, seq: u64, telling: Telling) {
        for Group { connector, targets } in self.groups.drain(..) {
            let (frame, conversation, telling) = (frame.clone(), conversation(), telling.into());
            let push = ConnectorPush { targets, frame, conversation, seq, telling };
            self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        }
    }
}

/// Connectors are few, so a list is searched faster than a map.
fn add(groups: &mut Vec<Group>, route: &Route) {
    let target = Target { device_id: route.device, epoch: route.epoch };
    match groups.iter_mut().find(|group| group.connector == route.connector) {
        Some(group) => group.targets.push(target),
        None => groups.push(Group { connector: route.connector, targets: vec![target] }),
    }
}
