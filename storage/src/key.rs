//! A conversation's full name.

use std::fmt;
use std::sync::Arc;

/// Tenant and conversation id. Cheap to clone. Both were checked by `protocol::check` where they came in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationKey {
    pub tenant: Arc<str>,
    pub conversation: Arc<str>,
}

impl ConversationKey {
    pub fn new(tenant: impl Into<Arc<str>>, conversation: impl Into<Arc<str>>) -> Self {
        Self { tenant: tenant.into(), conversation: conversation.into() }
    }
}

impl fmt::Debug for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.conversation)
    }
}

impl fmt::Display for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
