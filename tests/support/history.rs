//! What happened in a run, as its devices saw it: operations with their outcomes, and observations.
//!
//! The order of the records is the order in which one recorder was told: a record that stands before another
//! happened before it, or at the same time. Nothing here knows of sockets, so a simulation records the same.

use std::fmt;

use protocol::v1::Message;
use protocol::v1::relation::Kind;

/// A DeviceId.
pub type Device = u64;
/// A client_msg_id.
pub type MsgId = [u8; 16];
/// Names one operation of a history.
pub type Op = usize;
/// Milliseconds since the run began.
pub type Millis = u64;

/// One entry of a conversation's log, as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub device: Device,
    pub id: MsgId,
    pub body: Vec<u8>,
    /// A join, a leave or the creation: not the content of a recorded send.
    pub change: bool,
    pub meaning: Meaning,
    /// It came without its content, because it was recalled.
    pub recalled: bool,
}

/// What an entry is to those who read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    #[default]
    Shown,
    Hidden,
    /// Takes the place of the content of this seq.
    Edit(u64),
    /// Takes the content of this seq, and of every edit of it, away.
    Recall(u64),
}

impl Meaning {
    pub fn of(message: &Message) -> Meaning {
        match message.relation {
            Some(relation) if relation.kind() == Kind::Edit => Meaning::Edit(relation.seq),
            Some(relation) if relation.kind() == Kind::Recall => Meaning::Recall(relation.seq),
            _ if message.hidden => Meaning::Hidden,
            _ => Meaning::Shown,
        }
    }
}

/// What a user is to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    #[default]
    Offline,
    Away,
    Online,
}

/// One event of a tenant's presence stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub seq: u64,
    pub user: String,
    pub standing: Standing,
    /// Of the writer.
    pub epoch: u64,
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
    /// A member with history may also see what was said before joining: `from..=to`. What a user came back to is
    /// not `owed` to devices that went on from where they were.
    Granted {
        conversation: String,
        user: String,
        from: u64,
        to: u64,
        owed: bool,
    },
    /// A creation or a change of members was acknowledged.
    ChangeAcked {
        device: Device,
        conversation: String,
        id: MsgId,
        seq: u64,
    },
    /// The log reaches `tip` on stable storage.
    Committed {
        conversation: String,
        tip: u64,
        at: Millis,
    },
    /// From now on nothing between this device and the gateway excuses a delay, or something does.
    Reach {
        device: Device,
        user: String,
        reachable: bool,
        at: Millis,
    },
    /// A frame told a device that the conversation reaches `tip`.
    Learned {
        device: Device,
        conversation: String,
        tip: u64,
        at: Millis,
    },
    /// A stored message came to a device in any frame, whatever its SDK made of it.
    Received {
        device: Device,
        user: String,
        conversation: String,
        seq: u64,
    },
    /// The users who are members now, as stored when everything had come to rest.
    FinalMembers {
        conversation: String,
        users: Vec<String>,
    },
    /// A connection that its gateway holds: the routes of its device, and how long it stands without one.
    Routed {
        device: Device,
        connection: u64,
        routes: u64,
        unrouted_ms: Millis,
    },
    /// A Mark was answered with the cursors as they are.
    Marked {
        conversation: String,
        user: String,
        read: u64,
        delivered: u64,
    },
    /// A device was told of a member's cursors on one of its connections.
    CursorTold {
        device: Device,
        connection: u64,
        conversation: String,
        user: String,
        read: u64,
        delivered: u64,
    },
    /// A member's cursors as stored when everything had come to rest, and the tip of the log.
    FinalCursor {
        conversation: String,
        user: String,
        read: u64,
        delivered: u64,
        tip: u64,
    },
    /// What the gateway says a user has not read.
    Unread {
        device: Device,
        user: String,
        conversation: String,
        tip: u64,
        read: u64,
        unread: u64,
    },
    /// Entries that do not count as unread: hidden ones, edits and recalls.
    Silent {
        conversation: String,
        seqs: Vec<u64>,
    },
    /// A device asks for entries or for a list of conversations, in one frame.
    Asks {
        op: Op,
        device: Device,
    },
    /// The answer served entries of a conversation: their seqs, and whether each came without its content.
    Serves {
        op: Op,
        conversation: String,
        entries: Vec<(u64, bool)>,
    },
    /// The answer listed a conversation whose last message is this, with the content of the edit `edited`, or its own
    /// where that is 0.
    Lists {
        op: Op,
        user: String,
        conversation: String,
        tip: u64,
        last: Option<Entry>,
        edited: u64,
    },
    /// What an application that is caught up shows of a conversation; `None` stands for what was recalled.
    Rendered {
        device: Device,
        user: String,
        conversation: String,
        rows: Vec<(u64, Option<Vec<u8>>)>,
    },
    /// The backend asks for a tenant's presence stream.
    StreamAsked {
        op: Op,
        tenant: String,
    },
    /// The events after `after`, at most `limit`.
    StreamRead {
        op: Op,
        after: u64,
        limit: u64,
        tip: u64,
        events: Vec<Presence>,
    },
    /// The whole presence stream and what is stored of each user, when everything had come to rest.
    FinalPresence {
        tenant: String,
        events: Vec<Presence>,
        standings: Vec<(String, Standing)>,
    },
    /// What a user's devices made of the user when everything had come to rest.
    PresentAtRest {
        tenant: String,
        user: String,
        standing: Standing,
    },
    /// The presence stream says that a user is offline, of whom a device has been reachable for so long.
    SaidOffline {
        user: String,
        device: Device,
        reachable_ms: Millis,
    },
    /// A gateway that drains ended a connection that nothing held up; whether the device was told to come back.
    SentAway {
        device: Device,
        connection: u64,
        told: bool,
    },
    /// A gateway that drains refused a request, or the device.
    RefusedInDrain {
        device: Device,
        code: u32,
        retryable: bool,
    },
    /// Bytes that wait for a device in its gateway, and the most that may.
    Held {
        device: Device,
        bytes: u64,
        bound: u64,
    },
    /// Everything had come to rest: whether the device was online, and how many of its sends had no outcome.
    AtRest {
        device: Device,
        online: bool,
        unsettled: u64,
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

    /// A device asks for entries or a list in one frame.
    pub fn asks(&mut self, device: Device) -> Op {
        let op = self.operation();
        self.push(Event::Asks { op, device });
        op
    }

    /// The backend asks for a tenant's presence stream.
    pub fn asks_stream(&mut self, tenant: &str) -> Op {
        let op = self.operation();
        self.push(Event::StreamAsked { op, tenant: tenant.to_owned() });
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
