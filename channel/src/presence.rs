//! Which device watches which user, and whose state has changed. Pure: it knows neither routes nor links.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use idgen::NodeId;

use crate::user_key::{UserKey, UserRef};

/// A device that watches, on one of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    pub device: u64,
    pub epoch: u64,
    pub connector: NodeId,
}

/// The watched users and their watchers. Bounded by the watchers: each has one set of bounded size.
#[derive(Default)]
pub struct Presence {
    watchers: HashMap<Arc<UserKey>, Vec<Watcher>>,
    watched: HashMap<u64, Watched>,
    /// Watched users whose state may have changed since it was last told.
    changed: HashSet<Arc<UserKey>>,
}

struct Watched {
    epoch: u64,
    users: Vec<Arc<UserKey>>,
}

impl Presence {
    /// Replaces the users a device watches. False, and nothing changes, if a newer connection of it watches.
    pub fn watch<'a>(
        &mut self,
        watcher: Watcher,
        tenant: &str,
        users: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        if self.watched.get(&watcher.device).is_some_and(|present| present.epoch > watcher.epoch) {
            return false;
        }
        self.remove(watcher.device);
        let mut keys = Vec::new();
        for user in users {
            keys.extend(self.add(watcher, UserRef { tenant, user }));
        }
        if !keys.is_empty() {
            self.watched.insert(watcher.device, Watched { epoch: watcher.epoch, users: keys });
        }
        true
    }

    /// The connection is gone, and with it what it watched.
    pub fn forget(&mut self, device: u64, epoch: u64) {
        if self.watched.get(&device).is_some_and(|present| present.epoch == epoch) {
            self.remove(device);
        }
    }

    /// Notes that a user may have come or gone; true if somebody watches.
    pub fn note(&mut self, tenant: &str, user: &str) -> bool {
        let Some((key, _)) = self.watchers.get_key_value(&UserRef { tenant, user }) else {
            return false;
        };
        let key = key.clone();
        self.changed.insert(key);
        true
    }

    /// Takes up to `max` users noted since they were last taken, each with its watchers.
    pub fn take(&mut self, max: usize) -> Vec<(Arc<UserKey>, Vec<Watcher>)> {
        let keys: Vec<_> = self.changed.iter().take(max).cloned().collect();
        let watchers = |key: Arc<UserKey>| {
            self.changed.remove(&key);
            let watchers = self.watchers.get(&key).cloned().unwrap_or_default();
            (key, watchers)
        };
        keys.into_iter().map(watchers).collect()
    }

    /// Devices that watch somebody.
    pub fn watcher_count(&self) -> usize {
        self.watched.len()
    }

    /// Adds a watcher to a user; `None` if it was there already.
    fn add(&mut self, watcher: Watcher, name: UserRef<'_>) -> Option<Arc<UserKey>> {
        let present = self.watchers.get_key_value(&name).map(|(key, _)| key.clone());
        let key = present.unwrap_or_else(|| Arc::new(UserKey::from(&name)));
        let watchers = self.watchers.entry(key.clone()).or_default();
        if watchers.last().is_some_and(|last| last.device == watcher.device) {
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
                self.changed.remove(&key);
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

    fn taken(presence: &mut Presence) -> Vec<(String, Vec<u64>)> {
        let devices = |watchers: Vec<Watcher>| watchers.iter().map(|watcher| watcher.device).collect();
        let changes = presence.take(10).into_iter();
        let mut told: Vec<_> = changes.map(|(key, who)| (key.texts().1.to_owned(), devices(who))).collect();
        told.sort();
        told
    }

    #[test]
    fn only_watchers_are_told_and_once() {
        let mut presence = Presence::default();
        assert!(presence.watch(watcher(1, 1), "t", ["a", "b", "b"]));
        assert!(presence.watch(watcher(2, 1), "t", ["b"]));
        assert!(!presence.note("t", "c") && !presence.note("other", "a"));
        assert!(presence.note("t", "a") && presence.note("t", "b") && presence.note("t", "b"));
        assert_eq!(taken(&mut presence), [("a".to_owned(), vec![1]), ("b".to_owned(), vec![1, 2])]);
        assert_eq!(taken(&mut presence), []);
    }

    #[test]
    fn nothing_is_left_of_who_is_gone() {
        let mut presence = Presence::default();
        presence.watch(watcher(1, 5), "t", ["a", "b"]);
        assert!(!presence.watch(watcher(1, 4), "t", ["c"]), "an older connection comes late");
        presence.forget(1, 4);
        assert!(presence.note("t", "a"), "a late farewell of the older connection does no harm");
        presence.watch(watcher(1, 6), "t", ["b"]);
        assert!(!presence.note("t", "a") && presence.note("t", "b"));
        presence.forget(1, 6);
        assert_eq!(presence.watcher_count(), 0);
        assert!(presence.watchers.is_empty() && presence.changed.is_empty());
    }
}
