//! The application on a device: follows every conversation it hears of, and writes the history.

use std::collections::BTreeMap;

use bytes::Bytes;
use client::error::RequestError;
use client::inboxes::StreamId;
use client::requests::Ticket;
use client::{Ack, Change, Event as Told, Message, MessageId, Since};
use protocol::v1;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Answer;

use crate::say;
use crate::support::history::{Entry, Event, Meaning, Op, Outcome, ReadResult};
use crate::world::{Ev, World};

/// What an application remembers.
#[derive(Default)]
pub struct App {
    pub streams: BTreeMap<String, StreamId>,
    next: u64,
    pub tickets: BTreeMap<Ticket, Purpose>,
    /// In the order of sending.
    pub unsettled: Vec<Unsettled>,
    /// The highest seq seen of each conversation; survives the application.
    pub seen: BTreeMap<String, u64>,
    /// Conversation → what it was given, by seq; survives the application.
    pub log: BTreeMap<String, BTreeMap<u64, Message>>,
    /// Up to which version of the store it has listed all of its conversations; empty if it has not.
    version: Bytes,
    /// Reads and lists on their way, by the frame's id.
    pub asked: BTreeMap<u64, Op>,
}

/// A send that has no outcome yet.
pub struct Unsettled {
    pub op: Op,
    pub id: MessageId,
    pub conversation: String,
    pub send: v1::Send,
}

/// What a request was for.
pub enum Purpose {
    Read(Op),
    List,
    Create,
    Change(String, MessageId),
    Mark,
    SetPresence(bool),
    Other,
}

impl App {
    /// The application is gone, and with it what it had not stored.
    pub fn crash(&mut self) {
        self.streams.clear();
        self.tickets.clear();
        self.asked.clear();
        self.version = Bytes::new();
    }
}

impl World {
    /// The name of a device's conversation in the history: tenants do not share conversations.
    pub fn full(&self, d: usize, conversation: &str) -> String {
        format!("{}/{conversation}", self.devices[d].tenant)
    }

    pub fn full_user(&self, d: usize) -> String {
        format!("{}/{}", self.devices[d].tenant, self.devices[d].user)
    }

    pub fn request(&mut self, d: usize, purpose: Purpose, body: Ask) {
        let app = &mut self.devices[d].app;
        app.next += 1;
        let ticket = app.next;
        app.tickets.insert(ticket, purpose);
        let now = self.instant();
        self.devices[d].session.request(now, ticket, body);
        self.after(d);
    }

    /// The application follows a conversation.
    pub fn follow(&mut self, d: usize, conversation: &str) {
        if self.devices[d].app.streams.contains_key(conversation) {
            return;
        }
        let (device, user) = (self.devices[d].number, self.full_user(d));
        let named = self.full(d, conversation);
        self.history.push(Event::Follows { device, user, conversation: named, from: 1 });
        let app = &mut self.devices[d].app;
        app.next += 1;
        let stream = app.next;
        app.streams.insert(conversation.to_owned(), stream);
        let from = match app.seen.get(conversation) {
            Some(seq) => Since::Seq(seq + 1),
            None => Since::Start,
        };
        self.note(d, format!("follows {conversation} from {from:?}"));
        let now = self.instant();
        self.devices[d].session.open_stream(now, stream, conversation.to_owned(), from);
    }

    /// The application sends.
    pub fn send(&mut self, d: usize, conversation: &str, send: v1::Send, id: MessageId) {
        let body = send.content.as_ref().map(|content| content.data.to_vec()).unwrap_or_default();
        let (number, named) = (self.devices[d].number, self.full(d, conversation));
        let op = self.history.send(number, &named, id, &body);
        let conversation = conversation.to_owned();
        let unsettled = Unsettled { op, id, conversation: conversation.clone(), send: send.clone() };
        self.devices[d].app.unsettled.push(unsettled);
        let now = self.instant();
        self.devices[d].session.send(now, &conversation, id, send);
        self.after(d);
    }

