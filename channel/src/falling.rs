//! Users who have become less present than was told of them, each waiting out the grace. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storage::presence::PresenceState;

use crate::user_key::UserKey;

/// Who falls. One entry per user who was more present than now.
pub struct Falling {
    grace_ms: u64,
    users: BTreeMap<Arc<UserKey>, Fall>,
    by_due: BTreeSet<(u64, Arc<UserKey>)>,
}

/// One user's fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fall {
    pub to: PresenceState,
    /// When that began, milliseconds since 1970.
    pub at_ms: i64,
    /// When the first fall below what was told happened, by the node's own count of milliseconds.
    first: u64,
    due: u64,
}

impl Falling {
    pub fn new(grace_ms: u64) -> Falling {
        Falling { grace_ms, users: BTreeMap::new(), by_due: BTreeSet::new() }
    }

    /// A user is seen in a state below what was told. Falling further begins anew, once: a user who flaps between
    /// two such states is told of after twice the grace.
    pub fn fell(&mut self, user: &Arc<UserKey>, to: PresenceState, now: u64, at_ms: i64) {
        let due = now + self.grace_ms;
        let fall = match self.rose(user) {
            None => Fall { to, at_ms, first: now, due },
            Some(fall) if to < fall.to => {
                Fall { to, at_ms, due: due.min(fall.first + 2 * self.grace_ms), ..fall }
            }
            Some(fall) if to > fall.to => Fall { to, at_ms, ..fall },
            Some(fall) => fall,
        };
        self.users.insert(user.clone(), fall);
        self.by_due.insert((fall.due, user.clone()));
    }

    /// The user is back, or the fall was told.
    pub fn rose(&mut self, user: &Arc<UserKey>) -> Option<Fall> {
        let fall = self.users.remove(user)?;
        self.by_due.remove(&(fall.due, user.clone()));
        Some(fall)
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<u64> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Takes one whose grace is over.
    pub fn take_due(&mut self, now: u64) -> Option<(Arc<UserKey>, Fall)> {
        let (_, user) = self.by_due.first().filter(|(due, _)| *due <= now)?.clone();
        self.rose(&user).map(|fall| (user, fall))
    }
}

#[cfg(test)]
mod tests {
    use PresenceState::{Away, Offline, Online};
    use proptest::prelude::*;

    use super::*;
    use crate::user_key::UserRef;

    const GRACE: u64 = 10;

    fn user(name: &str) -> Arc<UserKey> {
        Arc::new(UserKey::from(&UserRef { tenant: "t", user: name }))
    }

    fn due(falling: &mut Falling, now: u64) -> Option<(PresenceState, i64)> {
        falling.take_due(now).map(|(_, fall)| (fall.to, fall.at_ms))
    }

    #[test]
    fn who_is_back_within_the_grace_is_not_told_of() {
        let mut falling = Falling::new(GRACE);
        falling.fell(&user("a"), Offline, 100, 1);
        assert_eq!((due(&mut falling, 109), falling.next_due()), (None, Some(110)));
        falling.rose(&user("a"));
        assert_eq!((due(&mut falling, 200), falling.next_due()), (None, None));
        falling.fell(&user("a"), Offline, 200, 2);
        falling.fell(&user("a"), Offline, 205, 3);
        assert_eq!(due(&mut falling, 210), Some((Offline, 2)), "seen again, but it has not fallen again");
    }

    #[test]
    fn falling_further_begins_anew_but_not_for_ever() {
        let mut falling = Falling::new(GRACE);
        falling.fell(&user("a"), Away, 100, 1);
        falling.fell(&user("a"), Offline, 108, 2);
        assert_eq!(due(&mut falling, 117), None);
        for now in (109..119).step_by(2) {
            falling.fell(&user("a"), Away, now, now as i64);
            falling.fell(&user("a"), Offline, now + 1, now as i64 + 1);
        }
        assert_eq!(due(&mut falling, 119), None);
        assert_eq!(due(&mut falling, 120), Some((Offline, 118)));
    }

    proptest! {
        /// Against the plain statement: told when below what was told for the grace, at the latest after two.
        #[test]
        fn a_fall_is_told_between_one_grace_and_two(steps in prop::collection::vec((0..8u64, 0..3u8), 1..60)) {
            let (mut falling, mut now, mut below_since) = (Falling::new(GRACE), 0, None);
            for (gap, state) in steps {
                for _ in 0..gap {
                    now += 1;
                    if falling.take_due(now).is_some() {
                        let since: u64 = below_since.take().expect("nobody is told of who has not fallen");
                        prop_assert!((since + GRACE..=since + 2 * GRACE).contains(&now));
                    }
                    prop_assert!(below_since.is_none_or(|since: u64| now < since + 2 * GRACE));
                }
                if state == 2 {
                    falling.rose(&user("a"));
                    below_since = None;
                } else {
                    falling.fell(&user("a"), if state == 0 { Offline } else { Away }, now, 0);
                    below_since.get_or_insert(now);
                }
            }
        }
    }

    #[test]
    fn states_are_in_order() {
        assert!(Offline < Away && Away < Online);
    }
}
