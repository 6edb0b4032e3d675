//! Requests that wait for the next batch.

use std::collections::VecDeque;

use protocol::v1;

use super::event::{MsgId, ReplyTo};

/// Most requests of a conversation that wait: for the append in flight, or for a sender's ring.
pub const MAX_PENDING: usize = 1024;
/// Most bytes of what waits.
pub const MAX_PENDING_BYTES: usize = 1024 * 1024;

/// A request that becomes a log entry.
pub struct Pending {
    pub to: ReplyTo,
    pub user: String,
    /// `None` for a request of the node itself.
    pub id: Option<MsgId>,
    pub what: What,
    /// About what its entry takes.
    pub bytes: usize,
}

pub enum What {
    Send(v1::Send),
    Create(v1::CreateConversation),
    Change(v1::ChangeMembers),
}

/// What waits for the next batch, and the count of everything that waits anywhere.
#[derive(Default)]
pub struct Queue {
    ready: VecDeque<Pending>,
    count: usize,
    bytes: usize,
}

impl Queue {
    /// Whether a request of this size has room. Whoever gets `true` brings it by [`reserve`](Self::reserve).
    pub fn has_room(&self, bytes: usize) -> bool {
        self.count < MAX_PENDING && self.bytes + bytes <= MAX_PENDING_BYTES
    }

    /// Counts a request that waits from now on, here or for its sender's ring.
    pub fn reserve(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    /// Forgets a reserved request that does not wait any more.
    pub fn release(&mut self, pending: &Pending) {
        self.count -= 1;
        self.bytes -= pending.bytes;
    }

    /// Appends a reserved request.
    pub fn push(&mut self, pending: Pending) {
        self.ready.push_back(pending);
    }

    /// The next request.
    pub fn front(&self) -> Option<&Pending> {
        self.ready.front()
    }

    /// Takes the next request and releases it.
    pub fn pop(&mut self) -> Option<Pending> {
        let pending = self.ready.pop_front()?;
        self.release(&pending);
        Some(pending)
    }

    /// The devices whose requests stand in line.
    pub fn devices(&self) -> impl Iterator<Item = u64> {
        self.ready.iter().filter_map(|pending| pending.to.device())
    }

    /// Nothing waits, here or for a ring.
    pub fn is_idle(&self) -> bool {
        self.count == 0
    }
}
