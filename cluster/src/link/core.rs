//! One session of a link: what waits, what is under way, what has come. Pure.
//!
//! Messages are numbered in each direction. The receiver acknowledges how many it has handled; until then the sender
//! keeps them, at most a window of bytes, and sends them again when a broken connection is made anew. So within a
//! session nothing is lost, doubled or reordered, and a receiver that does not keep up stops its sender at a bound.
//!
//! What finds the queue full has a decided outcome. A request is refused. A stored push becomes a hint (see
//! [`Hints`]); one that is not stored is dropped, as it would be by a device's full outbox. Anything else that a
//! channel node says (answers, logins, kicks) must not get lost: it ends the session, and with a new one the
//! connector tells its sessions again and answers what is left open, so that everybody comes to know what was lost.

use std::collections::VecDeque;

use bytes::Bytes;
use protocol::limit::MAX_LINK_MESSAGE_BYTES;
use protocol::node::v1::link_message::Body;
use protocol::node::v1::{LinkAck, Peer, Push, ToChannel, ToConnector, peer, to_channel, to_connector};

use super::hints::Hints;
use super::wire::{Batch, encode};

/// Bytes of messages that may be unacknowledged towards this node.
pub const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of messages that wait for a link, beside those under way.
pub const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Bytes beyond that for what must not be refused.
pub const SURE_BYTES: usize = 8 * 1024 * 1024;
/// Past it, pushes become hints, so that answers still find room.
pub const MAX_PUSH_BYTES: usize = 12 * 1024 * 1024;
/// Below it, hints are told.
const HINT_BYTES: usize = 6 * 1024 * 1024;
/// Most devices in one message.
const TARGETS_AT_ONCE: usize = 16 * 1024;
/// What a target takes at most as encoded: two fixed 64-bit numbers, tags and length.
const TARGET_BYTES: usize = 20;

const _: () = assert!(WINDOW_BYTES >= 2 * MAX_LINK_MESSAGE_BYTES);
const _: () = assert!(
    TARGETS_AT_ONCE * TARGET_BYTES + protocol::limit::MAX_FRAME_BYTES + 1_024 < MAX_LINK_MESSAGE_BYTES
);

/// A message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more waits for the link than may")]
pub struct Overrun;

/// The peer counts otherwise than this side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer says it has received {said} messages, of {first} to {last} that are possible")]
pub struct Miscounted {
    pub said: u64,
    pub first: u64,
    pub last: u64,
}

/// The state of one session.
#[derive(Debug)]
pub struct LinkCore {
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// Sent and not acknowledged.
    sent: VecDeque<Bytes>,
    sent_bytes: usize,
    /// Messages that the peer has acknowledged.
    acked: u64,
    /// What the peer allows.
    window: usize,
    hints: Hints,
    /// Messages that were handled here, and of which the peer knows.
    received: u64,
    told: u64,
    /// Bytes handled since the peer was told.
    untold_bytes: usize,
}

impl Default for LinkCore {
    fn default() -> Self {
        LinkCore {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: VecDeque::new(),
            sent_bytes: 0,
            acked: 0,
            window: WINDOW_BYTES,
            hints: Hints::default(),
            received: 0,
            told: 0,
            untold_bytes: 0,
        }
    }
}

impl LinkCore {
    /// Queues a message.
    ///
    /// # Errors
    /// [`Overrun`] if there is no room, or it is larger than any message may be; nothing has changed then.
    pub fn offer(&mut self, body: Body) -> Result<(), Overrun> {
        if self.waiting_bytes >= MAX_WAITING_BYTES {
            return Err(Overrun);
        }
        self.enqueue(encode(body).ok_or(Overrun)?);
        Ok(())
    }

    /// Queues a message that must not be refused while anything works, such as the end of a route.
    ///
    /// # Errors
    /// [`Overrun`] if there is no room even so: the session has to end.
    pub fn offer_surely(&mut self, body: Body) -> Result<(), Overrun> {
        if self.waiting_bytes >= MAX_WAITING_BYTES + SURE_BYTES {
            return Err(Overrun);
        }
        self.enqueue(encode(body).ok_or(Overrun)?);
        Ok(())
    }

    /// Queues what is said to a channel node. Another channel node's pushes give way to everything else: a stored one
    /// goes without its content.
    ///
    /// # Errors
    /// As [`LinkCore::offer`].
    pub fn offer_to_channel(&mut self, mut message: ToChannel) -> Result<(), Overrun> {
        if self.waiting_bytes >= MAX_PUSH_BYTES
            && let Some(to_channel::Body::Peer(Peer { body: Some(peer::Body::Push(push)) })) =
                &mut message.body
        {
            if push.seq == 0 {
                return Ok(());
            }
            push.frame = Bytes::new();
        }
        self.offer(Body::ToChannel(message))
    }

