//! Stretches of commits within which a conversation keeps its place in its members' lists.

use std::collections::HashMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Most commits of one.
const COMMITS: u64 = 256;
/// Most conversations of one user that come to a place in one, and most of all users; what joins the last commit comes
/// on top. Whoever lists looks at the heads of all that a user has in a period, so this bounds what a listing costs.
const PLACED_BY_USER: u32 = 256;
const PLACED: u32 = 65_536;

/// The current one. Places are versions: everything that is written in a period stands at its first commit.
pub(super) struct Period {
    start: u64,
    /// Conversations by user (a hash: a collision ends a period early).
    by_user: HashMap<u64, u32>,
    placed: u32,
    full: bool,
}

impl Period {
    /// Begins with the next commit after the one with this number.
    pub(super) fn after(commit: u64) -> Self {
        Self { start: commit + 1, by_user: HashMap::new(), placed: 0, full: false }
    }

    /// The place of what changes in the commit with this number.
    pub(super) fn of(&mut self, commit: u64) -> u64 {
        if self.full || commit - self.start >= COMMITS {
            self.start = commit;
            self.by_user.clear();
            (self.placed, self.full) = (0, false);
        }
        self.start
    }

    /// A conversation comes to the current place in a user's list.
    pub(super) fn note(&mut self, tenant: &str, user: &str) {
        let user = xxh3_64_with_seed(user.as_bytes(), xxh3_64(tenant.as_bytes()));
        let of_user = self.by_user.entry(user).or_default();
        *of_user += 1;
        self.placed += 1;
        self.full |= *of_user >= PLACED_BY_USER || self.placed >= PLACED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_so_many_commits() {
        let mut period = Period::after(9);
        assert_eq!([10, 11, 265, 266, 300].map(|commit| period.of(commit)), [10, 10, 10, 266, 266]);
    }

    #[test]
    fn it_ends_when_one_user_or_all_have_enough() {
        let mut period = Period::after(0);
        for _ in 1..PLACED_BY_USER {
            period.note("t", "ann");
            period.note("t", "ben");
        }
        assert_eq!(period.of(2), 1);
        period.note("t", "ann");
        assert_eq!(period.of(3), 3);
        assert_eq!(period.of(4), 3, "ben has none in this one");
        for user in 0..PLACED {
            period.note("t", &user.to_string());
        }
        assert_eq!(period.of(5), 5);
    }
}
