//! What a conversation wants done.

use bytes::Bytes;
use prost::Message as _;
pub use protocol::node::v1::push::Telling;
use protocol::v1::{Head, ServerFrame, server_frame};
use storage::ConversationKey;
use storage::log::Append;
use storage::member::Cursors;

use super::event::{Marked, ReplyTo};
use super::members::Users;

/// One output of a conversation. Actions are performed in order; completions come back as events.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answer a request. Not emitted for requests that want no answer.
    Reply { to: ReplyTo, body: server_frame::Body },
    /// Read a device's sender slots.
    LoadSender(u64),
    /// Read an entry that an edit or a recall refers to.
    LoadTarget(u64),
    /// Append; at most one at a time.
    Append(Append),
    /// Open the log again: it settles the append whose outcome is unknown.
    Reopen,
    /// Send a frame to whoever is connected.
    Push(Push),
    /// Raise a user's cursors.
    RaiseCursors { mark: Marked, cursors: Cursors },
    /// Ownership is given up: forget the conversation. Everything it held has been answered.
    Drop,
}

/// One frame for many users.
#[derive(Clone, Debug)]
pub struct Push {
    pub users: Users,
    /// An encoded `ServerFrame` without session_seq.
    pub frame: Bytes,
    /// 0 for a frame that may be dropped.
    pub seq: u64,
    pub except: Except,
    pub telling: Telling,
}

impl Push {
    /// Tells again what was committed before, or by another owner.
    pub fn head(key: &ConversationKey, users: Users, tip: u64, except: Except, telling: Telling) -> Push {
        let head = Head { conversation: key.conversation.to_string(), tip };
        let frame = ServerFrame { session_seq: 0, re: 0, body: Some(server_frame::Body::Head(head)) };
        Push { users, frame: frame.encode_to_vec().into(), seq: tip, except, telling }
    }
}

/// Who of a push's users does not get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Except {
    Nobody,
    /// The session that caused it, which gets the answer: a later session of the device does not.
    Session {
        device: u64,
        epoch: u64,
    },
    /// All devices of the user who caused it.
    User(String),
}
