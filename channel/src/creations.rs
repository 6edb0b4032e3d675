//! How many conversations a user may create: so many at once, and so many per minute. A direct conversation counts as
//! created by whoever says the first word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::code::Code;
use protocol::v1;
use tokio::time::Instant;

use crate::user_key::{UserKey, UserRef};

/// Users that are remembered; who may create most again is forgotten first.
pub const MAX_CREATORS: usize = 65_536;
const MINUTE_MS: u64 = 60_000;

/// The limit of each user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreationLimit {
    /// Conversations on average; at least 1.
    pub per_minute: u32,
    /// Conversations after a pause; at least 1.
    pub at_once: u32,
}

impl Default for CreationLimit {
    fn default() -> Self {
        CreationLimit { per_minute: 60, at_once: 200 }
    }
}

/// The creations of all users on a clock of its own. Shared by the tasks that own conversations.
pub struct Creations {
    began: Instant,
    users: Mutex<Creators>,
}

impl Creations {
    pub fn new(limit: CreationLimit) -> Creations {
        Creations { began: Instant::now(), users: Mutex::new(Creators::new(limit)) }
    }

    /// A user is about to create a conversation.
    ///
    /// # Errors
    /// SLOW_DOWN, with the time to wait.
    pub fn take(&self, tenant: &str, user: &str) -> Result<(), v1::Error> {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.users.lock().take(UserRef { tenant, user }, now).map_err(|wait_ms| {
            let retry_after_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            v1::Error { retry_after_ms, ..Code::SLOW_DOWN.error("this user creates too many conversations") }
        })
    }
}

/// A token bucket per user, kept as the time at which it is full again. Pure.
struct Creators {
    limit: CreationLimit,
    full_at: BTreeMap<Arc<UserKey>, u64>,
    by_time: BTreeSet<(u64, Arc<UserKey>)>,
}

impl Creators {
    fn new(limit: CreationLimit) -> Creators {
        let limit = CreationLimit { per_minute: limit.per_minute.max(1), at_once: limit.at_once.max(1) };
        Creators { limit, full_at: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Takes a token at `now`, milliseconds that never fall, or says how many to wait.
    fn take(&mut self, name: UserRef<'_>, now: u64) -> Result<(), u64> {
        self.forget_full(now);
        let user = Arc::new(UserKey::from(&name));
        let price = (MINUTE_MS / u64::from(self.limit.per_minute)).max(1);
        let before = self.full_at.get(&user).copied();
        let full_at = before.unwrap_or(now) + price;
        let wait = full_at.saturating_sub(now + price * u64::from(self.limit.at_once));
        if wait > 0 {
            return Err(wait);
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, user.clone()));
        }
        self.full_at.insert(user.clone(), full_at);
        self.by_time.insert((full_at, user));
        Ok(())
    }

    /// Whose bucket is full is as somebody who was never here; where there are too many, the fullest goes.
    fn forget_full(&mut self, now: u64) {
        while let Some((full_at, user)) = self.by_time.first()
            && (*full_at <= now || self.by_time.len() >= MAX_CREATORS)
        {
            self.full_at.remove(user);
            self.by_time.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creators(per_minute: u32, at_once: u32) -> Creators {
        Creators::new(CreationLimit { per_minute, at_once })
    }

    fn take(creators: &mut Creators, user: &str, now: u64) -> Result<(), u64> {
        creators.take(UserRef { tenant: "t", user }, now)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut creators = creators(60, 3);
        for _ in 0..3 {
            assert_eq!(take(&mut creators, "alice", 500), Ok(()));
        }
        assert_eq!(take(&mut creators, "alice", 500), Err(1_000));
        assert_eq!(take(&mut creators, "alice", 1_100), Err(400), "a refusal costs nothing");
        assert_eq!(take(&mut creators, "bob", 1_100), Ok(()));
        assert_eq!(take(&mut creators, "alice", 1_500), Ok(()));
        assert_eq!(take(&mut creators, "alice", 1_500), Err(1_000));
    }

    #[test]
    fn who_has_paused_is_forgotten() {
        let mut creators = creators(60, 3);
        assert_eq!(take(&mut creators, "alice", 0), Ok(()));
        assert_eq!(take(&mut creators, "bob", 900), Ok(()));
        assert_eq!(creators.full_at.len(), 2);
        assert_eq!(take(&mut creators, "bob", 5_000), Ok(()));
        assert_eq!((creators.full_at.len(), creators.by_time.len()), (1, 1));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut creators = creators(1, 2);
        for n in 0..MAX_CREATORS + 100 {
            assert_eq!(take(&mut creators, &n.to_string(), n as u64 / 1_000), Ok(()));
        }
        assert_eq!((creators.full_at.len(), creators.by_time.len()), (MAX_CREATORS, MAX_CREATORS));
    }
}
