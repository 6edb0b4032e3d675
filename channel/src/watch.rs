//! The users that devices watch, and what each is told when it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use idgen::NodeId;
use parking_lot::Mutex;
use prost::Message as _;
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::limit::{MAX_FRAME_BYTES, MAX_USER_BYTES, MAX_WATCHED};
use protocol::node::v1::{Identity, Push, Target, ToConnector, to_connector};
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watching, presence};
use storage::presence::PresenceState;
use storage::{ConversationKey, Store};
use tokio::sync::Notify;

use crate::links::Links;
use crate::presence::{Noted, Presence, Watcher};
use crate::reply::{Asker, Replies, refused_by_store};
use crate::routes::{Routes, Seen};

/// Most members of one conversation that a device watches: those first by user id.
pub const MAX_WATCHED_MEMBERS: usize = 200;
/// Most users that a device watches; `Watching` names them all in one frame.
pub const MAX_WATCHED_USERS: usize = 768;
/// Bytes of one `Presence` in `Watching` beside the user id.
const PRESENCE_OVERHEAD: usize = 20;

const _: () = assert!(MAX_WATCHED_USERS * (MAX_USER_BYTES + PRESENCE_OVERHEAD) + 64 < MAX_FRAME_BYTES);

/// The watched users of this node, and the users whose state may have changed.
pub struct Watches {
    pub(crate) presence: Mutex<Presence>,
    /// Wakes the teller. Changes wait in the core, one per user: the newest state is all that matters.
    pub(crate) wake: Notify,
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
}

impl Watches {
    pub fn new(store: Arc<dyn Store>, routes: Arc<Routes>) -> Self {
        Self { presence: Mutex::default(), wake: Notify::new(), store, routes }
    }

    /// The user's routes have changed, or one of them has. Called after it.
    pub fn changed(&self, tenant: &str, user: &str) {
        self.note(tenant, user, Noted::default());
    }

    /// Has the teller look at a user.
    pub fn note(&self, tenant: &str, user: &str, why: Noted) {
        self.presence.lock().note(tenant, user, why);
        self.wake.notify_one();
    }

    /// A session is over, and with it what it watched.
    pub fn forget(&self, device: u64, epoch: u64) {
        self.presence.lock().forget(device, epoch);
    }

    /// A connector is gone, and with it every session.
    pub fn forget_connector(&self, connector: NodeId) {
        self.presence.lock().forget_connector(connector);
    }

    /// Whether a device watches anybody in this session.
    pub fn watches(&self, device: u64, epoch: u64) -> bool {
        !self.presence.lock().watched_by(device, epoch).is_empty()
    }

    /// Devices that watch somebody.
    pub fn watcher_count(&self) -> usize {
        self.presence.lock().watcher_count()
    }

    /// Handles SetPresence.
    pub fn set_presence(&self, replies: &Replies, asker: Asker, me: &Identity, away: bool) {
        let (tenant, user) = (me.tenant.as_str(), me.user.as_str());
        if !self.routes.set_away(tenant, user, asker.device, asker.epoch, away) {
            return replies.refuse(asker, Code::UNAVAILABLE);
        }
        self.changed(tenant, user);
        let seen = self.routes.seen(tenant, user);
        replies.body(asker, Body::Presence(told(me.user.clone(), seen.actual, seen.since_ms)));
    }

    /// Handles Watch: replaces what the device watches and answers with the present states.
    pub async fn watch(&self, replies: &Replies, asker: Asker, identity: &Identity, watch: v1::Watch) {
        let users = match self.members_of(identity, &watch.conversations).await {
            Ok(users) => users,
            Err(refused) => return replies.refuse(asker, refused),
        };
        let tenant = identity.tenant.as_str();
        let watcher = Watcher { device: asker.device, epoch: asker.epoch, connector: asker.connector };
        let mut watched = Vec::new();
        let names = users.iter().map(String::as_str);
        self.presence.lock().watch(watcher, tenant, names, |user| watched.push(user.to_owned()));
        // A farewell that came before the line above found nothing to forget.
        if !self.routes.has(tenant, &identity.user, asker.device, asker.epoch) {
            return self.forget(asker.device, asker.epoch);
        }
        let presences = match self.states(tenant, watched).await {
            Ok(presences) => presences,
            Err(refused) => return replies.refuse(asker, refused),
        };
        replies.body(asker, Body::Watching(Watching { presences: presences.clone() }));
        self.tell_changed_again(tenant, presences);
    }

