//! Columns with timestamps, as replicas reconcile them.

/// A column's value and its timestamp; `None`: null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell<V>(Option<(u64, V)>);

impl<V> Default for Cell<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V: Ord + Clone> Cell<V> {
    /// The later write stays; of two at one time the larger value.
    pub(super) fn put(&mut self, at: u64, value: V) {
        if self.0.as_ref().is_none_or(|(was, old)| (at, &value) > (*was, old)) {
            self.0 = Some((at, value));
        }
    }

    pub(super) fn get(&self) -> Option<&V> {
        self.0.as_ref().map(|(_, value)| value)
    }

    /// As a number column that is null counts: as nothing.
    pub(super) fn or_default(&self) -> V
    where
        V: Default,
    {
        self.get().cloned().unwrap_or_default()
    }
}

/// A row without columns: when it was put there and removed last. Of two at one time the removal stays.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marker {
    put: Option<u64>,
    removed: Option<u64>,
}

impl Marker {
    pub(super) fn put(&mut self, at: u64) {
        self.put = self.put.max(Some(at));
    }

    pub(super) fn remove(&mut self, at: u64) {
        self.removed = self.removed.max(Some(at));
    }

    pub(super) fn is_there(self) -> bool {
        self.put > self.removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_write_stays_whenever_it_comes() {
        let mut cell = Cell::default();
        for (at, value, left) in [(5, 1, 1), (4, 9, 1), (5, 0, 1), (5, 2, 2), (6, 0, 0)] {
            cell.put(at, value);
            assert_eq!(cell.get(), Some(&left));
        }
    }

    #[test]
    fn a_removal_stays_against_a_row_of_its_time() {
        let mut marker = Marker::default();
        assert!(!marker.is_there());
        marker.put(5);
        assert!(marker.is_there());
        marker.remove(5);
        marker.put(5);
        assert!(!marker.is_there());
        marker.put(6);
        marker.remove(4);
        assert!(marker.is_there());
    }
}
