//! Presence changes on their way to the store: the latest of each user, in the order they happened. Pure.

use std::collections::BTreeMap;

use storage::presence::{PresenceChange, PresenceState};

/// What waits, by tenant. A user's later change takes the place of an earlier one that still waits, so while the
/// store is away this holds one change per user and no more.
#[derive(Debug, Default)]
pub struct Pending {
    tenants: BTreeMap<String, Tenant>,
    next: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    changes: BTreeMap<u64, PresenceChange>,
    users: BTreeMap<String, u64>,
}

/// Changes of one tenant, taken to be recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub tenant: String,
    pub changes: Vec<(u64, PresenceChange)>,
}

impl Pending {
    /// Adds a change, the latest of its user.
    pub fn push(&mut self, tenant: &str, user: &str, state: PresenceState, at_ms: i64) {
        self.next += 1;
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.to_owned(), Tenant::default());
        }
        let Some(of) = self.tenants.get_mut(tenant) else { return };
        if let Some(earlier) = of.users.insert(user.to_owned(), self.next) {
            of.changes.remove(&earlier);
        }
        of.changes.insert(self.next, PresenceChange { user: user.to_owned(), state, at_ms });
    }

    /// Takes up to `max` changes of one tenant, oldest first.
    pub fn take(&mut self, max: usize) -> Option<Taken> {
        let mut entry = self.tenants.first_entry()?;
        let of = entry.get_mut();
        let changes: Vec<_> = std::iter::from_fn(|| of.changes.pop_first()).take(max).collect();
        for (_, change) in &changes {
            of.users.remove(&change.user);
        }
        let empty = of.changes.is_empty();
        let tenant = entry.key().clone();
        if empty {
            entry.remove();
        }
        Some(Taken { tenant, changes })
    }

    /// Puts back what could not be recorded; a user's later change stays.
    pub fn put_back(&mut self, taken: Taken) {
        let of = self.tenants.entry(taken.tenant).or_default();
        for (number, change) in taken.changes {
            if !of.users.contains_key(&change.user) {
                of.users.insert(change.user.clone(), number);
                of.changes.insert(number, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use PresenceState::{Offline, Online};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever fails and is put back: per user the last change comes last, and nothing comes twice.
        #[test]
        fn the_latest_of_each_user_in_order(steps in prop::collection::vec((0..4u8, 0..3u8, 0..2u8), 1..60)) {
            let (mut pending, mut out, mut last) = (Pending::default(), Vec::new(), BTreeMap::new());
            for (n, (what, user, tenant)) in steps.into_iter().enumerate() {
                let (user, tenant) = (format!("u{user}"), format!("t{tenant}"));
                let state = if n % 2 == 0 { Online } else { Offline };
                match what {
                    0 | 1 => {
                        pending.push(&tenant, &user, state, n as i64);
                        last.insert((tenant, user), n as i64);
                    }
                    2 => out.extend(pending.take(2)),
                    _ => {
                        if let Some(taken) = pending.take(2) {
                            if n % 3 == 0 {
                                pending.push(&taken.tenant, "u0", state, n as i64);
                                last.insert((taken.tenant.clone(), "u0".into()), n as i64);
                            }
                            pending.put_back(taken);
                        }
                    }
                }
            }
            out.extend(std::iter::from_fn(|| pending.take(2)));
            prop_assert!(pending.tenants.is_empty());
            let mut seen = BTreeMap::new();
            let mut orders: BTreeMap<String, u64> = BTreeMap::new();
            for Taken { tenant, changes } in out {
                for (number, change) in changes {
                    let order = orders.entry(tenant.clone()).or_default();
                    prop_assert!(number > *order, "in the order they happened");
                    *order = number;
                    seen.insert((tenant.clone(), change.user), change.at_ms);
                }
            }
            prop_assert_eq!(seen, last);
        }
    }
}
