//! What one user holds of something that all users share, so that nobody takes all of it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::user_key::UserRef;

/// Part of a whole that one user may hold.
pub const PARTS: usize = 8;

/// How much each user holds now. As long as the list of those who hold something.
pub struct Shares {
    most: u32,
    hasher: RandomState,
    /// By the hash of the user's name, which costs no allocation per request. Users whose hashes are alike share one
    /// share; nobody outside can find such names, because the hash is keyed anew by every process.
    held: Mutex<HashMap<u64, u32>>,
}

/// One thing that a user holds, given back when dropped.
pub struct Share {
    of: Arc<Shares>,
    user: u64,
}

impl Shares {
    /// Shares of `whole`: each user may hold an eighth, at least one.
    pub fn of(whole: usize) -> Arc<Shares> {
        let most = u32::try_from(whole / PARTS).unwrap_or(u32::MAX).max(1);
        Arc::new(Shares { most, hasher: RandomState::new(), held: Mutex::default() })
    }

    /// Takes one for a user; `None` if the user holds as much as anybody may.
    pub fn take(self: &Arc<Self>, tenant: &str, user: &str) -> Option<Share> {
        let user = self.hasher.hash_one(UserRef { tenant, user });
        let mut held = self.held.lock();
        let count = held.entry(user).or_default();
        if *count == self.most {
            return None;
        }
        *count += 1;
        Some(Share { of: self.clone(), user })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.of.held.lock();
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_holds_an_eighth_and_leaves_the_rest_to_others() {
        let shares = Shares::of(24);
        let take = |user: &str| shares.take("t", user);
        let alices: Vec<Share> = (0..10).filter_map(|_| take("alice")).collect();
        assert_eq!(alices.len(), 3);
        assert!(shares.take("other", "alice").is_some(), "another tenant's alice is somebody else");
        let bob = take("bob");
        assert!(bob.is_some());
        drop(alices);
        assert!(take("alice").is_some());
        drop(bob);
        assert!(shares.held.lock().is_empty(), "nothing is kept of who holds nothing");
    }

    #[test]
    fn of_little_there_is_one_each() {
        let shares = Shares::of(1);
        let first = shares.take("t", "alice");
        assert!(first.is_some() && shares.take("t", "alice").is_none());
    }
}
