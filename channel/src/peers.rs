//! The other channel nodes of the cluster: who owns what, the ways to them, and what they have to be told.
//!
//! A node says what it has to say to another over the link that it has dialled. A push that does not get through is not
//! kept: its tip is told again within 9, 18 and 27 s, and while a node is not heard the owners of users make rounds
//! (`rounds`). Presence that does not get through is told as a whole when the way is there again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{ChannelLink, ConnectorLink, Membership, Slot, View};
use hashbrown::HashMap;
use idgen::NodeId;
use parking_lot::{Mutex, RwLock};
use protocol::node::v1::{Peer, ToChannel, peer, to_channel};
use storage::ConversationKey;
use storage::presence::{PresenceState, Standing};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::routes::Seen;
use crate::subscriptions::{Due, Subscriptions, Told, messages};
use crate::user_key::{UserKey, UserRef};

/// After a change of owners, or a start: for so long connectors may not have told of all their sessions, so nobody is
/// said to be offline because no route is known.
pub const UNSURE: Duration = Duration::from_secs(15);

/// The other channel nodes, as one of them sees them.
pub struct Peers {
    me: NodeId,
    membership: Arc<dyn Membership>,
    /// Links that this node has dialled.
    ways: RwLock<HashMap<NodeId, Arc<dyn ChannelLink>>>,
    /// Links that others have dialled.
    callers: Mutex<HashMap<NodeId, Arc<dyn ConnectorLink>>>,
    pub subscriptions: Mutex<Subscriptions>,
    /// Nodes that have to be told how all users are whom they watch.
    behind: Mutex<BTreeSet<NodeId>>,
    unsure_until: Mutex<Instant>,
    /// The latest view that has been followed: what changes with owners has been done.
    followed: RwLock<Arc<View>>,
    strays: AtomicBool,
    /// Something is to be said.
    pub wake: Notify,
}

