//! The routes of one user: one in place, several in a list sorted by device.

use idgen::NodeId;
use storage::presence::PresenceState;

/// Where one device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub device: u64,
    /// Of the connection: a later connection of the device has a higher one.
    pub epoch: u64,
    pub connector: NodeId,
    /// The device has said that nobody sits at it.
    pub away: bool,
    /// The connection is gone; the connector keeps the session for a while.
    pub suspended: bool,
}

impl Route {
    /// The route of a new connection.
    pub fn new(device: u64, epoch: u64, connector: NodeId) -> Route {
        Route { device, epoch, connector, away: false, suspended: false }
    }

    /// What this device alone makes of its user.
    pub fn state(&self) -> PresenceState {
        match (self.suspended, self.away) {
            (true, _) => PresenceState::Offline,
            (false, true) => PresenceState::Away,
            (false, false) => PresenceState::Online,
        }
    }
}

/// At most one route per device. Most users have one device, which takes no allocation.
#[derive(Clone, Debug)]
pub struct RouteList {
    /// Unix seconds: when the state that was told began, at first from the epoch of the route that brought the
    /// user online.
    since_secs: u32,
    /// What watchers and the presence stream were told last.
    pub told: PresenceState,
    routes: Routes,
}

#[derive(Clone, Debug)]
enum Routes {
    None,
    One(Route),
    /// Sorted by device, two or more.
    #[expect(clippy::box_collection, reason = "a thin pointer keeps the common case small")]
    Many(Box<Vec<Route>>),
}

// A bucket of the map is this, a 16-byte key and a control byte. A table is filled to 7/8 at most and 7/16 just
// after it has grown, so a bucket costs 65 to 130 bytes per user; the key's own allocation is 1 + tenant + user
// bytes, 48 with the allocator's rounding for ids of up to 39 bytes. An idle device: at most 178 bytes.
const _: () = assert!(size_of::<RouteList>() <= 40);

impl RouteList {
    /// No routes yet; `epoch` is the first connection's, microseconds since 1970.
    pub fn new(epoch: u64) -> Self {
        let since_secs = u32::try_from(epoch / 1_000_000).unwrap_or(0);
        Self { since_secs, told: PresenceState::Offline, routes: Routes::None }
    }

    /// When the state began, milliseconds since 1970, to the second; 0 if that is not known.
    pub fn since_ms(&self) -> i64 {
        i64::from(self.since_secs) * 1_000
    }

    /// Notes when the state began, milliseconds since 1970.
    pub fn set_since(&mut self, at_ms: i64) {
        self.since_secs = u32::try_from(at_ms / 1_000).unwrap_or(0);
    }

    /// What the devices make of the user now: as present as the most present of them.
    pub fn state(&self) -> PresenceState {
        self.as_slice().iter().map(Route::state).max().unwrap_or_default()
    }

    pub fn as_slice(&self) -> &[Route] {
        match &self.routes {
            Routes::None => &[],
            Routes::One(route) => std::slice::from_ref(route),
            Routes::Many(routes) => routes,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Inserts or replaces the device's route; the one that was replaced.
    pub fn put(&mut self, route: Route) -> Option<Route> {
        match &mut self.routes {
            Routes::None => {
                self.routes = Routes::One(route);
                None
            }
            Routes::One(one) if one.device == route.device => Some(std::mem::replace(one, route)),
            Routes::One(one) => {
                let mut both = vec![*one, route];
                both.sort_unstable_by_key(|r| r.device);
                self.routes = Routes::Many(Box::new(both));
                None
            }
            Routes::Many(routes) => match routes.binary_search_by_key(&route.device, |r| r.device) {
                Ok(at) => Some(std::mem::replace(&mut routes[at], route)),
                Err(at) => {
                    routes.insert(at, route);
                    None
                }
            },
        }
    }

    pub fn get(&self, device: u64) -> Option<Route> {
        let routes = self.as_slice();
        routes.binary_search_by_key(&device, |r| r.device).ok().map(|at| routes[at])
    }

    /// Changes the device's route if its epoch is still `epoch`; false if it is not.
    pub fn update(&mut self, device: u64, epoch: u64, change: impl FnOnce(&mut Route)) -> bool {
        let routes = match &mut self.routes {
            Routes::None => return false,
            Routes::One(one) => std::slice::from_mut(one),
            Routes::Many(routes) => routes.as_mut_slice(),
        };
        let found = routes.iter_mut().find(|route| route.device == device && route.epoch == epoch);
        found.map(change).is_some()
    }

    /// Keeps the routes that pass; how many went.
    pub fn retain(&mut self, mut keep: impl FnMut(&Route) -> bool) -> usize {
        let before = self.as_slice().len();
        match &mut self.routes {
            Routes::None => {}
            Routes::One(route) => {
                if !keep(route) {
                    self.routes = Routes::None;
                }
            }
            Routes::Many(routes) => {
                routes.retain(keep);
                match routes.as_slice() {
                    [] => self.routes = Routes::None,
                    [one] => self.routes = Routes::One(*one),
                    _ => {}
                }
            }
        }
        before - self.as_slice().len()
    }
}
