//! What another channel node says.

use std::sync::Arc;

use cluster::{ChannelLink, LinkError};
use idgen::NodeId;
use parking_lot::Mutex;
use protocol::check;
use protocol::node::v1::{Presences, Subscribe, ToChannel, peer, to_channel};
use protocol::v1::{self, presence::State};
use storage::presence::PresenceState;

use crate::fanout::Fanout;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::subscriptions::USERS_AT_ONCE;
use crate::user_key::{UserKey, UserRef};
use crate::watch::Watches;

/// One peer's way to this node. Calls go straight through, so nothing can be reordered.
pub struct PeerLink {
    pub me: NodeId,
    pub from: NodeId,
    pub peers: Arc<Peers>,
    pub fanout: Mutex<Fanout>,
    pub watches: Arc<Watches>,
    pub login: Arc<Login>,
    pub metrics: Arc<Metrics>,
}

impl ChannelLink for PeerLink {
    fn node(&self) -> NodeId {
        self.me
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        match message.body {
            Some(to_channel::Body::Peer(said)) => self.hear(said.body),
            // A newer node's message; there is nobody to tell.
            None => {}
            Some(_) => tracing::warn!(from = %self.from, "a channel node says what only connectors say"),
        }
        Ok(())
    }
}

impl PeerLink {
    fn hear(&self, body: Option<peer::Body>) {
        match body {
            Some(peer::Body::Push(push)) => {
                self.metrics.peer_pushes.add(1);
                self.fanout.lock().pass_on(&push);
            }
            Some(peer::Body::Subscribe(asked)) => self.subscribe(asked),
            Some(peer::Body::Presences(told)) => self.told(told),
            Some(peer::Body::Epoch(epoch)) => self.login.raise_epoch(epoch.latest),
            None => {}
        }
    }

    fn subscribe(&self, asked: Subscribe) {
        if check::tenant(&asked.tenant).is_err() || asked.users.len() > USERS_AT_ONCE {
            return tracing::warn!(from = %self.from, "a channel node asks for what cannot be");
        }
        let key = |user: &String| Arc::new(UserKey::from(&UserRef { tenant: &asked.tenant, user }));
        let users: Vec<_> = asked.users.iter().map(key).collect();
        let mut subscriptions = self.peers.subscriptions.lock();
        users.iter().for_each(|user| subscriptions.subscribe(self.from, user.clone(), asked.over));
        drop(subscriptions);
        if !asked.over && !self.watches.tell_peer(self.from, &users) {
            self.peers.fell_behind(self.from);
        }
    }

    /// Tells the devices here that watch.
    fn told(&self, told: Presences) {
        let view = self.peers.view();
        for presence in told.presences {
            // Only a user's owner knows. Who has been the owner, or will be, says the same or too little.
            let owner = self.peers.elsewhere(&view, &told.tenant, &presence.user);
            if owner != Some(self.from) {
                continue;
            }
            let user = UserKey::from(&UserRef { tenant: &told.tenant, user: &presence.user });
            let said = (state_of(&presence), presence.since_ms);
            let news = self.peers.subscriptions.lock().told(&user, said);
            if let Some((state, since_ms)) = news {
                self.watches.push(&user, state, since_ms);
            }
        }
    }
}

fn state_of(presence: &v1::Presence) -> PresenceState {
    match presence.state() {
        State::Away => PresenceState::Away,
        State::Online => PresenceState::Online,
        _ => PresenceState::Offline,
    }
}
