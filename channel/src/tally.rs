//! How much the conversations weigh that a slot task holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one conversation keeps in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Rows of members, of those who have left too.
    pub members: usize,
    /// About how many bytes it takes, these rows included.
    pub bytes: usize,
}

/// The sums over one task's conversations, which others may read at any time.
#[derive(Debug, Default)]
pub struct Tally {
    conversations: AtomicUsize,
    members: AtomicUsize,
    bytes: AtomicUsize,
}

/// What the tasks of a node hold; not an atomic cut over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Conversations, open or being opened.
    pub conversations: usize,
    /// What they keep.
    pub weight: Weight,
}

/// One conversation's part of a tally, which it leaves when this is dropped.
#[derive(Debug)]
pub struct Counted {
    tally: Arc<Tally>,
    weight: Weight,
}

impl Tally {
    /// The sums now.
    pub fn weight(&self) -> Weight {
        let [members, bytes] = [&self.members, &self.bytes].map(|sum| sum.load(Ordering::Relaxed));
        Weight { members, bytes }
    }

    /// What several tasks hold together.
    pub fn sum<'a>(tallies: impl IntoIterator<Item = &'a Arc<Tally>>) -> Holdings {
        tallies.into_iter().fold(Holdings::default(), |sum, tally| {
            let own = tally.weight();
            let weight =
                Weight { members: sum.weight.members + own.members, bytes: sum.weight.bytes + own.bytes };
            Holdings {
                conversations: sum.conversations + tally.conversations.load(Ordering::Relaxed),
                weight,
            }
        })
    }

    /// A conversation that weighs nothing yet.
    pub fn count(self: &Arc<Tally>) -> Counted {
        self.conversations.fetch_add(1, Ordering::Relaxed);
        Counted { tally: self.clone(), weight: Weight::default() }
    }
}

impl Counted {
    /// What was said last.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// The conversation weighs this now; whether it takes more bytes than before.
    pub fn set(&mut self, weight: Weight) -> bool {
        let before = std::mem::replace(&mut self.weight, weight);
        if before != weight {
            // Added first, so that no reader sees less than nothing.
            self.tally.members.fetch_add(weight.members, Ordering::Relaxed);
            self.tally.members.fetch_sub(before.members, Ordering::Relaxed);
            self.tally.bytes.fetch_add(weight.bytes, Ordering::Relaxed);
            self.tally.bytes.fetch_sub(before.bytes, Ordering::Relaxed);
        }
        weight.bytes > before.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(Weight::default());
        self.tally.conversations.fetch_sub(1, Ordering::Relaxed);
    }
}
