//! Slots: hash buckets of users and conversations. Each is owned by one channel node at a time.

use xxhash_rust::xxh3::Xxh3;

/// How many slots there are. Part of the cluster's identity: every node must agree on it.
pub const SLOTS: u16 = 4096;

/// One of the [`SLOTS`] buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a user: presence, routes and the conversation list live with its owner.
    pub fn of_user(tenant: &str, user: &str) -> Slot {
        Slot::hash(b'u', tenant, user)
    }

    /// The slot of a conversation: its owner numbers the messages.
    pub fn of_conversation(tenant: &str, conversation: &str) -> Slot {
        Slot::hash(b'c', tenant, conversation)
    }

    /// Every slot, ascending.
    pub fn all() -> impl Iterator<Item = Slot> {
        (0..SLOTS).map(Slot)
    }

    /// The slot with this number, from 0 to `SLOTS - 1`.
    pub fn from_number(number: u16) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }

    /// 0 to `SLOTS - 1`.
    pub fn number(self) -> u16 {
        self.0
    }

    // The tenant's length separates ("a", "bc") from ("ab", "c"). XXH3 is stable across versions and machines.
    fn hash(kind: u8, tenant: &str, name: &str) -> Slot {
        let mut hash = Xxh3::new();
        hash.update(&[kind, tenant.len() as u8]);
        hash.update(tenant.as_bytes());
        hash.update(name.as_bytes());
        Slot((hash.digest() % u64::from(SLOTS)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_move_between_versions() {
        assert_eq!(Slot::of_user("demo", "alice").number(), 3792);
        assert_ne!(Slot::of_user("a", "bc"), Slot::of_user("ab", "c"));
        assert_ne!(Slot::of_user("demo", "x"), Slot::of_conversation("demo", "x"));
    }

    #[test]
    fn users_spread_over_all_slots() {
        let mut used = vec![0u32; usize::from(SLOTS)];
        for n in 0..100_000 {
            used[usize::from(Slot::of_user("demo", &format!("user-{n}")).number())] += 1;
        }
        assert!(used.iter().all(|&count| count > 0 && count < 80));
    }
}
