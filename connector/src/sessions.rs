//! DeviceId → session: who is connected to this connector now.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use parking_lot::RwLock;

use crate::handle::Handle;

/// Independent parts of the map, so that logins do not wait for each other.
const SHARDS: usize = 64;

/// Hashed without a secret, so that what is done to all can be repeated: no device chooses its id.
type Shard = RwLock<HashMap<u64, Arc<Handle>, FixedState>>;

/// The devices of this connector.
pub struct Sessions {
    shards: Box<[Shard]>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Sessions {
    /// Adds a session and returns the one it replaces. An older connection never replaces a newer one: it is
    /// handed back as its own predecessor.
    pub fn insert(&self, handle: Arc<Handle>) -> Option<Arc<Handle>> {
        let mut shard = self.shard(handle.device).write();
        match shard.get(&handle.device) {
            Some(known) if known.epoch > handle.epoch => Some(handle),
            _ => shard.insert(handle.device, handle),
        }
    }

    /// The device's present session.
    pub fn get(&self, device: u64) -> Option<Arc<Handle>> {
        self.shard(device).read().get(&device).cloned()
    }

    /// Removes a session if it is still the one of that connection.
    pub fn remove(&self, device: u64, epoch: u64) -> bool {
        let mut shard = self.shard(device).write();
        match shard.get(&device) {
            Some(known) if known.epoch == epoch => shard.remove(&device).is_some(),
            _ => false,
        }
    }

    /// Runs `f` on the session of that connection, if it is here.
    pub fn with<R>(&self, device: u64, epoch: u64, f: impl FnOnce(&Arc<Handle>) -> R) -> Option<R> {
        let shard = self.shard(device).read();
        shard.get(&device).filter(|handle| handle.epoch == epoch).map(f)
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every session, as a list made shard by shard.
    pub fn all(&self) -> Vec<Arc<Handle>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    // A DeviceId's low 16 bits are its counter: spread evenly.
    fn shard(&self, device: u64) -> &Shard {
        &self.shards[device as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Outbox;

    fn handle(device: u64, epoch: u64) -> Arc<Handle> {
        Arc::new(Handle::new(device, epoch, Arc::default(), Outbox::new(100), 0, u32::MAX))
    }

    #[test]
    fn a_late_removal_leaves_the_newer_session() {
        let sessions = Sessions::default();
        assert!(sessions.insert(handle(1, 10)).is_none());
        assert_eq!(sessions.insert(handle(1, 11)).map(|old| old.epoch), Some(10));
        assert!(!sessions.remove(1, 10));
        assert_eq!(sessions.len(), 1);
        assert!(sessions.with(1, 10, |_| ()).is_none());
        assert!(sessions.with(1, 11, |_| ()).is_some());
        assert!(sessions.remove(1, 11));
        assert!(sessions.is_empty());
    }

    #[test]
    fn an_older_connection_that_comes_late_is_its_own_predecessor() {
        let sessions = Sessions::default();
        sessions.insert(handle(1, 11));
        assert_eq!(sessions.insert(handle(1, 10)).map(|old| old.epoch), Some(10));
        assert!(sessions.with(1, 11, |_| ()).is_some());
    }
}
