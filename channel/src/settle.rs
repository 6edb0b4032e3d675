//! Conversations that were given up while it was not known what their logs hold.
//!
//! The last append may have been stored though nobody was told: its sender may be gone, and its push was never made.
//! So the log is opened again, which settles it, and its tip is told to the members who are online.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use hashbrown::HashMap;
use prost::Message as _;
use protocol::v1::server_frame::Body;
use protocol::v1::{Head, ServerFrame};
use storage::log::Opened;
use storage::{ConversationKey, Store, StoreError};

use crate::conversation::action::{Except, Push};

/// Wait before the first attempt: most often the sender's retry comes before it.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Longest wait between attempts.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// Most conversations of one task that are looked after. Of more the members learn with the next message, or when
/// they connect again.
pub const MAX_UNSETTLED: usize = 1_024;

type Attempt = (ConversationKey, Result<Opened, StoreError>);

/// The conversations of one task that were given up. Dropping it ends all attempts.
#[derive(Default)]
pub struct Unsettled {
    waits: HashMap<ConversationKey, Duration>,
    attempts: FuturesUnordered<BoxFuture<'static, Attempt>>,
}

impl Unsettled {
    /// Looks after a conversation from now on.
    pub fn add(&mut self, store: Arc<dyn Store>, key: ConversationKey) {
        if self.waits.len() < MAX_UNSETTLED && self.waits.insert(key.clone(), FIRST_WAIT).is_none() {
            self.attempt(store, key, FIRST_WAIT);
        }
    }

    /// Tries once more, later than the last time.
    pub fn again(&mut self, store: Arc<dyn Store>, key: ConversationKey) {
        let Some(wait) = self.waits.get_mut(&key) else { return };
        *wait = (*wait * 2).min(MAX_WAIT);
        let wait = *wait;
        self.attempt(store, key, wait);
    }

    /// Whether it is still to be told.
    pub fn holds(&self, key: &ConversationKey) -> bool {
        self.waits.contains_key(key)
    }

    /// It is told; says whether it had to be.
    pub fn forget(&mut self, key: &ConversationKey) -> bool {
        !self.waits.is_empty() && self.waits.remove(key).is_some()
    }

    /// The next attempt that ends; `None` while there is none.
    pub async fn next(&mut self) -> Option<Attempt> {
        self.attempts.next().await
    }

    fn attempt(&self, store: Arc<dyn Store>, key: ConversationKey, wait: Duration) {
        self.attempts.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            let opened = store.open(&key).await;
            (key, opened)
        }));
    }
}

/// What tells the members the tip; `None` for a log that is empty.
pub fn head(key: &ConversationKey, opened: &Opened) -> Option<Push> {
    if opened.tip == 0 {
        return None;
    }
    let head = Head { conversation: key.conversation.to_string(), tip: opened.tip };
    let frame = ServerFrame { session_seq: 0, re: 0, body: Some(Body::Head(head)) };
    let active = opened.members.iter().filter(|row| row.is_active());
    Some(Push {
        users: active.map(|row| row.user.as_str().into()).collect(),
        frame: frame.encode_to_vec().into(),
        seq: opened.tip,
        except: Except::Nobody,
    })
}
