//! The users that devices watch, and what each is told when it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use idgen::NodeId;
use parking_lot::Mutex;
use prost::Message as _;
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::limit::{MAX_FRAME_BYTES, MAX_USER_BYTES, MAX_WATCHED};
use protocol::node::v1::{
    AnnouncedSession, Identity, Presences, Push, Target, ToConnector, peer, to_connector,
};
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watching, presence};
use storage::presence::{PresenceState, Standing};
use storage::{ConversationKey, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::links::Links;
use crate::peers::Peers;
use crate::presence::{Noted, Presence, Watcher};
use crate::reply::{Asker, Replies, refused_by_store};
use crate::routes::{Routes, Seen};
use crate::subscriptions::USERS_AT_ONCE;
use crate::user_key::{UserKey, UserRef};

/// Most members of one conversation that a device watches: those first by user id.
pub const MAX_WATCHED_MEMBERS: usize = 200;
/// Most users that a device watches; `Watching` names them all in one frame.
pub const MAX_WATCHED_USERS: usize = 768;
/// Bytes of one `Presence` in `Watching` beside the user id.
const PRESENCE_OVERHEAD: usize = 20;

const _: () = assert!(MAX_WATCHED_USERS * (MAX_USER_BYTES + PRESENCE_OVERHEAD) + 64 < MAX_FRAME_BYTES);

/// Sessions whose watches are restored at once.
const RESTORED_AT_ONCE: usize = 8;

/// The watched users of this node, and the users whose state may have changed.
pub struct Watches {
    pub(crate) presence: Mutex<Presence>,
    /// Wakes the teller. Changes wait in the core, one per user: the newest state is all that matters.
    pub(crate) wake: Notify,
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    links: Arc<Links>,
    peers: Option<Arc<Peers>>,
    places: Semaphore,
}

impl Watches {
    pub fn new(
        store: Arc<dyn Store>,
        routes: Arc<Routes>,
        links: Arc<Links>,
        peers: Option<Arc<Peers>>,
    ) -> Self {
        let (presence, wake, places) = (Mutex::default(), Notify::new(), Semaphore::new(RESTORED_AT_ONCE));
        Self { presence, wake, store, routes, links, peers, places }
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
        let (tenant, user) = (identity.tenant.as_str(), identity.user.as_str());
        let watcher = Watcher { device: asker.device, epoch: asker.epoch, connector: asker.connector };
        let watched = match self.set(watcher, tenant, user, &watch.conversations).await {
            Ok(Some(watched)) => watched,
            Ok(None) => return,
            Err(refused) => return replies.refuse(asker, refused),
        };
        let presences = match self.states(tenant, watched).await {
            Ok(presences) => presences,
            Err(refused) => return replies.refuse(asker, refused),
        };
        replies.body(asker, Body::Watching(Watching { presences: presences.clone() }));
        self.tell_changed_again(tenant, presences);
    }

    /// Has a session that another node knew watch what it watched there. It is told of changes from now on, and of all,
    /// as it is then, once `settled` has come.
    pub async fn restore(&self, connector: NodeId, session: AnnouncedSession, settled: Instant) {
        let (tenant, user) = (session.tenant.as_str(), session.user.as_str());
        let Some(Target { device_id: device, epoch }) = session.target else { return };
        let watcher = Watcher { device, epoch, connector };
        let set = {
            let Ok(_place) = self.places.acquire().await else { return };
            self.set(watcher, tenant, user, &session.watched).await
        };
        match set {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(refused) => return tracing::debug!(%refused, user, "a watch is not restored"),
        }
        tokio::time::sleep_until(settled).await;
        let Ok(_place) = self.places.acquire().await else { return };
        self.tell_all(watcher, tenant, true).await;
    }

    /// Replaces what a device watches; whom it watches then. `None` if its session is over.
    async fn set(
        &self,
        watcher: Watcher,
        tenant: &str,
        user: &str,
        conversations: &[String],
    ) -> Result<Option<Vec<String>>, Refused> {
        let users = self.members_of(tenant, user, conversations).await?;
        let mut watched = Vec::new();
        let names = users.iter().map(String::as_str);
        self.presence.lock().watch(watcher, tenant, names, |user| watched.push(user.to_owned()));
        // A farewell that came before the line above found nothing to forget.
        if !self.routes.has(tenant, user, watcher.device, watcher.epoch) {
            self.forget(watcher.device, watcher.epoch);
            return Ok(None);
        }
        if let Some(peers) = &self.peers {
            peers.watch(tenant, &watched);
        }
        Ok(Some(watched))
    }

    /// Tells a device the present state of everybody it watches. With `last_seen` the store is asked when those were
    /// last seen who are offline.
    pub async fn tell_all(&self, watcher: Watcher, tenant: &str, last_seen: bool) {
        let Watcher { device, epoch, connector } = watcher;
        let keys = self.presence.lock().watched_by(device, epoch).to_vec();
        if keys.is_empty() {
            return;
        }
        let users: Vec<String> = keys.iter().map(|key| key.texts().1.to_owned()).collect();
        let seen = self.seen_all(tenant, &users);
        let stored = match last_seen {
            true => self.stored(tenant, &users, &seen).await.unwrap_or_default(),
            false => BTreeMap::new(),
        };
        let presences = presences(users, &seen, &stored);
        let body = Some(Body::Watching(Watching { presences: presences.clone() }));
        let frame = ServerFrame { session_seq: 0, re: 0, body }.encode_to_vec().into();
        let targets = vec![Target { device_id: device, epoch }];
        let push = Push { targets, frame, ..Default::default() };
        self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        self.tell_changed_again(tenant, presences);
    }

    /// Tells the watchers here of a user's state; how many.
    pub fn push(&self, user: &UserKey, state: PresenceState, since_ms: i64) -> usize {
        let watchers = self.presence.lock().watchers(user);
        if watchers.is_empty() {
            return 0;
        }
        let presence = told(user.texts().1.to_owned(), state, since_ms);
        let frame = ServerFrame { session_seq: 0, re: 0, body: Some(Body::Presence(presence)) };
        let frame = Bytes::from(frame.encode_to_vec());
        let mut targets: BTreeMap<NodeId, Vec<Target>> = BTreeMap::new();
        for watcher in &watchers {
            let target = Target { device_id: watcher.device, epoch: watcher.epoch };
            targets.entry(watcher.connector).or_default().push(target);
        }
        for (connector, targets) in targets {
            let push = Push { targets, frame: frame.clone(), ..Default::default() };
            self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        }
        watchers.len()
    }

    /// Tells another node how users are; false if it is not on its way. Of whom no route is known although there may be
    /// one, nothing is said yet.
    pub fn tell_peer(&self, node: NodeId, users: &[Arc<UserKey>]) -> bool {
        let Some(peers) = &self.peers else { return true };
        let tenant_of = |user: &Arc<UserKey>| user.texts().0.to_owned();
        let mut all = true;
        for of_tenant in users.chunk_by(|one, other| one.texts().0 == other.texts().0) {
            for page in of_tenant.chunks(USERS_AT_ONCE) {
                let tenant = tenant_of(&page[0]);
                let own = page.iter().map(|user| user.texts().1).filter(|user| peers.owns(&tenant, user));
                let state = |user: &str| {
                    let seen = self.seen(&tenant, user)?;
                    Some(told(user.to_owned(), seen.shown(), seen.since_ms))
                };
                let presences: Vec<v1::Presence> = own.filter_map(state).collect();
                let said = Presences { tenant: tenant.clone(), presences: presences.clone() };
                all &= presences.is_empty() || peers.say(node, peer::Body::Presences(said));
                self.tell_changed_again(&tenant, presences);
            }
        }
        all
    }

    /// Everybody whom devices here watch.
    pub fn watched_users(&self) -> Vec<Arc<UserKey>> {
        self.presence.lock().watched_users()
    }

    /// Whether a device here watches a user.
    pub fn is_watched(&self, user: &UserKey) -> bool {
        self.presence.lock().is_watched(user)
    }

    /// Which of these users are online.
    pub async fn online(&self, tenant: &str, users: &[String]) -> Result<Vec<bool>, Refused> {
        let seen = self.seen_all(tenant, users);
        let stored = match seen.contains(&None) {
            true => self.stored(tenant, users, &seen).await?,
            false => BTreeMap::new(),
        };
        let online = |(user, seen): (&String, &Option<Seen>)| match seen {
            Some(seen) => seen.actual != PresenceState::Offline,
            None => stored.get(user).is_some_and(|standing| standing.state != PresenceState::Offline),
        };
        Ok(users.iter().zip(&seen).map(online).collect())
    }

    /// A change told between reading a state and telling it would be undone: it is told again.
    fn tell_changed_again(&self, tenant: &str, presences: Vec<v1::Presence>) {
        for told in presences {
            let Some(seen) = self.seen(tenant, &told.user) else { continue };
            if told.state == i32::from(wire(seen.shown())) {
                continue;
            }
            if self.peers.as_ref().is_some_and(|peers| !peers.owns(tenant, &told.user)) {
                let user = UserKey::from(&UserRef { tenant, user: &told.user });
                self.push(&user, seen.shown(), seen.since_ms);
            } else {
                self.note(tenant, &told.user, Noted { again: true, ..Noted::default() });
            }
        }
    }

    /// The states of users now; of who is offline, when last seen.
    async fn states(&self, tenant: &str, users: Vec<String>) -> Result<Vec<v1::Presence>, Refused> {
        let seen = self.seen_all(tenant, &users);
        let stored = self.stored(tenant, &users, &seen).await?;
        if let Some(peers) = &self.peers {
            peers.assume(tenant, &stored);
        }
        Ok(presences(users, &seen, &stored))
    }

    /// A user's state; `None` if the stream has to say: nothing is known yet of who belongs to another node, or is
    /// perhaps about to be told of.
    pub(crate) fn seen(&self, tenant: &str, user: &str) -> Option<Seen> {
        let here = || self.routes.seen(tenant, user);
        match &self.peers {
            Some(peers) => peers.seen(tenant, user, here),
            None => Some(here()),
        }
    }

    fn seen_all(&self, tenant: &str, users: &[String]) -> Vec<Option<Seen>> {
        users.iter().map(|user| self.seen(tenant, user)).collect()
    }

    /// What the stream says of those who are offline, and of those whom only it knows.
    async fn stored(
        &self,
        tenant: &str,
        users: &[String],
        seen: &[Option<Seen>],
    ) -> Result<BTreeMap<String, Standing>, Refused> {
        let asked = |seen: &Option<Seen>| seen.is_none_or(|seen| seen.shown() == PresenceState::Offline);
        let asked: Vec<(String, bool)> = users
            .iter()
            .zip(seen)
            .filter(|(_, seen)| asked(seen))
            .map(|(user, seen)| (user.clone(), seen.is_none()))
            .collect();
        let names: Vec<String> = asked.iter().map(|(user, _)| user.clone()).collect();
        let standings = match self.store.presence().filter(|_| !names.is_empty()) {
            Some(stream) => stream.standings(tenant, &names).await.map_err(refused_by_store)?,
            None => Vec::new(),
        };
        let stored = asked
            .into_iter()
            .zip(standings)
            .filter_map(|((user, only), standing)| Some((user, only, standing?)))
            // Who is present in the stream and not here was there before a restart: when last seen is not known yet.
            .filter(|(_, only, standing)| *only || standing.state == PresenceState::Offline)
            .map(|(user, _, standing)| (user, standing));
        Ok(stored.collect())
    }

    /// The members of conversations, all of which must be the asking user's.
    async fn members_of(
        &self,
        tenant: &str,
        user: &str,
        conversations: &[String],
    ) -> Result<BTreeSet<String>, Refused> {
        check::at_most("conversations", conversations.len(), MAX_WATCHED)?;
        let mut users = BTreeSet::new();
        for conversation in conversations {
            check::conversation(conversation)?;
            let key = ConversationKey::new(tenant, conversation.as_str());
            let mine = self.store.member(&key, user).await.map_err(refused_by_store)?;
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

fn presences(
    users: Vec<String>,
    seen: &[Option<Seen>],
    stored: &BTreeMap<String, Standing>,
) -> Vec<v1::Presence> {
    let state = |(user, seen): (String, &Option<Seen>)| {
        let standing = stored.get(&user);
        let state = match (seen, standing) {
            (Some(seen), _) => seen.shown(),
            (None, Some(standing)) => standing.state,
            (None, None) => PresenceState::Offline,
        };
        let since_ms = match (standing, seen) {
            (Some(standing), _) => standing.since_ms,
            (None, seen) => seen.map_or(0, |seen| seen.since_ms),
        };
        told(user, state, since_ms)
    };
    users.into_iter().zip(seen).map(state).collect()
}

/// A user's state as devices are told.
pub(crate) fn told(user: String, state: PresenceState, since_ms: i64) -> v1::Presence {
    v1::Presence { user, online: state != PresenceState::Offline, since_ms, state: wire(state).into() }
}

pub(crate) fn wire(state: PresenceState) -> presence::State {
    match state {
        PresenceState::Offline => presence::State::Offline,
        PresenceState::Away => presence::State::Away,
        PresenceState::Online => presence::State::Online,
    }
}
