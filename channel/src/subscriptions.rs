//! Presence across channel nodes: which users elsewhere devices here watch, and which users here are watched from
//! elsewhere. Pure.
//!
//! Soft state at both ends. Who watches asks again where a link's session begins anew or a user gets another owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use idgen::NodeId;
use protocol::limit::{MAX_LINK_MESSAGE_BYTES, MAX_TENANT_BYTES, MAX_USER_BYTES};
use protocol::node::v1::Subscribe;
use storage::presence::PresenceState;

use crate::user_key::UserKey;

/// Users elsewhere that are watched from here, and likewise the other way. Further ones are not told of.
pub const MAX_SUBSCRIPTIONS: usize = 262_144;
/// Users in one message.
pub const USERS_AT_ONCE: usize = 1_024;

const _: () = assert!(USERS_AT_ONCE * (MAX_USER_BYTES + 32) + MAX_TENANT_BYTES + 64 < MAX_LINK_MESSAGE_BYTES);

/// A state, and since when, milliseconds since 1970.
pub type Told = (PresenceState, i64);

/// Both directions.
#[derive(Default)]
pub struct Subscriptions {
    ours: BTreeMap<Arc<UserKey>, Watched>,
    theirs: BTreeMap<Arc<UserKey>, BTreeSet<NodeId>>,
}

#[derive(Default)]
struct Watched {
    /// Who was asked, and tells.
    asked: Option<NodeId>,
    told: Option<Told>,
}

/// What is to be said to one node: of these users it shall tell, or not any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    pub node: NodeId,
    pub user: Arc<UserKey>,
    pub over: bool,
}

impl Subscriptions {
    /// Devices here watch a user of another node, of whom it is not known yet; false if it is, or there is no room.
    pub fn add(&mut self, user: &Arc<UserKey>) -> bool {
        let is_new = self.ours.len() < MAX_SUBSCRIPTIONS && !self.ours.contains_key(user);
        if is_new {
            self.ours.insert(user.clone(), Watched::default());
        }
        is_new
    }

    /// Devices here watch a user of `owner`, another node, from now on; what has to be said for that.
    pub fn want(&mut self, user: &Arc<UserKey>, owner: NodeId) -> Option<Due> {
        self.add(user);
        // Where another one was asked before, that is seen to when all are looked at.
        let watched = self.ours.get_mut(user).filter(|watched| watched.asked.is_none())?;
        watched.asked = Some(owner);
        Some(Due { node: owner, user: user.clone(), over: false })
    }

    /// What is known of a user elsewhere.
    pub fn known(&self, user: &UserKey) -> Option<Told> {
        self.ours.get(user)?.told
    }

    /// Nobody has told yet; somebody else says this.
    pub fn assume(&mut self, user: &UserKey, told: Told) {
        if let Some(watched) = self.ours.get_mut(user) {
            watched.told.get_or_insert(told);
        }
    }

    /// A watched user has become another node's; watchers know what was told here last.
    pub fn moved(&mut self, user: &Arc<UserKey>, told: impl FnOnce() -> Told) {
        if !self.add(user) {
            return;
        }
        // Of who has left nothing is told here any more, which looks like offline: then the stream is asked.
        let (state, since_ms) = told();
        if state != PresenceState::Offline {
            self.assume(user, (state, since_ms));
        }
    }

    /// The owner tells; what watchers here are to be told, if that is new to them.
    pub fn told(&mut self, user: &UserKey, (state, since_ms): Told) -> Option<Told> {
        let watched = self.ours.get_mut(user)?;
        let before = watched.told;
        // Of who is offline the owner may not know since when.
        let since_ms = match before {
            Some((known, since)) if known == state && since_ms == 0 => since,
            _ => since_ms,
        };
        watched.told = Some((state, since_ms));
        (before.map(|(state, _)| state) != Some(state)).then_some((state, since_ms))
    }

