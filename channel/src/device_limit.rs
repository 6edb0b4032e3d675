//! How many devices of one type a user may have connected, and who goes when there are more. Pure.

use std::cmp::Reverse;

use idgen::DeviceId;

use crate::route_list::Route;

/// Devices of one type that a user may have connected, unless configured otherwise.
pub const DEFAULT_DEVICES: usize = 16;
/// Device types, by their numbers: default, web, mobile, desktop.
pub const DEVICE_TYPES: usize = 4;

/// The limit of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceLimit {
    /// By device type; at least 1 each.
    pub most: [usize; DEVICE_TYPES],
    pub rule: KickRule,
}

/// What happens to the login that is one too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KickRule {
    /// It is let in, and the device that logged in first is closed.
    #[default]
    KickOldest,
    /// It is refused.
    Refuse,
}

/// The user has as many devices of this type as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} devices of this type are connected, which is the limit")]
pub struct Full {
    pub most: usize,
}

impl Default for DeviceLimit {
    fn default() -> Self {
        Self { most: [DEFAULT_DEVICES; DEVICE_TYPES], rule: KickRule::default() }
    }
}

impl DeviceLimit {
    /// The routes that go so that `device`, which has none of them, gets in. Sessions without a connection go
    /// first, by either rule: nobody sits there.
    ///
    /// # Errors
    /// [`Full`] if the rule is to refuse.
    pub fn make_room(&self, present: &[Route], device: u64) -> Result<Vec<Route>, Full> {
        let kind = device_type(device);
        let most = self.most[kind].max(1);
        let mut alike: Vec<Route> =
            present.iter().filter(|route| device_type(route.device) == kind).copied().collect();
        let surplus = (alike.len() + 1).saturating_sub(most);
        if surplus == 0 {
            return Ok(Vec::new());
        }
        alike.sort_unstable_by_key(|route| (Reverse(route.suspended), route.epoch));
        alike.truncate(surplus);
        match self.rule {
            KickRule::Refuse if alike.iter().any(|route| !route.suspended) => Err(Full { most }),
            _ => Ok(alike),
        }
    }
}

/// The device type that an id names; 0 for what is no id.
fn device_type(device: u64) -> usize {
    let kind = DeviceId::from_u64(device).map_or(0, |id| usize::from(id.device_type().get()));
    kind.min(DEVICE_TYPES - 1)
}

#[cfg(test)]
mod tests {
    use idgen::{DeviceType, NodeId, Stamp, WorkerNumber};

    use super::*;

    fn device(kind: DeviceType, n: u32) -> u64 {
        DeviceId::new(WorkerNumber::new(1).unwrap(), kind, Stamp::new(n, 0).unwrap()).as_u64()
    }

    fn route(kind: DeviceType, n: u32, epoch: u64) -> Route {
        Route::new(device(kind, n), epoch, NodeId::from_u64(1 << 60).unwrap())
    }

    #[test]
    fn the_oldest_of_the_same_type_goes() {
        let limit = DeviceLimit { most: [2; 4], rule: KickRule::KickOldest };
        let (web, mobile) = (DeviceType::WEB, DeviceType::MOBILE);
        let present = [route(web, 1, 30), route(web, 2, 20), route(mobile, 3, 10)];
        assert_eq!(limit.make_room(&present, device(web, 9)), Ok(vec![present[1]]));
        assert_eq!(limit.make_room(&present, device(mobile, 9)), Ok(vec![]));
        let lowered = DeviceLimit { most: [1; 4], ..limit };
        assert_eq!(lowered.make_room(&present, device(web, 9)), Ok(vec![present[1], present[0]]));
    }

    #[test]
    fn who_is_not_connected_goes_first_and_never_keeps_anybody_out() {
        let limit = DeviceLimit { most: [2; 4], rule: KickRule::Refuse };
        let web = DeviceType::WEB;
        let mut present = [route(web, 1, 10), route(web, 2, 20)];
        assert_eq!(limit.make_room(&present, device(web, 9)), Err(Full { most: 2 }));
        present[1].suspended = true;
        assert_eq!(limit.make_room(&present, device(web, 9)), Ok(vec![present[1]]));
        let kicks = DeviceLimit { rule: KickRule::KickOldest, ..limit };
        assert_eq!(kicks.make_room(&present, device(web, 9)), Ok(vec![present[1]]));
    }
}
