//! Conversations that were given up while it was not known what their logs hold.
//!
//! The last append may have been stored though nobody was told: its sender may be gone, and its push was never made.
//! So the log is opened again, which settles it, and its tip is told to the members who are online.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use hashbrown::HashMap;
use protocol::limit::MAX_BATCH_MESSAGES;
use storage::ConversationKey;
use storage::log::Opened;

use crate::conversation::Users;
use crate::conversation::action::{Except, Push, Telling};

/// Wait before the first attempt: most often the sender's retry comes before it.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Longest wait between attempts.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// Most conversations of one task that are looked after. Of more the members learn with the next message, or when
/// they connect again.
pub const MAX_UNSETTLED: usize = 1_024;

/// The conversations of one task that were given up. Dropping it ends all waits.
#[derive(Default)]
pub struct Unsettled {
    waits: HashMap<ConversationKey, Duration>,
    timers: FuturesUnordered<BoxFuture<'static, ConversationKey>>,
}

impl Unsettled {
    /// Looks after a conversation from now on.
    pub fn add(&mut self, key: &ConversationKey) {
        if self.waits.len() < MAX_UNSETTLED && self.waits.insert(key.clone(), FIRST_WAIT).is_none() {
            self.wait(key.clone(), FIRST_WAIT);
        }
    }

    /// Opening it failed: has it come up later than the last time, if it is still looked after.
    pub fn again(&mut self, key: &ConversationKey) {
        let Some(wait) = self.waits.get_mut(key) else { return };
        *wait = (*wait * 2).min(MAX_WAIT);
        let wait = *wait;
        self.wait(key.clone(), wait);
    }

    /// Whether it is still to be told.
    pub fn holds(&self, key: &ConversationKey) -> bool {
        self.waits.contains_key(key)
    }

    /// It is told; says whether it had to be.
    pub fn forget(&mut self, key: &ConversationKey) -> bool {
        !self.waits.is_empty() && self.waits.remove(key).is_some()
    }

    /// The next conversation to open; `None` while there is none.
    pub async fn next(&mut self) -> Option<ConversationKey> {
        self.timers.next().await
    }

    fn wait(&self, key: ConversationKey, wait: Duration) {
        self.timers.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            key
        }));
    }
}

/// What tells the tip to the members, and to those who have left by one of the latest entries.
pub fn heads(key: &ConversationKey, opened: &Opened) -> Vec<Push> {
    let mut heads = Vec::new();
    let mut tell = |users: Users, tip: u64, telling: Telling| {
        heads.push(Push::head(key, users, tip, Except::Nobody, telling));
    };
    if opened.tip > 0 {
        let active = opened.members.iter().filter(|row| row.is_active());
        tell(active.map(|row| row.user.as_str().into()).collect(), opened.tip, Telling::IfMissed);
    }
    let earlier = opened.tip.saturating_sub(MAX_BATCH_MESSAGES as u64);
    for row in opened.members.iter().filter(|row| !row.is_active()) {
        let last = row.visible_tip(opened.tip);
        if last > earlier {
            tell([row.user.as_str().into()].into(), last, Telling::Anyway);
        }
    }
    heads
}