    /// What has to be said so that each watched user's owner tells; it is taken as said. `owner` is `None` for users of
    /// this node.
    pub fn due(
        &mut self,
        owner: impl Fn(&UserKey) -> Option<NodeId>,
        is_watched: impl Fn(&UserKey) -> bool,
    ) -> Vec<Due> {
        let mut due = Vec::new();
        self.ours.retain(|user, watched| {
            let wanted = if is_watched(user) { owner(user) } else { None };
            if watched.asked != wanted {
                let say = |node, over| Due { node, user: user.clone(), over };
                due.extend(watched.asked.map(|node| say(node, true)));
                due.extend(wanted.map(|node| say(node, false)));
                watched.asked = wanted;
            }
            wanted.is_some()
        });
        due
    }

    /// A node knows nothing of what it was asked.
    pub fn unask(&mut self, node: NodeId) {
        let asked = self.ours.values_mut().filter(|watched| watched.asked == Some(node));
        asked.for_each(|watched| watched.asked = None);
    }

    /// Another node wants to be told of users, or not any more.
    pub fn subscribe(&mut self, node: NodeId, user: Arc<UserKey>, over: bool) {
        if over {
            if let Some(nodes) = self.theirs.get_mut(&user) {
                nodes.remove(&node);
                if nodes.is_empty() {
                    self.theirs.remove(&user);
                }
            }
        } else if self.theirs.len() < MAX_SUBSCRIPTIONS || self.theirs.contains_key(&user) {
            self.theirs.entry(user).or_default().insert(node);
        }
    }

    /// The nodes that are to be told of a user.
    pub fn subscribers(&self, user: &UserKey) -> Vec<NodeId> {
        self.theirs.get(user).into_iter().flatten().copied().collect()
    }

    /// The users of whom a node is to be told.
    pub fn watched_from(&self, node: NodeId) -> Vec<Arc<UserKey>> {
        let of_node = self.theirs.iter().filter(|(_, nodes)| nodes.contains(&node));
        of_node.map(|(user, _)| user.clone()).collect()
    }

    /// A node is gone, or begins anew.
    pub fn forget(&mut self, node: NodeId) {
        self.theirs.retain(|_, nodes| {
            nodes.remove(&node);
            !nodes.is_empty()
        });
    }
}