    /// Queues what a channel node says. Pushes give way to everything else.
    ///
    /// # Errors
    /// [`Overrun`] if it would get lost: the session has to end.
    pub fn offer_to_connector(&mut self, message: ToConnector) -> Result<(), Overrun> {
        match message.body {
            Some(to_connector::Body::Push(push)) => self.offer_push(push),
            _ => self.offer_surely(Body::ToConnector(message)),
        }
    }

    fn offer_push(&mut self, mut push: Push) -> Result<(), Overrun> {
        if self.waiting_bytes >= MAX_PUSH_BYTES {
            return if push.seq == 0 { Ok(()) } else { self.hints.add(&push).map_err(|_| Overrun) };
        }
        while push.targets.len() > TARGETS_AT_ONCE {
            let rest = push.targets.split_off(TARGETS_AT_ONCE);
            let part = Push { targets: std::mem::replace(&mut push.targets, rest), ..push.clone() };
            self.enqueue(encode(push_body(part)).ok_or(Overrun)?);
        }
        self.enqueue(encode(push_body(push)).ok_or(Overrun)?);
        Ok(())
    }

    fn enqueue(&mut self, message: Bytes) {
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
    }

    /// Moves into the batch what may go now: as much as fits it and the peer's window.
    pub fn fill(&mut self, batch: &mut Batch) {
        while self.waiting_bytes < HINT_BYTES
            && let Some(hint) = self.hints.take()
        {
            // A hint is far smaller than a message may be.
            encode(push_body(hint)).into_iter().for_each(|message| self.enqueue(message));
        }
        while let Some(message) = self.waiting.pop_front() {
            let credit = self.sent.is_empty() || self.sent_bytes + message.len() <= self.window;
            if !credit || !batch.fits(message.len()) {
                self.waiting.push_front(message);
                return;
            }
            batch.put(&message);
            self.waiting_bytes -= message.len();
            self.sent_bytes += message.len();
            self.sent.push_back(message);
        }
    }

    /// Whether a message waits, for this side or for the peer's window.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A numbered message has come.
    pub fn received(&mut self) {
        self.received += 1;
    }

    /// So many bytes of messages were handled; whether the peer should be told now.
    pub fn handled(&mut self, bytes: usize) -> bool {
        self.untold_bytes += bytes;
        self.received > self.told && self.untold_bytes >= WINDOW_BYTES / 4
    }

    /// What to tell the peer of what was handled, if it does not know.
    pub fn acknowledgement(&mut self) -> Option<LinkAck> {
        self.untold_bytes = 0;
        let untold = self.received > self.told;
        self.told = self.received;
        untold.then_some(LinkAck { received: self.received })
    }

    /// Messages handled here, for a hello or welcome.
    pub fn count(&self) -> u64 {
        self.received
    }

    /// Messages said in this session, and how many of them the peer has confirmed.
    pub fn progress(&self) -> (u64, u64) {
        (self.acked + (self.sent.len() + self.waiting.len()) as u64, self.acked)
    }

    /// Whether anything was said or heard in this session.
    pub fn is_fresh(&self) -> bool {
        self.received == 0 && self.acked == 0 && self.sent.is_empty()
    }

    /// The peer has handled so many messages.
    pub fn acknowledged(&mut self, received: u64) -> Result<(), Miscounted> {
        let last = self.acked + self.sent.len() as u64;
        if received < self.acked || received > last {
            return Err(Miscounted { said: received, first: self.acked, last });
        }
        while self.acked < received {
            self.acked += 1;
            self.sent_bytes -= self.sent.pop_front().map_or(0, |message| message.len());
        }
        Ok(())
    }

    /// The session goes on over a new connection: what the peer has not received is sent again, before all else.
    pub fn resume(&mut self, received: u64, window: usize) -> Result<(), Miscounted> {
        self.acknowledged(received)?;
        self.set_window(window);
        self.told = self.received;
        while let Some(message) = self.sent.pop_back() {
            self.waiting_bytes += message.len();
            self.waiting.push_front(message);
        }
        self.sent_bytes = 0;
        Ok(())
    }

    /// The session begins at both ends, with this message before all others. What was said and not sent yet is said in
    /// it too, unless an earlier session had begun: then it is forgotten with that one.
    pub fn begin(&mut self, window: usize, first: Option<Body>) {
        if !self.is_fresh() {
            *self = LinkCore::default();
        }
        self.set_window(window);
        if let Some(first) = first.and_then(encode) {
            self.waiting_bytes += first.len();
            self.waiting.push_front(first);
        }
    }

    /// What the peer allows; never less than one message needs.
    pub fn set_window(&mut self, window: usize) {
        self.window = window.max(MAX_LINK_MESSAGE_BYTES);
    }

    /// Bytes that wait or are under way, and hints wait.
    pub fn held(&self) -> (usize, bool) {
        (self.waiting_bytes + self.sent_bytes, !self.hints.is_empty())
    }
}

fn push_body(push: Push) -> Body {
    Body::ToConnector(ToConnector { body: Some(to_connector::Body::Push(push)) })
}
