//! One stream of one conversation: what has been delivered, what is known to exist, what to pull. Pure.
//!
//! Pushes, heads, own acks and synced ranges come in any order; out come the messages from the starting seq
//! upwards, each once, without a hole. The buffer towards the application is counted in credit: without credit
//! nothing is kept, it is pulled again later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::limit::MAX_SYNC_MESSAGES;
use protocol::v1::{SyncRange, SyncedRange};

use crate::message::Message;

/// Most messages that wait for the application in one stream.
pub const STREAM_MESSAGES: usize = 256;
/// Bytes waiting for the application after which a stream pulls no more; one message may go past it.
pub const STREAM_BYTES: usize = 1024 * 1024;
/// Most messages kept that arrived before an earlier one.
pub const EARLY_MESSAGES: usize = 64;
/// Most bytes of such messages.
pub const EARLY_BYTES: usize = 256 * 1024;
/// How long a missing push may still be on its way before the log is asked: acks and pushes of one
/// conversation overtake each other.
const GRACE: Duration = Duration::from_millis(40);
/// How often a pull that brings nothing is tried again before the server's answer is believed.
const EMPTY_PULLS: u32 = 4;
/// Wait before such a pull.
const EMPTY_PULL_WAIT: Duration = Duration::from_millis(250);

/// Where a stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With the first message this user may see.
    Start,
    /// With this seq.
    Seq(u64),
    /// With the first message after those that are there now.
    Latest,
}

/// What an inbox wants from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Nothing.
    Idle,
    /// A range, as soon as a request may go out.
    Due,
    /// The answer is awaited.
    InFlight,
    /// A range, but not before this time.
    After(Instant),
}

/// The pure state of one stream.
#[derive(Debug)]
pub struct Inbox {
    /// The next seq to deliver; 0 while the tip to start after is not known.
    next: u64,
    /// The lowest seq seen while `next` is not known.
    first_seen: u64,
    /// The highest seq known to exist.
    tip: u64,
    pull: Pull,
    /// The delayed pull is for a gap that a push may still close.
    grace: bool,
    early: BTreeMap<u64, Message>,
    early_bytes: usize,
    empty_pulls: u32,
    messages: i64,
    bytes: i64,
}

impl Inbox {
    /// A stream that pulls at once.
    pub fn new(from: Since) -> Inbox {
        let next = match from {
            Since::Start => 1,
            Since::Seq(seq) => seq.max(1),
            Since::Latest => 0,
        };
        Inbox {
            next,
            first_seen: u64::MAX,
            tip: 0,
            pull: Pull::Due,
            grace: false,
            early: BTreeMap::new(),
            early_bytes: 0,
            empty_pulls: 0,
            messages: STREAM_MESSAGES as i64,
            bytes: STREAM_BYTES as i64,
        }
    }

    /// What it wants from the log now. A stream without credit wants nothing.
    pub fn pull(&self) -> Pull {
        if self.pull == Pull::Due && !self.has_credit() { Pull::Idle } else { self.pull }
    }

    /// A message was pushed, or one's own was acknowledged. Returns what is to be delivered, ascending.
    pub fn offer(&mut self, now: Instant, message: Message) -> Vec<Message> {
        self.tip = self.tip.max(message.seq);
        if self.next == 0 {
            self.first_seen = self.first_seen.min(message.seq);
            return Vec::new();
        }
        let mut out = Vec::new();
        if message.seq > self.next {
            self.keep_early(message);
        } else if message.seq == self.next && self.has_credit() {
            out.push(self.deliver(message));
            self.deliver_early(&mut out);
        }
        self.plan_grace(now);
        out
    }

    /// The conversation reaches at least this seq.
    pub fn tell_tip(&mut self, seq: u64) {
        if self.next == 0 {
            self.first_seen = self.first_seen.min(seq);
        }
        self.tip = self.tip.max(seq);
        if self.next != 0 && self.tip >= self.next && self.pull == Pull::Idle {
            self.pull = Pull::Due;
        }
    }

    /// Takes the range to ask for, if one is due. The answer goes to [`Inbox::on_range`], or
    /// [`Inbox::on_failed`] if there is none.
    pub fn take_range(&mut self, conversation: &str) -> Option<SyncRange> {
        if self.pull() != Pull::Due {
            return None;
        }
        self.pull = Pull::InFlight;
        let backwards = self.next == 0;
        let room = usize::try_from(self.messages).unwrap_or(1).min(MAX_SYNC_MESSAGES);
        Some(SyncRange {
            conversation: conversation.to_owned(),
            from: self.next,
            backwards,
            limit: if backwards { 1 } else { room as u32 },
        })
    }

