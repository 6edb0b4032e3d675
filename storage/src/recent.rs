//! A map of bounded size that forgets what was not used for long.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashMap;

/// Two generations bound the memory: what was not used while the younger one filled up is forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Holds at least half of `capacity` and never more.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation: (capacity / 2).max(1) }
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: impl Into<K>, value: V) {
        let key = key.into();
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (young, old) = (self.young.remove(key), self.old.remove(key));
        young.or(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_what_is_used_stays() {
        let mut recent = Recent::<u64, u64>::new(8);
        for number in 0..1_000u64 {
            recent.insert(number, number);
            assert_eq!(recent.get_mut(&0), Some(&mut 0));
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert!(recent.get_mut(&1).is_none());
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one_in_any_generation() {
        let mut recent = Recent::<&str, u64>::new(4);
        for (number, key) in ["a", "b", "c", "a", "d"].into_iter().enumerate() {
            recent.insert(key, number as u64);
        }
        assert_eq!(recent.get_mut("a"), Some(&mut 3));
        assert_eq!((recent.remove("a"), recent.remove("a")), (Some(3), None));
    }
}
