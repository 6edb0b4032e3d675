//! How much memory a conversation takes while it is held, about.

use super::Conversation;
use crate::tally::Weight;

/// A row of a member with its place in the table, both copies of the user's id, one span, and what the allocator adds.
pub const MEMBER_BYTES: usize = 320;
/// What else a conversation takes: itself, its name and title wherever they are kept, and empty queues that keep their room.
/// With two members and a few messages that makes what a gateway was measured to grow by.
pub const CONVERSATION_BYTES: usize = 3 * 1_024;

impl Conversation {
    /// What it keeps between two requests. What waits in it has a bound of its own.
    pub fn weight(&self) -> Weight {
        let members = self.members.len();
        let bytes = CONVERSATION_BYTES + members * MEMBER_BYTES + self.senders.bytes() + self.targets.bytes();
        Weight { members, bytes }
    }
}
