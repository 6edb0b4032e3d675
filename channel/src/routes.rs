//! User → the devices that are connected now, and the connector that holds each.
//!
//! Soft state: a route lives as long as its connection. It leaves by compare-and-delete on the connection's epoch,
//! so a late farewell of an old connection never removes the route of a newer one. Pure data behind sharded locks;
//! no lock is held across a callback into anything but the caller's closure. A user whose last route has gone stays
//! as an empty list until that was told, so that what was told last is always known.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap};
use idgen::NodeId;
use parking_lot::RwLock;
use storage::presence::PresenceState;

use crate::device_limit::{DeviceLimit, Full};
pub use crate::route_list::Route;
use crate::route_list::RouteList;
use crate::user_key::{UserKey, UserRef};

/// How many locks the users are spread over; logins of different users rarely meet.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<UserKey, RouteList>>;

/// The routes of every user of this node.
pub struct Routes {
    shards: Box<[Shard]>,
    hasher: DefaultHashBuilder,
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

/// A login that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    pub outcome: AttachOutcome,
    /// Other devices of the user whose routes had to go: their connections are to be closed.
    pub evicted: Vec<Route>,
}

/// A user's presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the devices make of the user now.
    pub actual: PresenceState,
    /// What was told last. Differs from `actual` for moments after a rise, and for the grace period after a fall.
    pub told: PresenceState,
    /// When what was told began, milliseconds since 1970; 0 if nothing is known.
    pub since_ms: i64,
}

impl Seen {
    /// What to say of the user: rises at once, falls after the grace.
    pub fn shown(&self) -> PresenceState {
        self.actual.max(self.told)
    }
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
        Self { shards, hasher: DefaultHashBuilder::default(), devices: AtomicUsize::new(0) }
    }
}

impl Routes {
    /// Adds a device's route, or replaces it if `route.epoch` is higher. The same epoch again changes nothing.
    pub fn attach(&self, tenant: &str, user: &str, route: Route) -> AttachOutcome {
        let mut shard = self.shard(UserRef { tenant, user }).write();
        self.put(&mut shard, UserRef { tenant, user }, route)
    }

    /// As `attach`, within the user's limit for devices of this type, in one step.
    ///
    /// # Errors
    /// [`Full`] if the limit's rule is to refuse; then nothing has changed.
    pub fn admit(
        &self,
        tenant: &str,
        user: &str,
        route: Route,
        limit: &DeviceLimit,
    ) -> Result<Admission, Full> {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        let mut evicted = Vec::new();
        if let Some(routes) = shard.get_mut(&name)
            && routes.get(route.device).is_none()
        {
            evicted = limit.make_room(routes.as_slice(), route.device)?;
            let removed = routes.retain(|present| !evicted.contains(present));
            self.devices.fetch_sub(removed, Ordering::Relaxed);
        }
        let mut outcome = self.put(&mut shard, name, route);
        // Whoever made room was there: the user was online all the while.
        outcome.came_online &= evicted.is_empty();
        Ok(Admission { outcome, evicted })
    }

