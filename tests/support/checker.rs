//! The invariants of the gateway as functions over a recorded [`History`]. Each returns what violates it, in words.
//!
//! | file | what it holds a history to |
//! |---|---|
//! | `log` | durable before ack; seqs 1..tip; one seq per id; no phantom; send order is seq order |
//! | `delivery` | every entitled device sees every seq once, ascending; reads contain what was acked |
//! | `tail` | who is online learns the tip in time |
//! | `rights` | who may see what; members are what the log says |
//! | `changes` | what edits and recalls may change, and what is served and shown of it |
//! | `node` | routes, cursors, bytes that wait; everybody comes to rest |
//! | `presence` | the presence stream |
//! | `drain` | how a gateway ends that is told to |
//! | `tally` | what a long run comes to in two numbers |

mod changes;
mod delivery;
mod drain;
mod log;
mod node;
mod presence;
mod rights;
mod tail;
pub mod tally;

use super::history::History;

pub use changes::{devices_show_the_same, recalled_content_is_gone, writers_may_write};
pub use delivery::{every_device_sees_every_entry, reads_contain_what_was_acked};
pub use drain::a_drain_is_soft;
pub use log::{
    acked_is_durable, no_phantoms, one_seq_per_message, send_order_is_seq_order, seqs_are_whole_and_immutable,
};
pub use node::{cursors_only_rise, everybody_comes_to_rest, live_connections_are_routed, memory_is_bounded};
pub use presence::{the_presence_stream_is_whole, who_is_reachable_is_not_offline};
pub use rights::members_are_what_the_log_says;
pub use tail::the_tip_is_learned;

/// Something that must not happen, did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the invariant.
    pub rule: &'static str,
    /// Where and what, for people.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.rule, self.what)
    }
}

/// One invariant over a whole history.
pub type Checker = fn(&History) -> Vec<Violation>;

/// Every checker, with the number of its invariant.
pub const ALL: [(u8, Checker); 19] = [
    (1, acked_is_durable),
    (2, seqs_are_whole_and_immutable),
    (3, one_seq_per_message),
    (4, no_phantoms),
    (5, send_order_is_seq_order),
    (6, every_device_sees_every_entry),
    (6, everybody_comes_to_rest),
    (6, devices_show_the_same),
    (7, the_tip_is_learned),
    (8, reads_contain_what_was_acked),
    (8, recalled_content_is_gone),
    (9, members_are_what_the_log_says),
    (9, writers_may_write),
    (10, live_connections_are_routed),
    (11, cursors_only_rise),
    (12, memory_is_bounded),
    (13, the_presence_stream_is_whole),
    (13, who_is_reachable_is_not_offline),
    (14, a_drain_is_soft),
];

/// What all checkers find.
pub fn check(history: &History) -> Vec<Violation> {
    ALL.iter().flat_map(|(_, checker)| checker(history)).collect()
}

/// Fails the test with every violation named.
pub fn assert_holds(history: &History) {
    let found: Vec<String> = check(history).iter().map(Violation::to_string).collect();
    let shown = found.iter().take(20).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(found.is_empty(), "{} violations, the first of them:\n  {shown}", found.len());
}

/// Adds a violation unless the condition holds.
fn expect(found: &mut Vec<Violation>, rule: &'static str, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        found.push(Violation { rule, what: what() });
    }
}
