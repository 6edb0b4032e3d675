//! All open streams: which conversation each reads, and which of them want a Sync. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use protocol::limit::MAX_SYNC_RANGES;
use protocol::v1::{SyncRange, SyncedRange};

use crate::inbox::{Inbox, Pull, Since};
use crate::message::Message;

/// Names one stream of this client.
pub type StreamId = u64;

/// The pure state of all streams.
#[derive(Debug, Default)]
pub struct Inboxes {
    streams: HashMap<StreamId, (String, Inbox)>,
    by_conversation: HashMap<String, Vec<StreamId>>,
    due: BTreeSet<StreamId>,
    waiting: BTreeSet<(Instant, StreamId)>,
}

impl Inboxes {
    /// Adds a stream.
    pub fn open(&mut self, id: StreamId, conversation: String, from: Since) {
        self.by_conversation.entry(conversation.clone()).or_default().push(id);
        self.streams.insert(id, (conversation, Inbox::new(from)));
        self.note(id);
    }

    /// Removes a stream.
    pub fn close(&mut self, id: StreamId) {
        self.forget(id);
        let Some((conversation, _)) = self.streams.remove(&id) else { return };
        if let Some(ids) = self.by_conversation.get_mut(&conversation) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_conversation.remove(&conversation);
            }
        }
    }

    /// Whether any stream reads this conversation.
    pub fn reads(&self, conversation: &str) -> bool {
        self.by_conversation.contains_key(conversation)
    }

    /// Offers a message to the streams of its conversation; returns who gets what.
    pub fn offer(&mut self, now: Instant, message: &Message) -> Vec<(StreamId, Message)> {
        let mut delivered = Vec::new();
        self.each(&message.conversation, |id, inbox| {
            delivered.extend(inbox.offer(now, message.clone()).into_iter().map(|message| (id, message)));
        });
        delivered
    }

    /// The conversation reaches at least this seq.
    pub fn tell_tip(&mut self, conversation: &str, seq: u64) {
        self.each(conversation, |_, inbox| inbox.tell_tip(seq));
    }

    /// The next Sync: ranges and, in the same order, the streams that asked.
    pub fn take_sync(&mut self) -> Option<(Vec<StreamId>, Vec<SyncRange>)> {
        let (mut ids, mut ranges) = (Vec::new(), Vec::new());
        let due: Vec<StreamId> = self.due.iter().copied().take(MAX_SYNC_RANGES).collect();
        for id in due {
            if let Some((conversation, inbox)) = self.streams.get_mut(&id) {
                ranges.extend(inbox.take_range(conversation));
                ids.push(id);
            }
            self.note(id);
        }
        (!ranges.is_empty()).then_some((ids, ranges))
    }

    /// One range of an answer. Returns what is to be delivered.
    pub fn on_range(&mut self, now: Instant, id: StreamId, range: SyncedRange) -> Vec<Message> {
        let delivered = self.with(id, |inbox| inbox.on_range(now, range));
        delivered.unwrap_or_default()
    }

    /// The stream's range was not read.
    pub fn on_failed(&mut self, now: Instant, id: StreamId, wait: Duration) {
        self.with(id, |inbox| inbox.on_failed(now, wait));
    }

    /// The stream's conversation does not exist yet.
    pub fn on_absent(&mut self, id: StreamId) {
        self.with(id, Inbox::on_absent);
    }

    /// The conversation a stream reads.
    pub fn conversation(&self, id: StreamId) -> Option<&str> {
        self.streams.get(&id).map(|(conversation, _)| conversation.as_str())
    }

    /// The application took messages out of a stream.
    pub fn refund(&mut self, id: StreamId, messages: usize, bytes: usize) {
        self.with(id, |inbox| inbox.refund(messages, bytes));
    }

    /// The connection is new, or pushes may have been lost: every stream asks the log.
    pub fn restart(&mut self) {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.with(id, Inbox::restart);
        }
    }

    /// Makes pulls due whose time has come.
    pub fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, id));
            self.with(id, |inbox| inbox.wake(now));
        }
    }

    /// When [`Inboxes::wake`] is to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    fn each(&mut self, conversation: &str, mut f: impl FnMut(StreamId, &mut Inbox)) {
        let ids = self.by_conversation.get(conversation).cloned().unwrap_or_default();
        for id in ids {
            self.with(id, |inbox| f(id, inbox));
        }
    }

    fn with<T>(&mut self, id: StreamId, f: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
        self.forget(id);
        let (_, inbox) = self.streams.get_mut(&id)?;
        let result = f(inbox);
        self.note(id);
        Some(result)
    }

    /// Takes the stream out of both indexes.
    fn forget(&mut self, id: StreamId) {
        self.due.remove(&id);
        if let Some((_, inbox)) = self.streams.get(&id)
            && let Pull::After(at) = inbox.pull()
        {
            self.waiting.remove(&(at, id));
        }
    }

    /// Puts the stream where its inbox says.
    fn note(&mut self, id: StreamId) {
        let pull = self.streams.get(&id).map(|(_, inbox)| inbox.pull());
        match pull {
            Some(Pull::Due) => drop(self.due.insert(id)),
            Some(Pull::After(at)) => drop(self.waiting.insert((at, id))),
            _ => drop(self.due.remove(&id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_streams_of_one_conversation_both_get_a_message() {
        let now = Instant::now();
        let mut inboxes = Inboxes::default();
        inboxes.open(1, "a".into(), Since::Seq(1));
        inboxes.open(2, "a".into(), Since::Seq(2));
        let first = protocol::v1::Message { seq: 1, conversation: "a".into(), ..Default::default() };
        let mut takers = |message: protocol::v1::Message| {
            let delivered = inboxes.offer(now, &Message::from_wire(message, ""));
            delivered.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(takers(first.clone()), [1]);
        let second = protocol::v1::Message { seq: 2, ..first };
        assert_eq!(takers(second), [1, 2]);
    }

    #[test]
    fn a_sync_names_at_most_as_many_ranges_as_the_server_takes() {
        let mut inboxes = Inboxes::default();
        for id in 0..70 {
            inboxes.open(id, format!("c{id}"), Since::Start);
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| inboxes.take_sync()).map(|(_, r)| r.len()).collect();
        assert_eq!(sizes, [32, 32, 6]);
    }

    #[test]
    fn a_closed_stream_leaves_nothing_behind() {
        let now = Instant::now();
        let mut inboxes = Inboxes::default();
        inboxes.open(1, "a".into(), Since::Start);
        inboxes.take_sync();
        inboxes.on_failed(now, 1, Duration::from_secs(1));
        inboxes.close(1);
        assert_eq!(inboxes.deadline(), None);
        assert!(!inboxes.reads("a"));
        assert!(inboxes.take_sync().is_none());
    }
}
