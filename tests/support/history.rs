//! What happened in a run, as its devices saw it: operations with their outcomes, and observations.
//!
//! The order of the records is the order in which one recorder was told: a record that stands before another
//! happened before it, or at the same time. Nothing here knows of sockets, so a simulation records the same.

use std::fmt;

/// A DeviceId.
pub type Device = u64;
/// A client_msg_id.
pub type MsgId = [u8; 16];
/// Names one operation of a history.
pub type Op = usize;

/// One entry of a conversation's log, as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub device: Device,
    pub id: MsgId,
    pub body: Vec<u8>,
    /// A join, a leave or the creation: not the content of a recorded send.
    pub change: bool,
}

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acked {
        seq: u64,
        duplicate: bool,
    },
    /// Definitely not stored.
    Refused,
    /// A timeout, a lost connection, an UNKNOWN: perhaps stored, perhaps stored later.
    Unknown,
}

/// What a read of the log returned: seqs `first..=last` were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResult {
    pub first: u64,
    pub last: u64,
    pub tip: u64,
    pub has_more: bool,
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A device sends, or sends again: a retry repeats conversation and id.
    SendInvoked {
        op: Op,
        device: Device,
        conversation: String,
        id: MsgId,
        body: Vec<u8>,
    },
    SendEnded {
        op: Op,
        outcome: Outcome,
    },
    /// A user may see the seqs `from..=to`, as the log's joins and leaves say.
    Entitled {
        conversation: String,
        user: String,
        from: u64,
        to: u64,
    },
    /// From here on this device takes the conversation's messages, starting with `from`.
    Follows {
        device: Device,
        user: String,
        conversation: String,
        from: u64,
    },
    /// A message reached a device, pushed or pulled by its SDK. Repeats are allowed.
    Saw {
        device: Device,
        conversation: String,
        entry: Entry,
    },
    /// A forward read of the log asked for by a user's device.
    ReadInvoked {
        op: Op,
        device: Device,
        user: String,
        conversation: String,
        from: u64,
    },
    ReadEnded {
        op: Op,
        result: ReadResult,
    },
    /// The whole log of a conversation, read when everything had come to rest.
    Final {
        conversation: String,
        entries: Vec<Entry>,
    },
    /// This device was online when everything had come to rest, and had the time to catch up.
    CaughtUp {
        device: Device,
        conversation: String,
    },
}

/// The records of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub events: Vec<Event>,
    next: Op,
}

impl History {
    pub fn new() -> History {
        History::default()
    }

    /// Adds what just happened.
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// A device sends; the operation's name comes back.
    pub fn send(&mut self, device: Device, conversation: &str, id: MsgId, body: &[u8]) -> Op {
        let op = self.operation();
        let (conversation, body) = (conversation.to_owned(), body.to_vec());
        self.push(Event::SendInvoked { op, device, conversation, id, body });
        op
    }

    /// How that send ended.
    pub fn ended(&mut self, op: Op, outcome: Outcome) {
        self.push(Event::SendEnded { op, outcome });
    }

    /// A user's device begins to read.
    pub fn read(&mut self, device: Device, user: &str, conversation: &str, from: u64) -> Op {
        let op = self.operation();
        let (user, conversation) = (user.to_owned(), conversation.to_owned());
        self.push(Event::ReadInvoked { op, device, user, conversation, from });
        op
    }

    fn operation(&mut self) -> Op {
        self.next += 1;
        self.next
    }
}

/// Writes an id as people compare it.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
