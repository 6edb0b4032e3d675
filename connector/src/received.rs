//! Which pushes a link has brought: what is told again is passed on only where the first telling was lost. Pure.
//!
//! A device that is told of a seq asks for those before it, so a conversation's latest seq stands for all of them. What
//! is forgotten here is passed on once more, which a device bears.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Conversations whose latest seq is remembered; of more the older half is forgotten. 24 bytes each.
pub const MAX_REMEMBERED: usize = 64 * 1024;
/// Seconds for which a push is remembered at least. What is told again is told within them.
pub const REMEMBERED_SECONDS: u32 = 60;

/// What one link has brought.
#[derive(Default)]
pub struct Received {
    hasher: RandomState,
    /// By the hash of tenant and conversation, which costs no allocation per push. Nobody outside can find names
    /// whose hashes are alike: it is keyed anew by every link.
    recent: HashMap<u64, u64>,
    older: HashMap<u64, u64>,
    /// When `recent` began.
    since: u32,
}

impl Received {
    /// Notes a push at the second `now`.
    pub fn note(&mut self, tenant: &str, conversation: &[u8], seq: u64, now: u32) {
        if now >= self.since + REMEMBERED_SECONDS || self.recent.len() >= MAX_REMEMBERED / 2 {
            self.older = std::mem::take(&mut self.recent);
            if now >= self.since + 2 * REMEMBERED_SECONDS {
                self.older = HashMap::new();
            }
            self.since = now;
        }
        let name = self.hasher.hash_one((tenant, conversation));
        let latest = self.recent.entry(name).or_default();
        *latest = seq.max(*latest);
    }

    /// Whether a push with this seq or a later one is remembered.
    pub fn has(&self, tenant: &str, conversation: &[u8], seq: u64) -> bool {
        let name = self.hasher.hash_one((tenant, conversation));
        [&self.recent, &self.older]
            .iter()
            .any(|pushes| pushes.get(&name).is_some_and(|latest| *latest >= seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_seq_is_remembered_for_a_while() {
        let mut received = Received::default();
        received.note("t", b"c", 3, 0);
        received.note("t", b"c", 2, 1);
        assert!(received.has("t", b"c", 3) && !received.has("t", b"c", 4));
        assert!(!received.has("other", b"c", 1) && !received.has("t", b"d", 1));
        received.note("t", b"d", 1, REMEMBERED_SECONDS);
        assert!(received.has("t", b"c", 3), "it is older now");
        received.note("t", b"d", 1, 2 * REMEMBERED_SECONDS);
        assert!(!received.has("t", b"c", 3) && received.has("t", b"d", 1));
    }

    #[test]
    fn there_is_a_most() {
        let mut received = Received::default();
        for n in 0..3 * MAX_REMEMBERED as u64 {
            received.note("t", &n.to_be_bytes(), 1, 0);
            assert!(received.recent.len() + received.older.len() <= MAX_REMEMBERED);
        }
        let latest = 3 * MAX_REMEMBERED as u64 - 1;
        assert!(received.has("t", &latest.to_be_bytes(), 1));
    }
}
