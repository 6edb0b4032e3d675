//! The default path: pairs, acknowledged and stored.

use super::{Bound, Goal, Part, name, pairs, run};
use crate::load::plan::Pace;
use crate::target::Who;
use crate::work::Load;

const CLOSED: Pace = Pace::InFlight(1);
const SENDERS: u32 = 100;
const CONVERSATIONS: u32 = 10_000;
/// Messages that each of these senders keeps unanswered: as many as a device may.
const IN_FLIGHT: u32 = 64;

pub const GOAL: Goal = Goal {
    id: "P4",
    title: "100 pairs, acked and stored: over a bare relay with ack and bare appends at the batch that formed",
    runs: || {
        let batch = Load::Append { batch: 1, formed_by: Some("ours") };
        let filled = Load::Scribes { scribes: SENDERS, conversations: CONVERSATIONS, in_flight: IN_FLIGHT };
        vec![
            run("ours", Who::Ours, pairs(CLOSED, true)),
            run("relay", Who::Ceiling, pairs(CLOSED, false)),
            run("appends", Who::Ceiling, batch),
            run("ours filled", Who::Ours, filled),
        ]
    },
    parts: &[
        Part {
            name: "CPU over 1.6 relays + 2 appends",
            goal: 1.0,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| {
                Some(round.cpu("ours")? / (1.6 * round.cpu("relay")? + 2.0 * round.cpu("appends")?))
            },
        },
        Part {
            name: "p50 over a relay's + 2 commits",
            goal: 1.0,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| {
                let p50 = |run| round.get(run, name::P50);
                Some(p50("ours")? / (p50("relay")? + 2.0 * p50("appends")?))
            },
        },
        Part {
            name: "stored over 10,000 conversations",
            goal: 100_000.0,
            bound: Bound::AtLeast,
            unit: "/s",
            value: |round| round.get("ours filled", name::PER_SECOND),
        },
    ],
    needs_zookeeper: false,
};
