//! What a well-formed id or field is. Every text that enters the gateway passes here once.

use crate::code::Code;
use crate::limit::*;
use crate::names::BETWEEN;
use crate::v1;

/// A request that cannot be served as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub code: Code,
    pub message: String,
}

impl Refused {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The `Error` a device gets.
    pub fn error(&self) -> v1::Error {
        self.code.error(self.message.clone())
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Self::new(code, code.meaning())
    }
}

type Checked<T = ()> = Result<T, Refused>;

/// A tenant id: 1 to 64 bytes, no control characters.
pub fn tenant(tenant: &str) -> Checked {
    text("tenant", tenant, 1, MAX_TENANT_BYTES)
}

/// A user id: 1 to 64 bytes, no control characters, no `~`.
pub fn user(user: &str) -> Checked {
    text("user", user, 1, MAX_USER_BYTES)?;
    if user.contains(BETWEEN) {
        return Err(invalid(format!("user must not contain '{BETWEEN}'")));
    }
    Ok(())
}

/// A conversation id: 1 to 132 bytes, no control characters.
pub fn conversation(conversation: &str) -> Checked {
    text("conversation", conversation, 1, MAX_CONVERSATION_BYTES)
}

/// An installation id: 1 to 64 bytes, no control characters.
pub fn installation(installation: &str) -> Checked {
    text("installation", installation, 1, MAX_INSTALLATION_BYTES)
}

/// A title: up to 256 bytes, no control characters.
pub fn title(title: &str) -> Checked {
    text("title", title, 0, MAX_TITLE_BYTES)
}

/// A client_msg_id: exactly 16 bytes.
pub fn client_msg_id(id: &[u8]) -> Checked<[u8; CLIENT_MSG_ID_BYTES]> {
    id.try_into().map_err(|_| {
        invalid(format!("client_msg_id has {} bytes, it must have {CLIENT_MSG_ID_BYTES}", id.len()))
    })
}

/// Content: present, a type of 1 to 64 bytes, data within the limit.
pub fn content(content: Option<&v1::Content>) -> Checked {
    let content = content.ok_or_else(|| invalid("content is missing"))?;
    text("content.type", &content.r#type, 1, MAX_CONTENT_TYPE_BYTES)?;
    if content.data.len() > MAX_CONTENT_BYTES {
        let message = format!("content has {} bytes, the limit is {MAX_CONTENT_BYTES}", content.data.len());
        return Err(Refused::new(Code::CONTENT_TOO_LARGE, message));
    }
    Ok(())
}

/// Users to add and remove: at least one, within the limit, each well-formed and named once.
pub fn member_change(add: &[v1::NewMember], remove: &[String]) -> Checked {
    at_most("users", add.len() + remove.len(), MAX_MEMBERS_PER_CHANGE)?;
    let mut seen = std::collections::HashSet::new();
    for name in add.iter().map(|member| &member.user).chain(remove) {
        user(name)?;
        if !seen.insert(name) {
            return Err(invalid(format!("user {name:?} is named twice")));
        }
    }
    if add.iter().any(|member| v1::Role::try_from(member.role).is_err()) {
        return Err(invalid("role is not known"));
    }
    Ok(())
}

/// A count within its limit.
pub fn at_most(what: &str, count: usize, limit: usize) -> Checked {
    if count > limit {
        return Err(Refused::new(Code::TOO_MANY, format!("{count} {what}, the limit is {limit}")));
    }
    Ok(())
}

/// Shorthand for an INVALID_REQUEST.
pub fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(Code::INVALID_REQUEST, message)
}

fn text(what: &str, value: &str, min: usize, max: usize) -> Checked {
    if value.len() < min {
        return Err(invalid(format!("{what} is empty")));
    }
    if value.len() > max {
        return Err(invalid(format!("{what} has {} bytes, the limit is {max}", value.len())));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(format!("{what} contains a control character")));
    }
    Ok(())
}
