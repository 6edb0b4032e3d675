//! The routes of one user: one in place, several in a list sorted by device.

use idgen::NodeId;

/// Where one device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub device: u64,
    /// Of the connection: a later connection of the device has a higher one.
    pub epoch: u64,
    pub connector: NodeId,
}

/// At most one route per device. Most users have one device, which takes no allocation.
#[derive(Clone, Debug)]
pub struct RouteList {
    /// Unix seconds, from the epoch of the route that brought the user online.
    since_secs: u32,
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
        Self { since_secs, routes: Routes::None }
    }

    /// When the user came online, milliseconds since 1970, to the second; 0 if that is not known.
    pub fn since_ms(&self) -> i64 {
        i64::from(self.since_secs) * 1_000
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
