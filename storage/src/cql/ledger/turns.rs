//! One at a time for each conversation, in the order of asking.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::key::ConversationKey;

/// Who has which conversation. It holds those that somebody has or waits for, and no others.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<HashMap<ConversationKey, Arc<AsyncMutex<()>>>>,
}

/// A turn, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: &'a ConversationKey,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn take<'a>(&'a self, key: &'a ConversationKey) -> Turn<'a> {
        let lock = self.taken.lock().entry(key.clone()).or_default().clone();
        // Made first: whoever goes away while it waits leaves nothing behind.
        let mut turn = Turn { turns: self, key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken.lock();
        self.guard = None;
        // Handles are made under the lock of the map alone: the last one is the map's.
        if taken.get(self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            taken.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let (turns, key, other) =
            (Turns::default(), ConversationKey::new("t", "c"), ConversationKey::new("t", "d"));
        let first = turns.take(&key).await;
        let _other = turns.take(&other).await;
        let mut second = Box::pin(turns.take(&key));
        let mut third = Box::pin(turns.take(&key));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(first);
        let second = second.await;
        assert!((&mut third).now_or_never().is_none());
        drop(third);
        drop(second);
        assert_eq!(turns.taken.lock().len(), 1);
    }
}
