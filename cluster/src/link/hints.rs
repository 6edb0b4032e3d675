//! Pushes that found the link full, as what can be told of them later: the conversation reaches this seq.
//!
//! Pure. A device that is hinted pulls what it has missed from the log.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::node::v1::{Push, Target};

/// Most (conversation, device) pairs that wait as hints on one link; each takes about 32 bytes.
pub const MAX_HINTED: usize = 65_536;
/// Most devices of one hint message.
const TARGETS_AT_ONCE: usize = 4_096;

/// There are as many hints as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_HINTED} devices are behind on one link")]
pub struct TooManyHints;

/// Hints that wait, one per conversation.
#[derive(Debug, Default)]
pub struct Hints {
    conversations: BTreeMap<Bytes, Hint>,
    /// Targets of all of them.
    hinted: usize,
}

#[derive(Debug, Default)]
struct Hint {
    seq: u64,
    targets: BTreeSet<(u64, u64)>,
}

impl Hints {
    pub fn is_empty(&self) -> bool {
        self.conversations.is_empty()
    }

    /// Remembers a stored push without its content.
    pub fn add(&mut self, push: &Push) -> Result<(), TooManyHints> {
        let hint = self.conversations.entry(push.conversation.clone()).or_default();
        hint.seq = hint.seq.max(push.seq);
        let before = hint.targets.len();
        hint.targets.extend(push.targets.iter().map(|target| (target.device_id, target.epoch)));
        self.hinted += hint.targets.len() - before;
        if self.hinted > MAX_HINTED { Err(TooManyHints) } else { Ok(()) }
    }

    /// Takes a hint out: a push with an empty frame.
    pub fn take(&mut self) -> Option<Push> {
        let (conversation, mut hint) = self.conversations.pop_first()?;
        let rest = hint.targets.iter().nth(TARGETS_AT_ONCE).copied().map(|at| hint.targets.split_off(&at));
        self.hinted -= hint.targets.len();
        if let Some(targets) = rest {
            self.conversations.insert(conversation.clone(), Hint { seq: hint.seq, targets });
        }
        let target = |(device_id, epoch)| Target { device_id, epoch };
        let targets = hint.targets.into_iter().map(target).collect();
        Some(Push { targets, frame: Bytes::new(), conversation, seq: hint.seq, ..Push::default() })
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Hints::default();
    }
}
