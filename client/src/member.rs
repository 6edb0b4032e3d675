//! Who is to join a conversation, and as what.

use protocol::v1::{NewMember, Role};

/// A user to add. A plain name joins as [`Role::Member`] without the right to earlier messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    pub user: String,
    pub role: Role,
    /// May read what was said before joining.
    pub with_history: bool,
}

impl Invite {
    /// A user who joins as a member.
    pub fn new(user: impl Into<String>) -> Invite {
        Invite { user: user.into(), role: Role::Member, with_history: false }
    }

    /// Joins in another role.
    pub fn role(self, role: Role) -> Invite {
        Invite { role, ..self }
    }

    /// May read what was said before.
    pub fn with_history(self) -> Invite {
        Invite { with_history: true, ..self }
    }

    pub(crate) fn into_wire(self) -> NewMember {
        NewMember { user: self.user, role: self.role.into(), with_history: self.with_history }
    }
}

impl From<&str> for Invite {
    fn from(user: &str) -> Invite {
        Invite::new(user)
    }
}

impl From<String> for Invite {
    fn from(user: String) -> Invite {
        Invite::new(user)
    }
}
