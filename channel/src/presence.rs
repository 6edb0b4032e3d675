//! Which device watches which user, and whose state may have changed. Pure: it knows neither routes nor links.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use idgen::NodeId;

use crate::user_key::{UserKey, UserRef};

/// Devices that may watch one user: what one change costs at most. Further ones are not told of that user.
pub const MAX_WATCHERS: usize = 512;

/// A device that watches, in one of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    pub device: u64,
    pub epoch: u64,
    pub connector: NodeId,
}

/// The watched users and their watchers, and the users to look at. Bounded by the watchers, each of which has one
/// set of bounded size, and by the users, each of whom is noted once.
#[derive(Default)]
pub struct Presence {
    watchers: HashMap<Arc<UserKey>, Vec<Watcher>>,
    watched: HashMap<u64, Watched>,
    /// Users whose state may have changed since it was last looked at. In order of name, so that what happens can
    /// be repeated.
    noted: BTreeMap<Arc<UserKey>, Noted>,
}

/// Why a user is to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Tell the watchers even if nothing has changed.
    pub again: bool,
    /// The stream says that the user is there, from a time before this node started; last seen then.
    pub ghost: Option<i64>,
    /// The stream does not say what was told.
    pub unwritten: bool,
}

struct Watched {
    epoch: u64,
    users: Vec<Arc<UserKey>>,
}

impl Presence {
    /// Replaces the users a device watches; `watched` is told each of them whom the device may watch. False, and
    /// nothing changes, if it watches in a newer session.
    pub fn watch<'a>(
        &mut self,
        watcher: Watcher,
        tenant: &str,
        users: impl IntoIterator<Item = &'a str>,
        mut watched: impl FnMut(&'a str),
    ) -> bool {
        if self.watched.get(&watcher.device).is_some_and(|present| present.epoch > watcher.epoch) {
            return false;
        }
        self.remove(watcher.device);
        let mut keys = Vec::new();
        for user in users {
            if let Some(key) = self.add(watcher, UserRef { tenant, user }) {
                keys.push(key);
                watched(user);
            }
        }
        if !keys.is_empty() {
            self.watched.insert(watcher.device, Watched { epoch: watcher.epoch, users: keys });
        }
        true
    }

    /// The session is over, and with it what it watched.
    pub fn forget(&mut self, device: u64, epoch: u64) {
        if self.watched.get(&device).is_some_and(|present| present.epoch == epoch) {
            self.remove(device);
        }
    }

    /// Every session at this connector is over.
    pub fn forget_connector(&mut self, connector: NodeId) {
        let at_it = |watcher: &&Watcher| watcher.connector == connector;
        let devices = self.watchers.values().flat_map(|watchers| watchers.iter().filter(at_it));
        let devices: Vec<u64> = devices.map(|watcher| watcher.device).collect();
        devices.into_iter().for_each(|device| self.remove(device));
    }

    /// The users that a device watches in the session of this epoch.
    pub fn watched_by(&self, device: u64, epoch: u64) -> &[Arc<UserKey>] {
        let watched = self.watched.get(&device).filter(|watched| watched.epoch == epoch);
        watched.map_or(&[], |watched| &watched.users)
    }

    /// Notes that a user is to be looked at.
    pub fn note(&mut self, tenant: &str, user: &str, why: Noted) {
        let name = UserRef { tenant, user };
        let present = self.watchers.get_key_value(&name).map(|(key, _)| key.clone());
        let key = present.unwrap_or_else(|| Arc::new(UserKey::from(&name)));
        let noted = self.noted.entry(key).or_default();
        noted.again |= why.again;
        noted.unwritten |= why.unwritten;
        noted.ghost = noted.ghost.max(why.ghost);
    }

    /// Takes up to `max` of the noted users.
    pub fn take(&mut self, max: usize) -> Vec<(Arc<UserKey>, Noted)> {
        std::iter::from_fn(|| self.noted.pop_first()).take(max).collect()
    }

    /// Who watches a user.
    pub fn watchers(&self, user: &UserKey) -> Vec<Watcher> {
        let (tenant, user) = user.texts();
        self.watchers.get(&UserRef { tenant, user }).cloned().unwrap_or_default()
    }

    /// Everybody who is watched, in order of name.
    pub fn watched_users(&self) -> Vec<Arc<UserKey>> {
        let mut users: Vec<_> = self.watchers.keys().cloned().collect();
        users.sort_unstable();
        users
    }