/// Messages of bounded size, each of one tenant, to the nodes.
pub fn messages(due: &[Due]) -> Vec<(NodeId, Subscribe)> {
    let mut by_place: BTreeMap<(NodeId, bool), Vec<&Due>> = BTreeMap::new();
    // What ends is said first.
    due.iter().for_each(|one| by_place.entry((one.node, !one.over)).or_default().push(one));
    let mut all = Vec::new();
    for ((node, begins), due) in by_place {
        for of_tenant in due.chunk_by(|one, other| one.user.texts().0 == other.user.texts().0) {
            for page in of_tenant.chunks(USERS_AT_ONCE) {
                let tenant = page[0].user.texts().0.to_owned();
                let users = page.iter().map(|one| one.user.texts().1.to_owned()).collect();
                all.push((node, Subscribe { tenant, users, over: !begins }));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use PresenceState::{Offline, Online};

    use super::*;
    use crate::user_key::UserRef;

    fn user(tenant: &str, user: &str) -> Arc<UserKey> {
        Arc::new(UserKey::from(&UserRef { tenant, user }))
    }

    fn node(number: u64) -> NodeId {
        NodeId::from_u64(2 << 60 | number << 48).unwrap()
    }

    fn counts(all: &Subscriptions) -> (usize, usize) {
        (all.ours.len(), all.theirs.len())
    }

    fn said(due: &[Due]) -> Vec<(u64, Vec<String>, bool)> {
        let number = |node: NodeId| node.as_u64() >> 48 & 0xFFF;
        messages(due).into_iter().map(|(to, said)| (number(to), said.users, said.over)).collect()
    }

    #[test]
    fn each_users_owner_is_asked_once_and_left_when_that_changes() {
        let mut all = Subscriptions::default();
        let wanted: Vec<_> =
            ["a", "b", "c"].iter().filter_map(|name| all.want(&user("t", name), node(1))).collect();
        assert_eq!(said(&wanted), [(1, vec!["a".into(), "b".into(), "c".into()], false)]);
        assert_eq!(all.want(&user("t", "a"), node(1)), None, "it was said");
        let first = |key: &UserKey| (key.texts().1 != "c").then(|| node(1));
        assert_eq!(said(&all.due(first, |_| true)), [(1, vec!["c".into()], true)], "c is this node's own");
        assert_eq!(said(&all.due(first, |_| true)), []);
        let later = |key: &UserKey| Some(node(if key.texts().1 == "a" { 2 } else { 1 }));
        let b = |key: &UserKey| key.texts().1 == "a";
        let expected = [(1, vec!["a".into(), "b".into()], true), (2, vec!["a".to_owned()], false)];
        assert_eq!(said(&all.due(later, b)), expected, "nobody watches b any more");
        all.unask(node(2));
        assert_eq!(said(&all.due(later, b)), [(2, vec!["a".into()], false)], "it knows nothing");
        assert_eq!(counts(&all), (1, 0));
    }

    #[test]
    fn watchers_are_told_what_is_new_to_them() {
        let (mut all, a) = (Subscriptions::default(), user("t", "a"));
        assert_eq!(all.told(&a, (Online, 5)), None, "nobody watches");
        all.want(&a, node(1));
        assert_eq!(all.known(&a), None);
        all.assume(&a, (Offline, 3));
        assert_eq!(all.told(&a, (Offline, 0)), None);
        assert_eq!(all.known(&a), Some((Offline, 3)));
        assert_eq!(all.told(&a, (Online, 5)), Some((Online, 5)));
        all.assume(&a, (Offline, 9));
        assert_eq!(all.told(&a, (Online, 7)), None);
        all.want(&a, node(1));
        assert_eq!(all.known(&a), Some((Online, 7)));
    }

    #[test]
    fn who_has_left_is_not_taken_for_offline() {
        let (mut all, a, b) = (Subscriptions::default(), user("t", "a"), user("t", "b"));
        all.moved(&a, || (Offline, 9));
        all.moved(&b, || (Online, 5));
        assert_eq!(all.known(&a), None, "the stream is asked");
        assert_eq!(all.known(&b), Some((Online, 5)));
        let asked = all.due(|_| Some(node(2)), |_| true);
        assert_eq!(
            said(&asked),
            [(2, vec!["a".into(), "b".into()], false)],
            "the new owner is asked of both"
        );
        assert_eq!(all.told(&a, (Online, 5)), Some((Online, 5)), "the first that is told of it");
        assert_eq!(all.told(&b, (Online, 5)), None, "watchers know");
        all.moved(&a, || unreachable!("it is another node's already"));
        assert_eq!(all.known(&a), Some((Online, 5)));
    }

    #[test]
    fn nothing_is_left_of_a_node_that_is_gone() {
        let (mut all, a) = (Subscriptions::default(), user("t", "a"));
        all.subscribe(node(1), a.clone(), false);
        all.subscribe(node(2), a.clone(), false);
        all.subscribe(node(2), user("u", "a"), false);
        assert_eq!(all.subscribers(&a), [node(1), node(2)]);
        assert_eq!(all.watched_from(node(2)).len(), 2);
        all.subscribe(node(1), a.clone(), true);
        all.forget(node(2));
        assert_eq!(counts(&all), (0, 0));
    }

    #[test]
    fn messages_are_of_one_tenant_and_bounded() {
        let due = |n: usize| Due {
            node: node(1),
            user: user(&format!("t{}", n / 2_000), &format!("{n:04}")),
            over: false,
        };
        let all: Vec<Due> = (0..3_000).map(due).collect();
        let sizes: Vec<_> =
            messages(&all).into_iter().map(|(_, said)| (said.tenant, said.users.len())).collect();
        assert_eq!(sizes, [("t0".to_owned(), 1_024), ("t0".to_owned(), 976), ("t1".to_owned(), 1_000)]);
    }
}
