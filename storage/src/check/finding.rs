//! What may be wrong.

use std::fmt;

use crate::key::ConversationKey;

/// Something that a store holds and should not, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `None` for what belongs to no conversation.
    pub key: Option<ConversationKey>,
    pub fault: Fault,
}

/// What is wrong. The text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A row does not parse, or is damaged.
    #[error("{what} cannot be read: {why}")]
    Unreadable { what: String, why: String },
    #[error("entry {seq} is not there, though the log ends at {tip}")]
    Missing { seq: u64, tip: u64 },
    /// Many in a row are not there: the rest of the log was left out.
    #[error("no entry from {first} on can be read; the rest was not checked")]
    Rest { first: u64 },
    #[error("entry {seq} is no message: {why}")]
    Undecodable { seq: u64, why: String },
    #[error("entry {seq} says that it is entry {says}")]
    Seq { seq: u64, says: u64 },
    #[error("one send of device {device:016x} is stored twice, as {first} and as {second}")]
    Repeated { device: u64, first: u64, second: u64 },
    #[error("slot {slot} of device {device:016x} names entry {seq}: {why}")]
    Slot { device: u64, slot: u8, seq: u64, why: &'static str },
    #[error("no slot of device {device:016x} remembers its send {seq}; a retry would store it again")]
    Forgotten { device: u64, seq: u64 },
    #[error("entry {seq} changes entry {target}, which is not before it")]
    Relation { seq: u64, target: u64 },
    #[error("entry {seq} {why}")]
    Fate { seq: u64, why: String },
    #[error("the spans of {user} are wrong: {why}")]
    Spans { user: String, why: &'static str },
    #[error("the membership of {user} is not what the entries say")]
    Member { user: String },
    #[error("the {cursor} cursor of {user} is {value}, past the tip {tip}")]
    Cursor { user: String, cursor: &'static str, value: u64, tip: u64 },
    #[error("the latest message of {user} is {latest}, and the sent cursor says {sent}")]
    Sent { user: String, latest: u64, sent: u64 },
    #[error("{user} is told that {told} of the unread entries are not shown; it is {counted}")]
    Unread { user: String, told: u64, counted: u64 },
    #[error("{user} is told that {told} is the last entry shown; it is {counted}")]
    Shown { user: String, told: u64, counted: u64 },
    #[error("it is not in the list of conversations of its member {user}")]
    Unlisted { user: String },
    /// Rows that no reader is given contradict each other.
    #[error("{why}")]
    Rows { why: String },
}

impl Fault {
    /// A name that stays the same, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Unreadable { .. } => "unreadable",
            Fault::Missing { .. } => "missing",
            Fault::Rest { .. } => "rest",
            Fault::Undecodable { .. } => "undecodable",
            Fault::Seq { .. } => "seq",
            Fault::Repeated { .. } => "repeated",
            Fault::Slot { .. } => "slot",
            Fault::Forgotten { .. } => "forgotten",
            Fault::Relation { .. } => "relation",
            Fault::Fate { .. } => "fate",
            Fault::Spans { .. } => "spans",
            Fault::Member { .. } => "member",
            Fault::Cursor { .. } => "cursor",
            Fault::Sent { .. } => "sent",
            Fault::Unread { .. } => "unread",
            Fault::Shown { .. } => "shown",
            Fault::Unlisted { .. } => "unlisted",
            Fault::Rows { .. } => "rows",
        }
    }
}

/// `code tenant/conversation: text`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.fault.code())?;
        match &self.key {
            Some(key) => write!(f, "{key}: {}", self.fault),
            None => write!(f, "{}", self.fault),
        }
    }
}
