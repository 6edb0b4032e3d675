//! Cursors on their way through the store.
//!
//! The store answers in any order, and each answer says what the cursors were then. What is told only rises: an
//! answer that was overtaken is told as the one that overtook it.

use hashbrown::HashMap;
use storage::member::Cursors;

use super::MAX_MARKS;

/// The Marks of one conversation that the store has not answered.
#[derive(Default)]
pub struct Marks {
    count: usize,
    users: HashMap<String, User>,
}

#[derive(Default)]
struct User {
    count: usize,
    /// Of the answers since a Mark of this user has been on its way.
    highest: Cursors,
}

impl Marks {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts one more; false if there are too many.
    pub fn begin(&mut self, user: &str) -> bool {
        if self.count == MAX_MARKS {
            return false;
        }
        self.count += 1;
        self.users.entry_ref(user).or_default().count += 1;
        true
    }

    /// One is answered: the cursors to tell.
    pub fn end(&mut self, user: &str, answer: Cursors) -> Cursors {
        let Some(known) = self.users.get_mut(user) else { return answer };
        self.count -= 1;
        known.count -= 1;
        known.highest = known.highest.max(answer);
        let highest = known.highest;
        if known.count == 0 {
            self.users.remove(user);
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overtaken_answer_tells_no_fall_and_nothing_is_kept() {
        let mut marks = Marks::default();
        let read = |read| Cursors { read, ..Cursors::default() };
        assert!(marks.begin("a") && marks.begin("a") && marks.begin("b"));
        assert_eq!(marks.end("a", read(7)).read, 7);
        assert_eq!(marks.end("b", read(2)).read, 2);
        assert_eq!(marks.end("a", read(5)).read, 7);
        assert!(marks.is_empty() && marks.users.is_empty());
        assert!(marks.begin("a"));
        assert_eq!(marks.end("a", read(5)).read, 5);
    }

    #[test]
    fn there_is_a_most() {
        let mut marks = Marks::default();
        assert!((0..MAX_MARKS).all(|_| marks.begin("a")));
        assert!(!marks.begin("b"));
    }
}