    /// Tells a device the present state of everybody it watches. With `last_seen` the store is asked when those were
    /// last seen who are offline.
    pub async fn tell_all(&self, links: &Links, watcher: Watcher, tenant: &str, last_seen: bool) {
        let Watcher { device, epoch, connector } = watcher;
        let keys = self.presence.lock().watched_by(device, epoch).to_vec();
        let users: Vec<String> = keys.iter().map(|key| key.texts().1.to_owned()).collect();
        let seen = self.seen(tenant, &users);
        let last = match last_seen {
            true => self.last_seen(tenant, &users, &seen).await.unwrap_or_default(),
            false => BTreeMap::new(),
        };
        let presences = presences(users, &seen, &last);
        let body = Some(Body::Watching(Watching { presences: presences.clone() }));
        let frame = ServerFrame { session_seq: 0, re: 0, body }.encode_to_vec().into();
        let targets = vec![Target { device_id: device, epoch }];
        let push = Push { targets, frame, ..Default::default() };
        links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        self.tell_changed_again(tenant, presences);
    }

    /// A change told between reading a state and telling it would be undone: it is told again.
    fn tell_changed_again(&self, tenant: &str, presences: Vec<v1::Presence>) {
        for told in presences {
            if told.state != i32::from(wire(self.routes.seen(tenant, &told.user).shown())) {
                self.note(tenant, &told.user, Noted { again: true, ..Noted::default() });
            }
        }
    }

    /// The states of users now; of who is offline, when last seen.
    async fn states(&self, tenant: &str, users: Vec<String>) -> Result<Vec<v1::Presence>, Refused> {
        let seen = self.seen(tenant, &users);
        let last = self.last_seen(tenant, &users, &seen).await?;
        Ok(presences(users, &seen, &last))
    }

    fn seen(&self, tenant: &str, users: &[String]) -> Vec<Seen> {
        users.iter().map(|user| self.routes.seen(tenant, user)).collect()
    }

    /// When those users who are offline were last seen.
    async fn last_seen(
        &self,
        tenant: &str,
        users: &[String],
        seen: &[Seen],
    ) -> Result<BTreeMap<String, i64>, Refused> {
        let offline = |(_, seen): &(&String, &Seen)| seen.shown() == PresenceState::Offline;
        let gone: Vec<String> =
            users.iter().zip(seen).filter(offline).map(|(user, _)| user.clone()).collect();
        let last = match self.store.presence().filter(|_| !gone.is_empty()) {
            Some(stream) => stream.standings(tenant, &gone).await.map_err(refused_by_store)?,
            None => Vec::new(),
        };
        let last = gone
            .into_iter()
            .zip(last)
            .filter_map(|(user, standing)| Some((user, standing?)))
            // Who is present in the stream and not here was there before a restart: when last seen is not known yet.
            .filter(|(_, standing)| standing.state == PresenceState::Offline)
            .map(|(user, standing)| (user, standing.since_ms));
        Ok(last.collect())
    }

    /// The members of conversations, all of which must be the asking user's.
    async fn members_of(&self, me: &Identity, conversations: &[String]) -> Result<BTreeSet<String>, Refused> {
        check::at_most("conversations", conversations.len(), MAX_WATCHED)?;
        let mut users = BTreeSet::new();
        for conversation in conversations {
            check::conversation(conversation)?;
            let key = ConversationKey::new(me.tenant.as_str(), conversation.as_str());
            let mine = self.store.member(&key, &me.user).await.map_err(refused_by_store)?;
            if !mine.is_some_and(|mine| mine.member.is_active()) {
                return Err(Code::NOT_FOUND.into());
            }
            let rows = self.store.members(&key, "", MAX_WATCHED_MEMBERS).await.map_err(refused_by_store)?;
            let room = MAX_WATCHED_USERS.saturating_sub(users.len());
            users.extend(rows.into_iter().take(room).map(|row| row.user));
        }
        Ok(users)
    }
}

fn presences(users: Vec<String>, seen: &[Seen], last: &BTreeMap<String, i64>) -> Vec<v1::Presence> {
    let state = |(user, seen): (String, &Seen)| {
        let since_ms = last.get(&user).copied().unwrap_or(seen.since_ms);
        told(user, seen.shown(), since_ms)
    };
    users.into_iter().zip(seen).map(state).collect()
}

/// A user's state as devices are told.
pub(crate) fn told(user: String, state: PresenceState, since_ms: i64) -> v1::Presence {
    v1::Presence { user, online: state != PresenceState::Offline, since_ms, state: wire(state).into() }
}

fn wire(state: PresenceState) -> presence::State {
    match state {
        PresenceState::Offline => presence::State::Offline,
        PresenceState::Away => presence::State::Away,
        PresenceState::Online => presence::State::Online,
    }
}
