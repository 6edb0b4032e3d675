//! User → the devices that are connected now, and the connector that holds each.
//!
//! Soft state: a route lives as long as its connection. It leaves by compare-and-delete on the connection's epoch,
//! so a late farewell of an old connection never removes the route of a newer one. Pure data behind sharded locks;
//! no lock is held across a callback into anything but the caller's closure.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use idgen::NodeId;
use parking_lot::RwLock;

pub use crate::route_list::Route;
use crate::route_list::RouteList;
use crate::user_key::{UserKey, UserRef};

/// How many locks the users are spread over; logins of different users rarely meet.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<UserKey, RouteList>>;

/// The routes of every user of this node.
pub struct Routes {
    shards: Box<[Shard]>,
    hasher: RandomState,
    devices: AtomicUsize,
}

/// What an attach did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachOutcome {
    /// False if the device already has a route of a higher epoch, which stays.
    pub attached: bool,
    /// The device's earlier route, of a lower epoch: its connection is to be closed.
    pub displaced: Option<Route>,
    /// It is the user's first route.
    pub came_online: bool,
}

/// What a detach did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached {
    /// False if the device has no route, or one of another epoch.
    pub removed: bool,
    /// It was the user's last route.
    pub went_offline: bool,
}

impl Default for Routes {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, hasher: RandomState::new(), devices: AtomicUsize::new(0) }
    }
}

impl Routes {
    /// Adds a device's route, or replaces it if `route.epoch` is higher. The same epoch again changes nothing.
    pub fn attach(&self, tenant: &str, user: &str, route: Route) -> AttachOutcome {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        let routes = shard.entry_ref(&name).or_insert_with(|| RouteList::new(route.epoch));
        if let Some(present) = routes.get(route.device).filter(|present| present.epoch >= route.epoch) {
            return AttachOutcome { attached: present == route, displaced: None, came_online: false };
        }
        let came_online = routes.is_empty();
        let displaced = routes.put(route);
        if displaced.is_none() {
            self.devices.fetch_add(1, Ordering::Relaxed);
        }
        AttachOutcome { attached: true, displaced, came_online }
    }

    /// Removes a device's route if its epoch is still `epoch`.
    pub fn detach(&self, tenant: &str, user: &str, device: u64, epoch: u64) -> Detached {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        let Some(routes) = shard.get_mut(&name) else {
            return Detached { removed: false, went_offline: false };
        };
        let removed = routes.retain(|r| r.device != device || r.epoch != epoch);
        let went_offline = routes.is_empty();
        if went_offline {
            shard.remove(&name);
        }
        self.devices.fetch_sub(removed, Ordering::Relaxed);
        Detached { removed: removed > 0, went_offline }
    }

    /// Calls `f` with every route of the user, in order of device. `f` must not call back into the routes.
    pub fn for_each(&self, tenant: &str, user: &str, f: impl FnMut(&Route)) {
        let name = UserRef { tenant, user };
        if let Some(routes) = self.shard(name).read().get(&name) {
            routes.as_slice().iter().for_each(f);
        }
    }

    /// Whether that connection is the device's present one.
    pub fn has(&self, tenant: &str, user: &str, device: u64, epoch: u64) -> bool {
        let name = UserRef { tenant, user };
        let shard = self.shard(name).read();
        shard.get(&name).and_then(|routes| routes.get(device)).is_some_and(|route| route.epoch == epoch)
    }

    pub fn is_online(&self, tenant: &str, user: &str) -> bool {
        self.online_since(tenant, user).is_some()
    }

    /// When the user came online, milliseconds since 1970, to the second; `None` while offline.
    pub fn online_since(&self, tenant: &str, user: &str) -> Option<i64> {
        let name = UserRef { tenant, user };
        self.shard(name).read().get(&name).map(RouteList::since_ms)
    }

    /// Removes every route through a connector that is gone and calls `offline` for each user whose last route it
    /// was; how many routes went. `offline` must not call back into the routes.
    pub fn remove_connector(&self, connector: NodeId, mut offline: impl FnMut(&str, &str)) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            shard.write().retain(|key, routes| {
                removed += routes.retain(|route| route.connector != connector);
                if routes.is_empty() {
                    let (tenant, user) = key.texts();
                    offline(tenant, user);
                }
                !routes.is_empty()
            });
        }
        self.devices.fetch_sub(removed, Ordering::Relaxed);
        removed
    }

    /// Devices that have a route.
    pub fn device_count(&self) -> usize {
        self.devices.load(Ordering::Relaxed)
    }

    /// Users that have a route.
    pub fn user_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    fn shard(&self, name: UserRef<'_>) -> &Shard {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle device takes: the table, and the key's allocation as a 64-bit malloc rounds it. Measured with
    /// keys of 34 bytes: 122 bytes in a full table, 171 just after it has grown.
    #[test]
    fn an_idle_device_takes_less_than_200_bytes() {
        let routes = Routes::default();
        let connector = NodeId::from_u64(1 << 60).unwrap();
        for users in [60_000, 100_000, 120_000] {
            let mut keys = 0;
            for n in 0..users {
                let user = format!("customer-{n:015}");
                routes.attach("demo-shop", &user, Route { device: n, epoch: 1, connector });
                keys += (1 + "demo-shop".len() + user.len() + 8).next_multiple_of(16).max(32);
            }
            let table: usize = routes.shards.iter().map(|shard| shard.read().allocation_size()).sum();
            let each = (table + keys) / users as usize;
            assert!(each <= 200, "{each} bytes at {users} users");
        }
    }
}
