//! One frame for many users: their routes, grouped into one push per connector.

use std::sync::Arc;

use bytes::Bytes;
use idgen::NodeId;
use protocol::node::v1::{Push as ConnectorPush, Target, ToConnector, to_connector};
use storage::ConversationKey;

use crate::conversation::action::{Except, Push, Telling};
use crate::links::Links;
use crate::routes::{Route, Routes};
use crate::samples::{PushSample, Samples};

/// Sends pushes. Of one task: it keeps its grouping table between pushes.
pub struct Fanout {
    routes: Arc<Routes>,
    links: Arc<Links>,
    groups: Vec<Group>,
    samples: Arc<Samples>,
}

struct Group {
    connector: NodeId,
    targets: Vec<Target>,
}

impl Fanout {
    pub fn new(routes: Arc<Routes>, links: Arc<Links>, samples: Arc<Samples>) -> Fanout {
        Fanout { routes, links, groups: Vec::new(), samples }
    }

    /// The samples of this task.
    pub fn samples(&self) -> &Samples {
        &self.samples
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
            self.routes.for_each(&key.tenant, receiver, |route| {
                if (route.device, route.epoch) != session {
                    add(groups, route);
                    sample.add(receiver, route.device);
                }
            });
        }
        for Group { connector, targets } in groups.drain(..) {
            let conversation = Bytes::copy_from_slice(key.conversation.as_bytes());
            let (frame, seq, telling) = (push.frame.clone(), push.seq, push.telling.into());
            let push = ConnectorPush { targets, frame, conversation, seq, telling };
            self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        }
        self.samples.pushed(sample);
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
