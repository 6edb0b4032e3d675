//! What frames ask and tell, as the history has it.

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Answer;
use protocol::v1::{self, ClientFrame, ServerFrame};

use crate::support::history::{Entry, Event, Meaning, Op};
use crate::world::World;

impl World {
    /// What a frame tells a device, beside what its session makes of it.
    pub fn record(&mut self, d: usize, frame: &ServerFrame) {
        match &frame.body {
            Some(Answer::Message(message)) => self.received(d, &message.conversation, message.seq),
            Some(Answer::Head(head)) => self.learned(d, &head.conversation, head.tip),
            Some(Answer::SendAck(ack)) => self.learned(d, &ack.conversation, ack.seq),
            Some(Answer::SyncResult(result)) => {
                let op = self.devices[d].app.asked.remove(&frame.re);
                let ranges = result.ranges.iter().filter(|range| range.error.is_none());
                ranges.for_each(|range| self.synced(d, op, range));
            }
            Some(Answer::Conversations(page)) => {
                let op = self.devices[d].app.asked.remove(&frame.re);
                page.conversations.iter().for_each(|row| self.row(d, op, row));
            }
            Some(Answer::Error(error)) => self.refused(d, error),
            Some(Answer::Cursor(cursor)) if frame.re == 0 => {
                let (device, conversation) = (self.devices[d].number, self.full(d, &cursor.conversation));
                let user = format!("{}/{}", self.devices[d].tenant, cursor.user);
                let v1::Cursor { read, delivered, .. } = *cursor;
                let connection = self.devices[d].conn().unwrap_or_default() as u64;
                let told = Event::CursorTold { device, connection, conversation, user, read, delivered };
                self.history.push(told);
            }
            _ => {}
        }
    }

    /// A device asks: what its frames ask is noted by their ids.
    pub fn asks(&mut self, d: usize, frame: &ClientFrame) {
        if let Some(Ask::Sync(_) | Ask::ListConversations(_)) = &frame.body {
            let op = self.history.asks(self.devices[d].number);
            self.devices[d].app.asked.insert(frame.id, op);
        }
    }

    fn synced(&mut self, d: usize, op: Option<Op>, range: &v1::SyncedRange) {
        range.messages.iter().for_each(|message| self.received(d, &range.conversation, message.seq));
        self.learned(d, &range.conversation, range.tip);
        if let Some(op) = op {
            let conversation = self.full(d, &range.conversation);
            let entries = range.messages.iter().map(|message| (message.seq, message.recalled)).collect();
            self.history.push(Event::Serves { op, conversation, entries });
        }
    }

    fn row(&mut self, d: usize, op: Option<Op>, row: &v1::ConversationSummary) {
        if let Some(message) = &row.last_message {
            self.received(d, &row.conversation, message.seq);
            self.received(d, &row.conversation, message.edited);
        }
        self.learned(d, &row.conversation, row.tip);
        if let Some(op) = op {
            let (user, conversation) = (self.full_user(d), self.full(d, &row.conversation));
            let last = row.last_message.as_ref().map(|message| self.entry(message));
            let edited = row.last_message.as_ref().map_or(0, |message| message.edited);
            self.history.push(Event::Lists { op, user, conversation, tip: row.tip, last, edited });
        }
    }

    fn received(&mut self, d: usize, conversation: &str, seq: u64) {
        if seq > 0 {
            let (device, user) = (self.devices[d].number, self.full_user(d));
            let named = self.full(d, conversation);
            self.history.push(Event::Received { device, user, conversation: named, seq });
            self.learned(d, conversation, seq);
        }
    }

    fn learned(&mut self, d: usize, conversation: &str, tip: u64) {
        let (device, conversation, at) = (self.devices[d].number, self.full(d, conversation), self.now);
        self.history.push(Event::Learned { device, conversation, tip, at });
    }

    /// A message off the wire, or out of the log.
    pub fn entry(&self, message: &v1::Message) -> Entry {
        Entry {
            seq: message.seq,
            device: self.ids.get(&message.sender_device).copied().unwrap_or(message.sender_device),
            id: message.client_msg_id[..].try_into().unwrap_or_default(),
            body: message.content.as_ref().map(|content| content.data.to_vec()).unwrap_or_default(),
            change: message.members_changed.is_some(),
            meaning: Meaning::of(message),
            recalled: message.recalled,
        }
    }
}
