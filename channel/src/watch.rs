//! Tells watching devices who comes and goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use idgen::{Clock, NodeId};
use parking_lot::Mutex;
use prost::Message as _;
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::limit::{MAX_FRAME_BYTES, MAX_USER_BYTES, MAX_WATCHED};
use protocol::node::v1::{Identity, Push, Target, ToConnector, to_connector};
use protocol::v1::server_frame::Body;
use protocol::v1::{self, ServerFrame, Watching};
use storage::{ConversationKey, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::links::Links;
use crate::metrics::Metrics;
use crate::presence::{Presence, Watcher};
use crate::reply::{Asker, Replies, refused_by_store};
use crate::routes::Routes;

/// Most members of one conversation that a device watches: those first by user id.
pub const MAX_WATCHED_MEMBERS: usize = 200;
/// Most users that a device watches; `Watching` names them all in one frame.
pub const MAX_WATCHED_USERS: usize = 768;
/// Changes taken from the core at a time; what changes meanwhile is told once, as it is then.
const CHANGES_AT_ONCE: usize = 64;
/// Bytes of one `Presence` in `Watching` beside the user id.
const PRESENCE_OVERHEAD: usize = 16;

const _: () = assert!(MAX_WATCHED_USERS * (MAX_USER_BYTES + PRESENCE_OVERHEAD) + 64 < MAX_FRAME_BYTES);

/// The watched users of this node, and the task that tells their watchers.
pub struct Watches {
    presence: Mutex<Presence>,
    /// Wakes the teller. Changes wait in the core, one per watched user: the newest state is all that matters.
    wake: Notify,
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    links: Arc<Links>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Watches {
    pub fn new(
        store: Arc<dyn Store>,
        routes: Arc<Routes>,
        links: Arc<Links>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (presence, wake) = (Mutex::default(), Notify::new());
        Self { presence, wake, store, routes, links, clock, metrics }
    }

    /// The user's first route came or the last one went. Called after the routes have changed.
    pub fn changed(&self, tenant: &str, user: &str) {
        if self.presence.lock().note(tenant, user) {
            self.wake.notify_one();
        }
    }

    /// A connection is gone, and with it what it watched.
    pub fn forget(&self, device: u64, epoch: u64) {
        self.presence.lock().forget(device, epoch);
    }

    /// Devices that watch somebody.
    pub fn watcher_count(&self) -> usize {
        self.presence.lock().watcher_count()
    }

    /// Handles Watch: replaces what the device watches and answers with the present states.
    pub async fn watch(&self, replies: &Replies, asker: Asker, identity: &Identity, watch: v1::Watch) {
        let users = match self.members_of(identity, &watch.conversations).await {
            Ok(users) => users,
            Err(refused) => return replies.refuse(asker, refused),
        };
        let tenant = identity.tenant.as_str();
        let watcher = Watcher { device: asker.device, epoch: asker.epoch, connector: asker.connector };
        self.presence.lock().watch(watcher, tenant, users.iter().map(String::as_str));
        // A farewell that came before the line above found nothing to forget.
        if !self.routes.has(tenant, &identity.user, asker.device, asker.epoch) {
            return self.forget(asker.device, asker.epoch);
        }
        let told: Vec<v1::Presence> = users.into_iter().map(|user| self.state(tenant, user, 0)).collect();
        replies.body(asker, Body::Watching(Watching { presences: told.clone() }));
        // A change told between reading the state and the answer would be undone by the answer: tell it again.
        for told in told.iter().filter(|told| told.online != self.routes.is_online(tenant, &told.user)) {
            self.changed(tenant, &told.user);
        }
    }

    /// Tells changes until stopped. One task, so the last state told of a user is the newest.
    pub async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.wake.notified()).await.is_some() {
            self.tell_changes();
        }
    }

    fn tell_changes(&self) {
        loop {
            let changes = self.presence.lock().take(CHANGES_AT_ONCE);
            if changes.is_empty() {
                return;
            }
            for (key, watchers) in changes {
                let (tenant, user) = key.texts();
                let state = self.state(tenant, user.to_owned(), self.clock.unix_millis());
                self.tell(state, &watchers);
            }
        }
    }

    fn tell(&self, state: v1::Presence, watchers: &[Watcher]) {
        self.metrics.presence_changes.add(1);
        let frame = ServerFrame { session_seq: 0, re: 0, body: Some(Body::Presence(state)) };
        let frame = Bytes::from(frame.encode_to_vec());
        let mut targets: HashMap<NodeId, Vec<Target>> = HashMap::new();
        for watcher in watchers {
            let target = Target { device_id: watcher.device, epoch: watcher.epoch };
            targets.entry(watcher.connector).or_default().push(target);
        }
        for (connector, targets) in targets {
            let push = Push { targets, frame: frame.clone(), conversation: String::new(), seq: 0 };
            self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
        }
    }

    fn state(&self, tenant: &str, user: String, offline_since_ms: i64) -> v1::Presence {
        let since = self.routes.online_since(tenant, &user);
        v1::Presence { user, online: since.is_some(), since_ms: since.unwrap_or(offline_since_ms) }
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
