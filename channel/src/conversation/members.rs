//! Who is and was a member.

use std::sync::Arc;

use hashbrown::HashMap;
use protocol::limit::MAX_MEMBERS;
use protocol::v1::Role;
use storage::member::MemberRow;

/// User ids, shared by every push to them.
pub type Users = Arc<[Arc<str>]>;

/// The rows as committed, and the active members as a list that pushes share.
#[derive(Default)]
pub struct Members {
    rows: HashMap<String, MemberRow>,
    active: Users,
}

/// The members as they are after the entries of a batch that is being made: what the batch changes lies over the
/// committed rows, so a batch that is refused leaves no trace.
pub struct Changes {
    rows: HashMap<String, MemberRow>,
    active: Users,
}

/// The users who get one entry: members after it, and those who leave by it.
pub type Audience = Users;

impl Members {
    pub fn new(rows: Vec<MemberRow>) -> Members {
        let active = rows.iter().filter(|row| row.is_active()).map(|row| row.user.as_str().into()).collect();
        Members { rows: rows.into_iter().map(|row| (row.user.clone(), row)).collect(), active }
    }

    /// How many users are and were members.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of a user who is a member now.
    pub fn active(&self, user: &str) -> Option<&MemberRow> {
        self.rows.get(user).filter(|row| row.is_active())
    }

    /// The row of a user who is or was a member.
    pub fn row(&self, user: &str) -> Option<&MemberRow> {
        self.rows.get(user)
    }

    /// Every user who is a member now.
    pub fn users(&self) -> &Users {
        &self.active
    }

    pub fn changes(&self) -> Changes {
        Changes { rows: HashMap::new(), active: self.active.clone() }
    }

    /// The batch is committed.
    pub fn commit(&mut self, changes: Changes) {
        if !changes.rows.is_empty() {
            self.rows.extend(changes.rows);
            self.active = changes.active;
        }
    }
}

impl Changes {
    /// The row of a user who is a member after the entries so far.
    pub fn active<'a>(&'a self, base: &'a Members, user: &str) -> Option<&'a MemberRow> {
        self.row(base, user).filter(|row| row.is_active())
    }

    pub fn row<'a>(&'a self, base: &'a Members, user: &str) -> Option<&'a MemberRow> {
        if self.rows.is_empty() {
            return base.row(user);
        }
        self.rows.get(user).or_else(|| base.row(user))
    }

    /// The members after the entries so far.
    pub fn users(&self) -> &Users {
        &self.active
    }

    /// The rows to store.
    pub fn rows(&self) -> Vec<MemberRow> {
        self.rows.values().cloned().collect()
    }

    /// Whether so many may join and leave.
    pub fn has_room(&self, joining: usize, leaving: usize) -> bool {
        self.active.len() + joining - leaving <= MAX_MEMBERS
    }

    /// Applies the entry `seq`: `joining` (user, role, first seq they see) are not members, `leaving` are.
    pub fn apply(
        &mut self,
        base: &Members,
        seq: u64,
        joining: &[(&str, Role, u64)],
        leaving: &[String],
    ) -> Audience {
        for &(user, role, from) in joining {
            let row = match self.row(base, user).cloned() {
                Some(mut row) => {
                    row.rejoin(role, from);
                    row
                }
                None => MemberRow::join(user, role, from),
            };
            self.rows.insert(user.to_owned(), row);
        }
        for user in leaving {
            if let Some(mut row) = self.row(base, user).cloned() {
                row.leave(seq);
                self.rows.insert(user.clone(), row);
            }
        }
        self.list(joining, leaving)
    }

    /// Brings the list up to date; returns the entry's audience.
    fn list(&mut self, joining: &[(&str, Role, u64)], leaving: &[String]) -> Audience {
        let joined = joining.iter().map(|&(user, ..)| Arc::from(user));
        if leaving.is_empty() {
            self.active = self.active.iter().cloned().chain(joined).collect();
            return self.active.clone();
        }
        let audience: Audience = self.active.iter().cloned().chain(joined).collect();
        let leaving: hashbrown::HashSet<&str> = leaving.iter().map(String::as_str).collect();
        self.active = audience.iter().filter(|user| !leaving.contains(&***user)).cloned().collect();
        audience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaver_sees_the_entry_and_a_refused_batch_leaves_no_trace() {
        let base =
            Members::new(vec![MemberRow::join("a", Role::Owner, 1), MemberRow::join("b", Role::Member, 1)]);
        let mut changes = base.changes();
        let audience = changes.apply(&base, 7, &[("c", Role::Member, 7)], &["b".to_owned()]);
        let names = |users: &Users| users.iter().map(|user| user.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&audience), ["a", "b", "c"]);
        assert_eq!(names(changes.users()), ["a", "c"]);
        assert!(changes.active(&base, "b").is_none() && base.active("b").is_some());
        assert!(base.active("c").is_none());
        let mut base = base;
        base.commit(changes);
        assert_eq!(names(base.users()), ["a", "c"]);
        assert_eq!(base.row("b").map(|row| row.visible_tip(9)), Some(7));
    }
}
