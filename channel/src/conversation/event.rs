//! What happens to a conversation.

use idgen::NodeId;
use protocol::limit::CLIENT_MSG_ID_BYTES;
use protocol::names;
use protocol::v1;
use storage::log::{AppendOutcome, Opened, SenderSlot, StoredEntry};
use storage::member::Cursors;
use storage::{ConversationKey, StoreError};

/// A client_msg_id of the right length.
pub type MsgId = [u8; CLIENT_MSG_ID_BYTES];

/// One input of a conversation.
#[derive(Clone, Debug)]
pub enum Event {
    Request(Request),
    /// Answers `Action::LoadSender`.
    SenderLoaded {
        device: u64,
        slots: Result<Vec<SenderSlot>, StoreError>,
    },
    /// Answers `Action::LoadTarget`.
    TargetLoaded {
        seq: u64,
        entry: Result<Option<StoredEntry>, StoreError>,
    },
    /// Answers `Action::Append`.
    Appended(AppendOutcome),
    /// Answers `Action::Reopen`.
    Reopened(Result<Opened, StoreError>),
    /// Answers `Action::RaiseCursors`.
    CursorsRaised {
        mark: Marked,
        cursors: Result<Cursors, StoreError>,
    },
}

/// One request, as its origin's token and frame said. `user` is empty for a request of the node itself.
#[derive(Clone, Debug)]
pub struct Request {
    pub to: ReplyTo,
    pub user: String,
    pub body: Body,
}

impl Request {
    /// Whether it passes without a trace: what it says is neither stored nor looked up.
    pub fn is_passing(&self) -> bool {
        matches!(&self.body, Body::Send(send) if send.no_store && send.relation.is_none())
    }

    /// Whether the id of this conversation, a direct one, names the user who asks.
    pub fn is_of_its_user(&self, key: &ConversationKey) -> bool {
        names::direct_peer(&key.conversation, &self.user).is_some()
    }

    /// Whether it may write the first entry of a conversation.
    pub fn may_create(&self, key: &ConversationKey) -> bool {
        match &self.body {
            Body::Create(_) => true,
            Body::Send(send) => !send.no_store && self.is_of_its_user(key),
            Body::Change(_) | Body::Mark(_) | Body::Signal(_) => false,
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Body {
    Send(v1::Send),
    Create(v1::CreateConversation),
    Change(v1::ChangeMembers),
    Mark(v1::Mark),
    Signal(v1::Signal),
}

/// Where the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyTo {
    Device(Asker),
    /// The node's own back-end: a ticket that the performer of the actions understands.
    Node(u64),
}

/// A request of a device: which connection of which device, and the frame's id (0 wants no answer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    pub connector: NodeId,
    pub device: u64,
    pub epoch: u64,
    pub re: u64,
}

/// A Mark on its way through the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    pub to: ReplyTo,
    pub user: String,
}

impl ReplyTo {
    /// The device that asks; `None` for the node.
    pub fn device(&self) -> Option<u64> {
        match self {
            ReplyTo::Device(asker) => Some(asker.device),
            ReplyTo::Node(_) => None,
        }
    }

    pub(super) fn wants_answer(&self) -> bool {
        !matches!(self, ReplyTo::Device(Asker { re: 0, .. }))
    }
}
