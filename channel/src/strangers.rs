//! Conversations of other channel nodes that a slot task holds.
//!
//! Whoever asks is served, whatever this node's view says: the store sees to it that two owners do no harm, and refusing
//! would turn every moment in which views differ into errors. But what was read of another node's conversation is kept no
//! longer than it is needed, for its owner changes it.

use std::sync::Arc;

use cluster::View;
use storage::ConversationKey;
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

use crate::peers::Peers;
use crate::slot_cache::Cache;

/// Of one task.
#[derive(Default)]
pub struct Strangers {
    among: Option<(Arc<Peers>, watch::Receiver<Arc<View>>)>,
    /// Some are held, perhaps.
    are_held: bool,
}

impl Strangers {
    /// Without peers there are none.
    pub fn new(peers: Option<&Arc<Peers>>) -> Strangers {
        let among = peers.map(|peers| (peers.clone(), peers.views()));
        Strangers { among, are_held: false }
    }

    /// Whether a conversation is another node's.
    pub fn has(&self, key: &ConversationKey) -> bool {
        self.among.as_ref().is_some_and(|(peers, _)| !peers.owns_conversation(key))
    }

    /// A conversation is opened.
    pub fn opened(&mut self, key: &ConversationKey) {
        self.are_held |= self.has(key);
    }

    /// Whether some are held, perhaps.
    pub fn are_held(&self) -> bool {
        self.are_held
    }

    /// Resolves when owners may have changed.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        match &mut self.among {
            Some((_, views)) => views.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Lets those go that are idle.
    pub fn let_go(&mut self, cache: &mut Cache) {
        if let Some((peers, _)) = &self.among {
            self.are_held = cache.let_go(|key| peers.owns_conversation(key));
        }
    }
}