    fn put(&self, shard: &mut HashMap<UserKey, RouteList>, name: UserRef<'_>, route: Route) -> AttachOutcome {
        let routes = shard.entry_ref(&name).or_insert_with(|| RouteList::new(route.epoch));
        if let Some(present) = routes.get(route.device).filter(|present| present.epoch >= route.epoch) {
            let same = (present.epoch, present.connector) == (route.epoch, route.connector);
            return AttachOutcome { attached: same, displaced: None, came_online: false };
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
        let went_offline = routes.is_empty() && removed > 0;
        if routes.is_empty() && routes.told == PresenceState::Offline {
            shard.remove(&name);
        }
        self.devices.fetch_sub(removed, Ordering::Relaxed);
        Detached { removed: removed > 0, went_offline }
    }

    /// Forgets a device's route if its epoch is still `epoch`, because the user is another node's: nobody has left.
    pub fn forget(&self, tenant: &str, user: &str, device: u64, epoch: u64) {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        let Some(routes) = shard.get_mut(&name) else { return };
        let removed = routes.retain(|route| route.device != device || route.epoch != epoch);
        if routes.is_empty() {
            shard.remove(&name);
        }
        self.devices.fetch_sub(removed, Ordering::Relaxed);
    }

    /// Forgets the routes of all users who pass; calls `gone` for each. `gone` must not call back into the routes.
    pub fn forget_users(&self, passes: impl Fn(&str, &str) -> bool, mut gone: impl FnMut(&Route)) {
        for shard in &self.shards {
            shard.write().retain(|key, routes| {
                let (tenant, user) = key.texts();
                if !passes(tenant, user) {
                    return true;
                }
                routes.as_slice().iter().for_each(&mut gone);
                self.devices.fetch_sub(routes.as_slice().len(), Ordering::Relaxed);
                false
            });
        }
    }

    /// Takes the user's state as told, because it is another node's to tell.
    pub fn hush(&self, tenant: &str, user: &str) {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        let Some(routes) = shard.get_mut(&name) else { return };
        routes.told = routes.state();
        if routes.is_empty() {
            shard.remove(&name);
        }
    }

    /// The connection of a session is gone, or is there again; false if the route is.
    pub fn suspend(&self, tenant: &str, user: &str, device: u64, epoch: u64, suspended: bool) -> bool {
        self.update(tenant, user, device, epoch, |route| route.suspended = suspended)
    }

    /// Notes whether somebody sits at the device; false if its route is gone.
    pub fn set_away(&self, tenant: &str, user: &str, device: u64, epoch: u64, away: bool) -> bool {
        self.update(tenant, user, device, epoch, |route| route.away = away)
    }

    /// The device's present route.
    pub fn get(&self, tenant: &str, user: &str, device: u64) -> Option<Route> {
        let name = UserRef { tenant, user };
        self.shard(name).read().get(&name)?.get(device)
    }

    /// The user's presence.
    pub fn seen(&self, tenant: &str, user: &str) -> Seen {
        let name = UserRef { tenant, user };
        let shard = self.shard(name).read();
        let seen = |routes: &RouteList| Seen {
            actual: routes.state(),
            told: routes.told,
            since_ms: routes.since_ms(),
        };
        shard.get(&name).map(seen).unwrap_or_default()
    }

    /// Notes that the user's state is about to be told, if it still is `state`. False if it has changed; whoever
    /// changed it says so. A user who is gone and of whom that was told is forgotten.
    pub fn tell(&self, tenant: &str, user: &str, state: PresenceState, at_ms: i64) -> bool {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        let Some(routes) = shard.get_mut(&name).filter(|routes| routes.state() == state) else {
            return false;
        };
        routes.set_since(at_ms);
        routes.told = state;
        if state == PresenceState::Offline && routes.is_empty() {
            shard.remove(&name);
        }
        true
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
        self.seen(tenant, user).actual != PresenceState::Offline
    }

    /// When the user came online, milliseconds since 1970, to the second; `None` while offline.
    pub fn online_since(&self, tenant: &str, user: &str) -> Option<i64> {
        let seen = self.seen(tenant, user);
        (seen.actual != PresenceState::Offline).then_some(seen.since_ms)
    }

    /// Removes every route through a connector that is gone and calls `offline` for each user whose last route it
    /// was; how many routes went. `offline` must not call back into the routes.
    pub fn remove_connector(&self, connector: NodeId, mut offline: impl FnMut(&str, &str)) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            shard.write().retain(|key, routes| {
                let gone = routes.retain(|route| route.connector != connector);
                removed += gone;
                if gone > 0 && routes.is_empty() {
                    let (tenant, user) = key.texts();
                    offline(tenant, user);
                }
                !routes.is_empty() || routes.told != PresenceState::Offline
            });
        }
        self.devices.fetch_sub(removed, Ordering::Relaxed);
        removed
    }

    /// Devices that have a route.
    pub fn device_count(&self) -> usize {
        self.devices.load(Ordering::Relaxed)
    }

    /// Tenant and user of everybody who has a route, ascending.
    pub fn users(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let online = shard.iter().filter(|(_, routes)| !routes.is_empty());
            all.extend(online.map(|(key, _)| {
                let (tenant, user) = key.texts();
                (tenant.to_owned(), user.to_owned())
            }));
        }
        all.sort_unstable();
        all
    }

    /// Users that have a route.
    pub fn user_count(&self) -> usize {
        let users = |shard: &Shard| shard.read().values().filter(|routes| !routes.is_empty()).count();
        self.shards.iter().map(users).sum()
    }

    fn update(
        &self,
        tenant: &str,
        user: &str,
        device: u64,
        epoch: u64,
        change: impl FnOnce(&mut Route),
    ) -> bool {
        let name = UserRef { tenant, user };
        let mut shard = self.shard(name).write();
        shard.get_mut(&name).is_some_and(|routes| routes.update(device, epoch, change))
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
                routes.attach("demo-shop", &user, Route::new(n, 1, connector));
                keys += (1 + "demo-shop".len() + user.len() + 8).next_multiple_of(16).max(32);
            }
            let table: usize = routes.shards.iter().map(|shard| shard.read().allocation_size()).sum();
            let each = (table + keys) / users as usize;
            assert!(each <= 200, "{each} bytes at {users} users");
        }
    }
}