impl Peers {
    /// A node that has just started.
    pub fn new(me: NodeId, membership: Arc<dyn Membership>) -> Peers {
        Peers {
            me,
            followed: RwLock::new(membership.snapshot()),
            membership,
            ways: RwLock::default(),
            callers: Mutex::default(),
            subscriptions: Mutex::default(),
            behind: Mutex::default(),
            unsure_until: Mutex::new(Instant::now() + UNSURE),
            strays: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The cluster as it is now.
    pub fn view(&self) -> Arc<View> {
        self.membership.snapshot()
    }

    /// And whenever it changes.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.membership.watch()
    }

    /// The node that owns a user, if it is another one. What nobody owns is anybody's.
    pub fn elsewhere(&self, view: &View, tenant: &str, user: &str) -> Option<NodeId> {
        self.other(view, Slot::of_user(tenant, user))
    }

    /// Whether a user is this node's.
    pub fn owns(&self, tenant: &str, user: &str) -> bool {
        self.elsewhere(&self.view(), tenant, user).is_none()
    }

    /// Whether a conversation is this node's.
    pub fn owns_conversation(&self, key: &ConversationKey) -> bool {
        self.other(&self.view(), Slot::of_conversation(&key.tenant, &key.conversation)).is_none()
    }

    fn other(&self, view: &View, slot: Slot) -> Option<NodeId> {
        view.owner(slot).filter(|owner| *owner != self.me)
    }

    /// The view, if other nodes own anything in it.
    pub fn shared_view(&self) -> Option<Arc<View>> {
        Some(self.view()).filter(|view| view.has_owners_beside(self.me))
    }

    /// Says something to another node. False if it is not on its way; it may be lost later too.
    pub fn say(&self, node: NodeId, body: peer::Body) -> bool {
        // The lock is released before the call: a link may call back.
        let way = self.ways.read().get(&node).cloned();
        let message = ToChannel { body: Some(to_channel::Body::Peer(Peer { body: Some(body) })) };
        way.is_some_and(|way| way.send(message).is_ok())
    }

    /// Every node that there is a way to, ascending.
    pub fn reachable(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.ways.read().keys().copied().collect();
        nodes.sort_unstable();
        nodes
    }

    /// Adds the way to a node, which may not know yet what was said to it before.
    pub fn add(&self, way: Arc<dyn ChannelLink>) {
        let node = way.node();
        self.ways.write().insert(node, way);
        self.began(node);
    }

    /// Takes the way to a node away.
    pub fn remove(&self, node: NodeId) {
        self.ways.write().remove(&node);
    }

    /// A session of the link to a node has begun: it knows nothing of what was said before.
    pub fn began(&self, node: NodeId) {
        self.subscriptions.lock().unask(node);
        self.fell_behind(node);
        self.wake.notify_one();
    }

    /// A node has missed something of presence. It is told when all are looked at.
    pub fn fell_behind(&self, node: NodeId) {
        self.behind.lock().insert(node);
    }

    /// Takes the nodes that have.
    pub fn take_behind(&self) -> BTreeSet<NodeId> {
        std::mem::take(&mut *self.behind.lock())
    }

    /// A node has dialled this one, or its link has a new connection. Whether a session begins.
    pub fn heard(&self, link: &Arc<dyn ConnectorLink>) -> bool {
        let before = self.callers.lock().insert(link.node(), link.clone());
        let begins = before.is_none_or(|before| !Arc::ptr_eq(&before, link));
        if begins {
            self.subscriptions.lock().forget(link.node());
        }
        begins
    }

    /// A node's link is over; false if it has a newer one.
    pub fn unheard(&self, link: &Arc<dyn ConnectorLink>) -> bool {
        let mut callers = self.callers.lock();
        let is_present = callers.get(&link.node()).is_some_and(|present| Arc::ptr_eq(present, link));
        if is_present {
            callers.remove(&link.node());
            self.subscriptions.lock().forget(link.node());
        }
        is_present
    }

    /// Whether every other node can be heard. What one that cannot has committed is told by nobody.
    pub fn hears_all(&self) -> bool {
        let (view, callers) = (self.view(), self.callers.lock());
        let mut others = view.channels().map(|record| record.node).filter(|node| *node != self.me);
        others.all(|node| callers.contains_key(&node))
    }

    /// How many other nodes can be heard.
    pub fn heard_count(&self) -> usize {
        self.callers.lock().len()
    }

    /// Owners have changed.
    pub fn owners_changed(&self) {
        *self.unsure_until.lock() = Instant::now() + UNSURE;
    }

    /// Whatever a view changes has been seen to.
    pub fn followed(&self, view: Arc<View>) {
        *self.followed.write() = view;
    }

    /// A connector has given a user's session to another node. If that is news, the view is behind, and more will go.
    pub fn left(&self, tenant: &str, user: &str) {
        if self.owns(tenant, user) {
            self.owners_changed();
        }
    }

    /// Until when routes may be missing that there are. A view counts from the moment it is there: whoever asks may be
    /// faster than the task that follows it.
    pub fn unsure_until(&self) -> Instant {
        let (view, followed) = (self.view(), self.followed.read());
        match Arc::ptr_eq(&view, &followed) || view.has_owners_of(&followed) {
            true => *self.unsure_until.lock(),
            false => Instant::now() + UNSURE,
        }
    }

    /// Whether they may.
    pub fn is_unsure(&self) -> bool {
        Instant::now() < self.unsure_until()
    }

    /// Owners have changed, or a user came who is another node's: routes of such users may be here.
    pub fn strayed(&self) {
        self.strays.store(true, Ordering::Relaxed);
    }

    /// Whether they may, since this was asked last.
    pub fn take_strayed(&self) -> bool {
        self.strays.swap(false, Ordering::Relaxed)
    }

    /// Notes a user who logs in here, or is announced.
    pub fn came(&self, tenant: &str, user: &str) {
        if !self.owns(tenant, user) {
            self.strayed();
        }
    }

    /// Devices here watch users. The owners of those who are elsewhere are asked.
    pub fn watch(&self, tenant: &str, users: &[String]) {
        let Some(view) = self.shared_view() else { return };
        let mut due = Vec::new();
        for user in users {
            if let Some(owner) = self.elsewhere(&view, tenant, user) {
                let key = Arc::new(UserKey::from(&UserRef { tenant, user }));
                due.extend(self.subscriptions.lock().want(&key, owner));
            }
        }
        self.ask(&due);
    }

    /// Owners have changed: of those watched users who have left this node, watchers know what was told last.
    pub fn watch_moved(&self, users: &[Arc<UserKey>], told: impl Fn(&str, &str) -> Told) {
        let Some(view) = self.shared_view() else { return };
        let mut subscriptions = self.subscriptions.lock();
        for key in users {
            let (tenant, user) = key.texts();
            if self.elsewhere(&view, tenant, user).is_some() {
                subscriptions.moved(key, || told(tenant, user));
            }
        }
    }

    /// Has every watched user's owner asked, and nobody else.
    pub fn watch_all(&self, is_watched: impl Fn(&UserKey) -> bool) {
        let view = self.view();
        let owner = |user: &UserKey| {
            let (tenant, user) = user.texts();
            self.elsewhere(&view, tenant, user)
        };
        let due = self.subscriptions.lock().due(owner, is_watched);
        self.ask(&due);
    }

    /// A user's state by what is known: of a user of another node what that has told; of this one's, `here`, unless a
    /// route may be missing.
    pub fn seen(&self, tenant: &str, user: &str, here: impl FnOnce() -> Seen) -> Option<Seen> {
        if self.owns(tenant, user) {
            let seen = here();
            return (seen.shown() != PresenceState::Offline || !self.is_unsure()).then_some(seen);
        }
        let known = self.subscriptions.lock().known(&UserKey::from(&UserRef { tenant, user }))?;
        let (state, since_ms) = known;
        Some(Seen { actual: state, told: state, since_ms })
    }

    /// Watchers here were told what the stream says of users.
    pub fn assume(&self, tenant: &str, stored: &BTreeMap<String, Standing>) {
        let mut subscriptions = self.subscriptions.lock();
        for (user, standing) in stored {
            let user = UserKey::from(&UserRef { tenant, user });
            subscriptions.assume(&user, (standing.state, standing.since_ms));
        }
    }

    fn ask(&self, due: &[Due]) {
        for (node, said) in messages(due) {
            let begins = !said.over;
            if !self.say(node, peer::Body::Subscribe(said)) && begins {
                self.subscriptions.lock().unask(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Seen;

    struct Cluster(watch::Sender<Arc<View>>);

    impl Membership for Cluster {
        fn snapshot(&self) -> Arc<View> {
            self.0.borrow().clone()
        }

        fn watch(&self) -> watch::Receiver<Arc<View>> {
            self.0.subscribe()
        }
    }

    const OFFLINE: Seen = Seen { actual: PresenceState::Offline, told: PresenceState::Offline, since_ms: 0 };

    fn node(kind: u64, number: u64) -> NodeId {
        NodeId::from_u64(kind << 60 | number << 48).unwrap()
    }

    fn owned_by(owner: NodeId) -> Arc<View> {
        Arc::new(View::single(node(1, 9), owner))
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_offline_for_want_of_a_route_after_a_change_of_owners() {
        let (me, other) = (node(2, 1), node(2, 2));
        let cluster = Arc::new(Cluster(watch::Sender::new(owned_by(other))));
        let peers = Peers::new(me, cluster.clone());
        tokio::time::advance(UNSURE).await;
        let state = || peers.seen("t", "u", || OFFLINE).map(|seen| seen.actual);
        assert!(!peers.is_unsure());

        cluster.0.send_replace(owned_by(me));
        assert_eq!((state(), peers.is_unsure()), (None, true), "nobody has followed this view");
        assert_eq!(peers.unsure_until(), Instant::now() + UNSURE);
        peers.owners_changed();
        peers.followed(peers.view());
        assert_eq!(state(), None);
        tokio::time::advance(UNSURE).await;
        assert_eq!(state(), Some(PresenceState::Offline), "connectors have told of everybody");

        peers.left("t", "u");
        assert_eq!(state(), None, "a connector knows of a change that is not in the view");
        tokio::time::advance(UNSURE).await;
        cluster.0.send_replace(owned_by(other));
        peers.followed(peers.view());
        peers.left("t", "u");
        assert!(!peers.is_unsure(), "that is no news");
    }
}
