//! Ledgers: one conditional round commits batches of many conversations.
//!
//! | file | noun |
//! |---|---|
//! | `record` | what a ledger commits of one conversation |
//! | `book` | one ledger as this process knows it: who waits, what is committed and not written yet |
//! | `round` | taking a ledger over, and committing what waits |
//! | `turns` | one at a time for each conversation |
//! | `append` | opening a conversation under a ledger, and appending to it |
//!
//! A ledger is a log like any other, under the same conditions; its entries are records. A conversation belongs to one
//! ledger for good, a function of its name. Its own log is written plainly behind the round: what is written is a function
//! of the record, at the timestamp that is the record's number, so whoever writes it again changes nothing.
//!
//! # Why a record is only committed if it is true
//!
//! Whoever commits a record holds the conversation's log against it first, and nobody has committed to the ledger since
//! then, or the round's condition is false:
//! - A *tenure* is the time from a takeover of the ledger by this process until somebody else's. A record carries the tenure
//!   in which its log was looked at, and no round takes one of an earlier tenure: it is looked at again.
//! - Within a tenure this process is the only writer. For each conversation one thing happens at a time (`turns`), from
//!   looking at the log until everything that follows from the record is written. What was read is what is.
//! - If writing fails, or whoever was writing is gone, the tenure is over. The next one begins with the takeover, which
//!   writes the rows of all that is committed and not known to be written, and only then commits anything. What follows
//!   from such a batch, and shows it to readers, is written by whoever opens the conversation next, as without ledgers.
//!
//! So of one conversation at most one record is ever committed and not written. How far everything is written stands in
//! each round: a takeover reads on from there.
//!
//! Two processes that use one ledger are as safe as two that own one conversation, and take it from each other at every
//! turn: a ledger is for whoever owns all of its conversations.

mod append;
mod book;
mod record;
mod round;
mod turns;

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use book::Book;
use turns::Turns;

use super::tables::LogName;
use crate::key::ConversationKey;

/// The most ledgers of a store.
pub const MAX_LEDGERS: u16 = 4_096;

/// All ledgers of the store.
pub(super) struct Ledgers {
    books: Vec<Arc<Book>>,
    turns: Turns,
}

impl Ledgers {
    pub(super) fn new(count: u16) -> Ledgers {
        let books = (0..count).map(|number| Arc::new(Book::new(LogName::Ledger(number)))).collect();
        Ledgers { books, turns: Turns::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// That of a conversation; `None` if there are none.
    fn of(&self, key: &ConversationKey) -> Option<&Arc<Book>> {
        let count = u64::try_from(self.books.len()).ok().filter(|count| *count > 0)?;
        self.books.get(usize::try_from(digest(key) % count).ok()?)
    }
}

/// Part of the format. The length of the tenant separates ("a", "bc") from ("ab", "c").
fn digest(key: &ConversationKey) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(key.tenant.len() as u64).to_be_bytes());
    hash.update(key.tenant.as_bytes());
    hash.update(key.conversation.as_bytes());
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_stays_with_its_ledger() {
        let ledgers = Ledgers::new(64);
        let of =
            |tenant: &str, name: &str| ledgers.of(&ConversationKey::new(tenant, name)).unwrap().log.clone();
        assert_eq!(of("demo", "tea"), LogName::Ledger(10), "whoever changes it finds none of what is stored");
        assert!((0..999).any(|n| of("a", &format!("bc{n}")) != of("ab", &format!("c{n}"))));
        let used: std::collections::HashSet<_> = (0..2_000).map(|n| of("t", &n.to_string())).collect();
        assert_eq!(used.len(), 64);
        assert!(Ledgers::new(0).of(&ConversationKey::new("t", "c")).is_none());
    }
}