    /// Whether anybody watches a user.
    pub fn is_watched(&self, user: &UserKey) -> bool {
        self.watchers.contains_key(user)
    }

    /// Devices that watch somebody.
    pub fn watcher_count(&self) -> usize {
        self.watched.len()
    }

    /// Adds a watcher to a user; `None` if it was there already or the user has as many as allowed.
    fn add(&mut self, watcher: Watcher, name: UserRef<'_>) -> Option<Arc<UserKey>> {
        let present = self.watchers.get_key_value(&name).map(|(key, _)| key.clone());
        let key = present.unwrap_or_else(|| Arc::new(UserKey::from(&name)));
        let watchers = self.watchers.entry(key.clone()).or_default();
        let twice = watchers.last().is_some_and(|last| last.device == watcher.device);
        if twice || watchers.len() >= MAX_WATCHERS {
            return None;
        }
        watchers.push(watcher);
        Some(key)
    }

    fn remove(&mut self, device: u64) {
        let users = self.watched.remove(&device).map(|watched| watched.users);
        for key in users.unwrap_or_default() {
            let Some(watchers) = self.watchers.get_mut(&key) else { continue };
            watchers.retain(|watcher| watcher.device != device);
            if watchers.is_empty() {
                self.watchers.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(device: u64, epoch: u64) -> Watcher {
        Watcher { device, epoch, connector: NodeId::from_u64(1 << 60).unwrap() }
    }

    fn watch(presence: &mut Presence, watcher: Watcher, users: &[&'static str]) -> Option<Vec<&'static str>> {
        let mut watched = Vec::new();
        presence.watch(watcher, "t", users.iter().copied(), |user| watched.push(user)).then_some(watched)
    }

    fn watching(presence: &Presence, user: &str) -> Vec<u64> {
        let key = UserKey::from(&UserRef { tenant: "t", user });
        presence.watchers(&key).iter().map(|watcher| watcher.device).collect()
    }

    #[test]
    fn users_are_noted_once_and_taken_in_parts() {
        let mut presence = Presence::default();
        for user in ["b", "a", "b", "c"] {
            presence.note("t", user, Noted::default());
        }
        presence.note("t", "a", Noted { again: true, ghost: Some(5), unwritten: false });
        presence.note("t", "a", Noted::default());
        let names = |taken: &[(Arc<UserKey>, Noted)]| -> Vec<String> {
            taken.iter().map(|(key, _)| key.texts().1.to_owned()).collect()
        };
        let first = presence.take(2);
        assert_eq!(names(&first), ["a", "b"]);
        assert_eq!(first[0].1, Noted { again: true, ghost: Some(5), unwritten: false });
        assert_eq!(names(&presence.take(2)), ["c"]);
        assert!(presence.take(2).is_empty());
    }

    #[test]
    fn nothing_is_left_of_who_is_gone() {
        let mut presence = Presence::default();
        assert_eq!(watch(&mut presence, watcher(1, 5), &["a", "b", "b"]), Some(vec!["a", "b"]));
        assert_eq!(watch(&mut presence, watcher(1, 4), &["c"]), None, "an older connection comes late");
        presence.forget(1, 4);
        assert_eq!(watching(&presence, "a"), [1], "a late farewell of the older connection does no harm");
        watch(&mut presence, watcher(1, 6), &["b"]);
        watch(&mut presence, watcher(2, 6), &["b"]);
        assert_eq!((watching(&presence, "a"), watching(&presence, "b")), (vec![], vec![1, 2]));
        presence.forget(1, 6);
        presence.forget(2, 6);
        assert_eq!(presence.watcher_count(), 0);
        assert!(presence.watchers.is_empty());
    }

    #[test]
    fn a_user_has_so_many_watchers_and_no_more() {
        let mut presence = Presence::default();
        for device in 0..MAX_WATCHERS as u64 {
            assert_eq!(watch(&mut presence, watcher(device, 1), &["a"]), Some(vec!["a"]));
        }
        assert_eq!(watch(&mut presence, watcher(9_999, 1), &["a", "b"]), Some(vec!["b"]));
        presence.forget(3, 1);
        assert_eq!(watch(&mut presence, watcher(9_999, 1), &["a", "b"]), Some(vec!["a", "b"]));
    }
}