    /// The log's answer. Returns what is to be delivered, ascending.
    pub fn on_range(&mut self, now: Instant, range: SyncedRange) -> Vec<Message> {
        self.pull = Pull::Idle;
        self.tip = self.tip.max(range.tip);
        if self.next == 0 {
            self.next = range.tip.saturating_add(1).min(self.first_seen);
            self.tell_tip(0);
            return Vec::new();
        }
        let before = self.next;
        let mut out = self.take_messages(&range);
        self.deliver_early(&mut out);
        self.plan(now, before, range.has_more);
        out
    }

    /// The range was not read: try again after `wait`.
    pub fn on_failed(&mut self, now: Instant, wait: Duration) {
        self.pull = Pull::After(now + wait);
    }

    /// There is no conversation yet: wait for its first message.
    pub fn on_absent(&mut self) {
        self.pull = Pull::Idle;
        self.next = self.next.max(1);
        self.tell_tip(0);
    }

    /// The connection is new, or pushes may have been lost: ask the log.
    pub fn restart(&mut self) {
        self.pull = Pull::Due;
        self.grace = false;
        self.empty_pulls = 0;
    }

    /// The time of a delayed pull has come.
    pub fn wake(&mut self, now: Instant) {
        if matches!(self.pull, Pull::After(at) if at <= now) {
            self.pull = Pull::Due;
            self.grace = false;
        }
    }

    /// The application took this many messages and bytes.
    pub fn refund(&mut self, messages: usize, bytes: usize) {
        self.messages += messages as i64;
        self.bytes += bytes as i64;
        self.tell_tip(0);
    }

    fn has_credit(&self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    fn deliver(&mut self, message: Message) -> Message {
        self.next = message.seq + 1;
        self.messages -= 1;
        self.bytes -= message.cost() as i64;
        message
    }

    /// Keeps a message that is not the next one, as long as there is room.
    fn keep_early(&mut self, message: Message) {
        let room = self.early.len() < EARLY_MESSAGES && self.early_bytes + message.cost() <= EARLY_BYTES;
        if room && self.has_credit() && !self.early.contains_key(&message.seq) {
            self.early_bytes += message.cost();
            self.early.insert(message.seq, message);
        }
    }

    /// Delivers what was early and is next now.
    fn deliver_early(&mut self, out: &mut Vec<Message>) {
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.next) {
            if *entry.key() == self.next && !(self.messages > 0 && self.bytes > 0) {
                return;
            }
            let message = entry.remove();
            self.early_bytes -= message.cost();
            if message.seq == self.next {
                out.push(self.deliver(message));
            }
        }
    }

    /// A gap is pulled after a grace, unless a push closes it before.
    fn plan_grace(&mut self, now: Instant) {
        let behind = self.tip >= self.next;
        match self.pull {
            Pull::Idle if behind => (self.pull, self.grace) = (Pull::After(now + GRACE), true),
            Pull::After(_) if self.grace && !behind => (self.pull, self.grace) = (Pull::Idle, false),
            _ => {}
        }
    }

    /// Delivers what the range adds while there is credit, and passes over what this user may not see.
    fn take_messages(&mut self, range: &SyncedRange) -> Vec<Message> {
        let mut out = Vec::new();
        for message in &range.messages {
            if message.seq < self.next || message.seq > range.last {
                continue;
            }
            if !self.has_credit() {
                // What was skipped before this message is covered; the message itself is pulled again.
                self.next = self.next.max(message.seq);
                return out;
            }
            out.push(self.deliver(Message::from_wire(message.clone(), &range.conversation)));
        }
        if range.first <= range.last {
            self.next = self.next.max(range.last.saturating_add(1));
        }
        out
    }

    /// Decides whether to pull again. An answer without progress though more is known to exist is asked again a
    /// few times, then believed: this user may not see it.
    fn plan(&mut self, now: Instant, before: u64, has_more: bool) {
        let progress = self.next > before;
        if progress {
            self.empty_pulls = 0;
        }
        if !has_more && self.tip < self.next {
            return;
        }
        if progress {
            self.pull = Pull::Due;
        } else if self.empty_pulls < EMPTY_PULLS {
            self.empty_pulls += 1;
            self.pull = Pull::After(now + EMPTY_PULL_WAIT * self.empty_pulls);
        } else {
            self.empty_pulls = 0;
            self.tip = self.next - 1;
        }
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
