//! A member's row and what it entitles to.

use protocol::v1::Role;

/// Most spans a row keeps; a user who leaves and returns more often loses sight of the oldest.
pub const MAX_SPANS: usize = 32;

/// Members above which a conversation is wide, for ever. An append writes and removes at most so many small rows; a list
/// costs a read for each wide conversation of the user.
pub(crate) const MAX_LISTED_MEMBERS: usize = 32;

/// Seqs `from..=to` that a member may see; `to == u64::MAX` while the membership lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

/// One user's place in one conversation, whole: a later row replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    pub user: String,
    pub role: Role,
    /// Ascending, disjoint. Only the last may be open.
    pub spans: Vec<Span>,
}

impl MemberRow {
    /// A user who joins by the entry `seq`; `from` is the first seq the user may see (`seq`, or 1 with history).
    pub fn join(user: impl Into<String>, role: Role, from: u64) -> MemberRow {
        MemberRow { user: user.into(), role, spans: vec![Span { from, to: u64::MAX }] }
    }

    /// The same user joining again.
    pub fn rejoin(&mut self, role: Role, from: u64) {
        self.role = role;
        if from <= 1 {
            self.spans.clear();
        }
        if self.spans.len() == MAX_SPANS {
            self.spans.remove(0);
        }
        self.spans.push(Span { from, to: u64::MAX });
    }

    /// The membership ends with the entry `seq`, which the user still sees.
    pub fn leave(&mut self, seq: u64) {
        if let Some(last) = self.spans.last_mut().filter(|span| span.to == u64::MAX) {
            last.to = seq;
        }
    }

    /// Whether the membership lasts.
    pub fn is_active(&self) -> bool {
        self.spans.last().is_some_and(|span| span.to == u64::MAX)
    }

    /// Whether the user may see the entry `seq`.
    pub fn may_see(&self, seq: u64) -> bool {
        self.spans.iter().any(|span| span.from <= seq && seq <= span.to)
    }

    /// `stored`, and the entry by which the user joined counts as read: nobody has one's own arrival, or the
    /// conversation's creation, to catch up on.
    pub fn cursors_since_joining(&self, stored: Cursors) -> Cursors {
        let joined = self.spans.last().map_or(0, |span| span.from);
        stored.max(Cursors { read: joined, ..Cursors::default() })
    }

    /// The highest seq the user may see of a log that ends at `tip`.
    pub fn visible_tip(&self, tip: u64) -> u64 {
        self.spans.last().map_or(0, |span| span.to.min(tip))
    }
}

/// A user's cursors in one conversation: each only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    pub read: u64,
    pub delivered: u64,
    /// The seq of the user's own latest message.
    pub sent: u64,
}

impl Cursors {
    /// The higher of both, field by field.
    pub fn max(self, other: Cursors) -> Cursors {
        Cursors {
            read: self.read.max(other.read),
            delivered: self.delivered.max(other.delivered),
            sent: self.sent.max(other.sent),
        }
    }

    /// How many of the entries up to `tip` the user has not seen.
    pub fn unread(self, tip: u64) -> u64 {
        tip.saturating_sub(self.read.max(self.sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_while_away_stays_unseen() {
        let mut row = MemberRow::join("u", Role::Member, 3);
        row.leave(5);
        assert!(!row.is_active());
        row.rejoin(Role::Member, 9);
        let seen: Vec<u64> = (1..12).filter(|&seq| row.may_see(seq)).collect();
        assert_eq!(seen, [3, 4, 5, 9, 10, 11]);
        row.leave(11);
        row.rejoin(Role::Member, 1);
        assert!((1..20).all(|seq| row.may_see(seq)));
    }

    #[test]
    fn the_entry_by_which_one_joined_is_not_unread() {
        let row = MemberRow::join("u", Role::Member, 4);
        assert_eq!(row.cursors_since_joining(Cursors::default()).unread(6), 2);
        let read = Cursors { read: 5, ..Cursors::default() };
        assert_eq!(row.cursors_since_joining(read).unread(6), 1);
    }

    #[test]
    fn own_messages_are_not_unread() {
        let cursors = Cursors { read: 2, delivered: 0, sent: 5 };
        assert_eq!(cursors.unread(7), 2);
        assert_eq!(cursors.unread(4), 0);
    }
}
