//! Conversations by their latest activity: the order in which they must be appended to stand in lists as before.

use std::collections::BinaryHeap;

use super::CopyError;
use super::people::whole;
use crate::Store;
use crate::inventory::{Held, MAX_ROWS};
use crate::key::ConversationKey;

/// Conversations that are sorted at once; of more, the inventory is read once for each so many.
const WINDOW: usize = 1 << 17;

/// Activity, name and tip of a conversation.
type Place = (i64, ConversationKey, u64);

/// Goes through the conversations of a tenant, the least active first, without holding all of them.
pub(super) struct Window {
    tenant: String,
    size: usize,
    /// The latest that was returned.
    after: Option<(i64, ConversationKey)>,
}

impl Window {
    pub(super) fn new(tenant: &str) -> Window {
        Window { tenant: tenant.to_owned(), size: WINDOW, after: None }
    }

    /// The next ones; `None` at the end.
    pub(super) async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<Held>>, CopyError> {
        let mut nearest = BinaryHeap::new();
        let mut after = None;
        loop {
            let page = store.inventory().all_conversations(Some(&self.tenant), after, MAX_ROWS).await;
            let page = whole(page.map_err(CopyError::Source)?)?;
            page.rows.into_iter().for_each(|held| self.offer(&mut nearest, held));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let window = nearest.into_sorted_vec();
        let Some((at, key, _)) = window.last() else { return Ok(None) };
        self.after = Some((*at, key.clone()));
        Ok(Some(window.into_iter().map(|(tip_at_ms, key, tip)| Held { key, tip, tip_at_ms }).collect()))
    }

    /// Keeps the least active behind those that were returned already.
    fn offer(&self, nearest: &mut BinaryHeap<Place>, held: Held) {
        let is_behind = |(at, key): &(i64, ConversationKey)| (held.tip_at_ms, &held.key) <= (*at, key);
        if self.after.as_ref().is_some_and(is_behind) {
            return;
        }
        let place = (held.tip_at_ms, held.key, held.tip);
        if nearest.len() < self.size {
            nearest.push(place);
        } else if let Some(mut greatest) = nearest.peek_mut()
            && place < *greatest
        {
            *greatest = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_each_other_without_a_gap() {
        let held = |number: i64| {
            let key = ConversationKey::new("t", format!("{number:03}"));
            Held { key, tip: 1, tip_at_ms: (number * 7) % 10 }
        };
        let mut window = Window { size: 7, ..Window::new("t") };
        let mut seen = Vec::new();
        loop {
            let mut nearest = BinaryHeap::new();
            (0..100).for_each(|number| window.offer(&mut nearest, held(number)));
            let Some((at, key, _)) = nearest.peek().cloned() else { break };
            seen.extend(nearest.into_sorted_vec());
            window.after = Some((at, key));
        }
        assert!(seen.is_sorted());
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }
}
