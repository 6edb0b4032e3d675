//! Members as the entries of a log make them.

use std::collections::BTreeMap;

use protocol::v1::{MembersChanged, NewMember};

use crate::log::Users;
use crate::member::MemberRow;

/// Every user who is or was a member after the entries so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    rows: BTreeMap<String, MemberRow>,
}

impl Roster {
    pub fn new(rows: impl IntoIterator<Item = MemberRow>) -> Roster {
        Roster { rows: rows.into_iter().map(|row| (row.user.clone(), row)).collect() }
    }

    pub fn get(&self, user: &str) -> Option<&MemberRow> {
        self.rows.get(user)
    }

    pub fn rows(&self) -> impl Iterator<Item = &MemberRow> {
        self.rows.values()
    }

    /// Replaces a row.
    pub fn put(&mut self, row: MemberRow) {
        self.rows.insert(row.user.clone(), row);
    }

    /// The entry `seq` changes members: whose rows it changes.
    pub fn apply<'a>(&mut self, seq: u64, changed: &'a MembersChanged) -> impl Iterator<Item = &'a str> {
        for new in &changed.added {
            let from = first_seen(new, seq);
            match self.rows.get_mut(&new.user) {
                Some(row) => row.rejoin(new.role(), from),
                None => self.put(MemberRow::join(&new.user, new.role(), from)),
            }
        }
        for user in &changed.removed {
            if let Some(row) = self.rows.get_mut(user) {
                row.leave(seq);
            }
        }
        changed.added.iter().map(|new| new.user.as_str()).chain(changed.removed.iter().map(String::as_str))
    }

    /// Everyone whose membership lasts.
    pub fn active(&self) -> Users {
        self.rows.values().filter(|row| row.is_active()).map(|row| row.user.as_str().into()).collect()
    }
}

/// The first entry that a user who joins by the entry `seq` may see.
pub fn first_seen(new: &NewMember, seq: u64) -> u64 {
    if new.with_history { 1 } else { seq }
}

#[cfg(test)]
mod tests {
    use protocol::v1::Role;

    use super::*;

    fn change(added: &[(&str, bool)], removed: &[&str]) -> MembersChanged {
        let new = |&(user, with_history): &(&str, bool)| NewMember {
            user: user.to_owned(),
            role: Role::Member.into(),
            with_history,
        };
        let removed = removed.iter().map(|user| (*user).to_owned()).collect();
        MembersChanged { added: added.iter().map(new).collect(), removed, created: None }
    }

    #[test]
    fn joins_leaves_and_returns() {
        let mut roster = Roster::default();
        let create = change(&[("ann", false), ("ben", true)], &[]);
        assert_eq!(roster.apply(1, &create).collect::<Vec<_>>(), ["ann", "ben"]);
        _ = roster.apply(4, &change(&[("eve", false)], &["ann"]));
        _ = roster.apply(6, &change(&[("ann", false)], &["nobody"]));
        let spans = |user: &str| {
            let spans = &roster.get(user).unwrap().spans;
            spans.iter().map(|span| (span.from, span.to)).collect::<Vec<_>>()
        };
        assert_eq!(spans("ann"), [(1, 4), (6, u64::MAX)]);
        assert_eq!((spans("ben"), spans("eve")), (vec![(1, u64::MAX)], vec![(4, u64::MAX)]));
        assert!(roster.get("nobody").is_none());
        assert_eq!(roster.active().len(), 3);
    }
}