    pub fn settled(&mut self, d: usize, id: MessageId, result: Result<Ack, RequestError>) {
        let app = &mut self.devices[d].app;
        let Some(at) = app.unsettled.iter().position(|unsettled| unsettled.id == id) else { return };
        let unsettled = app.unsettled.remove(at);
        let outcome = match result {
            Ok(Ack { seq, duplicate, .. }) => Outcome::Acked { seq, duplicate },
            Err(RequestError::Closed(_) | RequestError::Unexpected) => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
        self.note(d, format!("message {} is {outcome:?}", say::id(&id)));
        if let Outcome::Acked { seq: 1.., .. } = outcome {
            self.follow(d, &unsettled.conversation);
        }
        self.history.ended(unsettled.op, outcome);
    }

    pub fn answered(&mut self, d: usize, ticket: Ticket, answer: Result<Answer, RequestError>) {
        let Some(purpose) = self.devices[d].app.tickets.remove(&ticket) else { return };
        match (purpose, answer) {
            (Purpose::Read(op), Ok(Answer::SyncResult(result))) => self.read(op, result),
            (Purpose::List, Ok(Answer::Conversations(page))) => self.listed(d, page),
            (Purpose::List, Err(_)) => {
                let life = self.devices[d].life;
                self.at(self.now + 3_000, Ev::List(d, life));
            }
            (Purpose::Create, Ok(Answer::SendAck(ack))) => {
                let id = ack.client_msg_id[..].try_into().unwrap_or_default();
                self.changed(d, &ack.conversation, id, ack.seq);
                self.follow(d, &ack.conversation);
            }
            (Purpose::Change(conversation, id), Ok(Answer::SendAck(ack))) => {
                self.changed(d, &conversation, id, ack.seq);
            }
            (Purpose::SetPresence(away), Ok(Answer::Presence(_))) => self.devices[d].away = away,
            (Purpose::Mark, Ok(Answer::Cursor(cursor))) => {
                let (conversation, user) = (self.full(d, &cursor.conversation), self.full_user(d));
                let v1::Cursor { read, delivered, .. } = cursor;
                self.history.push(Event::Marked { conversation, user, read, delivered });
            }
            _ => {}
        }
    }

    fn changed(&mut self, d: usize, conversation: &str, id: MessageId, seq: u64) {
        let (device, conversation) = (self.devices[d].number, self.full(d, conversation));
        self.history.push(Event::ChangeAcked { device, conversation, id, seq });
    }

    fn read(&mut self, op: Op, result: v1::SyncResult) {
        let Some(range) = result.ranges.into_iter().next().filter(|range| range.error.is_none()) else {
            return;
        };
        let entries = range.messages.iter().map(|message| self.entry(message)).collect();
        let v1::SyncedRange { first, last, tip, has_more, .. } = range;
        self.history
            .push(Event::ReadEnded { op, result: ReadResult { first, last, tip, has_more, entries } });
    }

    fn listed(&mut self, d: usize, page: v1::ConversationPage) {
        for row in &page.conversations {
            let (device, user) = (self.devices[d].number, self.full_user(d));
            let conversation = self.full(d, &row.conversation);
            let v1::ConversationSummary { tip, read, unread, .. } = *row;
            self.history.push(Event::Unread { device, user, conversation, tip, read, unread });
            self.follow(d, &row.conversation);
        }
        if page.next_page.is_empty() {
            self.devices[d].app.version = page.version;
        } else {
            let list = v1::ListConversations { page: page.next_page, limit: 3, ..Default::default() };
            self.request(d, Purpose::List, Ask::ListConversations(list));
        }
    }

    /// The application asks for its conversations.
    pub fn list(&mut self, d: usize) {
        let mut list = v1::ListConversations { limit: 3, ..Default::default() };
        if self.rng.chance(600) {
            // All, or what has changed since it last had all.
            list.since_version = self.devices[d].app.version.clone();
        }
        self.request(d, Purpose::List, Ask::ListConversations(list));
    }

    pub fn delivered(&mut self, d: usize, stream: StreamId, message: &Message) {
        let device = &mut self.devices[d];
        let seen = device.app.seen.entry(message.conversation.clone()).or_default();
        *seen = (*seen).max(message.seq);
        let (number, life) = (device.number, device.life);
        let log = device.app.log.entry(message.conversation.clone()).or_default();
        log.insert(message.seq, message.clone());
        let conversation = self.full(d, &message.conversation);
        let entry = Entry {
            seq: message.seq,
            device: self.ids.get(&message.sender_device).copied().unwrap_or(message.sender_device),
            id: message.id[..].try_into().unwrap_or_default(),
            body: message.content.data.to_vec(),
            change: message.members_changed.is_some(),
            meaning: match message.change() {
                Some(Change::Edit(seq)) => Meaning::Edit(seq),
                Some(Change::Recall(seq)) => Meaning::Recall(seq),
                None if message.hidden => Meaning::Hidden,
                None => Meaning::Shown,
            },
            recalled: message.recalled,
        };
        self.history.push(Event::Saw { device: number, conversation, entry });
        let at = self.now + self.rng.range(0, 50);
        self.at(at, Ev::Refund(d, life, stream, 512 + message.content.data.len()));
    }

    /// The application took a message out of a stream.
    pub fn refund(&mut self, d: usize, life: u64, stream: StreamId, bytes: usize) {
        if self.devices[d].life == life {
            let now = self.instant();
            self.devices[d].session.refund(now, stream, 1, bytes);
            self.after(d);
        }
    }

    pub fn stream_ended(&mut self, d: usize, stream: StreamId, error: &RequestError) {
        self.note(d, format!("stream {stream} ends: {error}"));
        let app = &mut self.devices[d].app;
        app.streams.retain(|_, id| *id != stream);
        app.version = Bytes::new();
    }

    /// The client tells its application something beside messages.
    pub fn told(&mut self, d: usize, event: Told) {
        match event {
            Told::Connected { .. } => self.list(d),
            Told::NewConversation { conversation } | Told::Activity { conversation, .. } => {
                self.follow(d, &conversation);
            }
            _ => {}
        }
    }
}
