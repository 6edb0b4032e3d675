//! The logs that are held open: who may append to them, and where they end.

use std::collections::HashMap;

use super::rows::Head;

/// A log somebody holds open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenLog {
    pub(super) epoch: u64,
    pub(super) head: Head,
}

/// Open logs by the key of their head row. A log that is not in here is held by nobody: whatever epoch an append
/// brings, it is refused, so that forgetting a log is always safe. Two generations bound the memory: what was not
/// used while the younger one filled up is forgotten.
#[derive(Debug)]
pub(super) struct OpenLogs {
    young: HashMap<Box<[u8]>, OpenLog>,
    old: HashMap<Box<[u8]>, OpenLog>,
    generation: usize,
}

impl OpenLogs {
    /// Holds at least half of `capacity` and never more.
    pub(super) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation: (capacity / 2).max(1) }
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut OpenLog> {
        if !self.young.contains_key(key) {
            let (key, log) = self.old.remove_entry(key)?;
            self.insert(key, log);
        }
        self.young.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: impl Into<Box<[u8]>>, log: OpenLog) {
        let key = key.into();
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(epoch: u64) -> OpenLog {
        OpenLog { epoch, head: Head::default() }
    }

    #[test]
    fn bounded_and_what_is_used_stays() {
        let mut logs = OpenLogs::new(8);
        for epoch in 0..1_000u64 {
            logs.insert(epoch.to_be_bytes(), log(epoch));
            assert_eq!(logs.get_mut(&0u64.to_be_bytes()).map(|log| log.epoch), Some(0));
            assert!(logs.young.len() + logs.old.len() <= 8);
        }
        assert!(logs.get_mut(&1u64.to_be_bytes()).is_none());
    }

    #[test]
    fn a_later_open_replaces_an_earlier_one_in_any_generation() {
        let mut logs = OpenLogs::new(4);
        logs.insert(*b"a", log(1));
        logs.insert(*b"b", log(2));
        logs.insert(*b"c", log(3));
        logs.insert(*b"a", log(4));
        logs.insert(*b"d", log(5));
        assert_eq!(logs.get_mut(b"a").map(|log| log.epoch), Some(4));
    }
}
