//! Fan-out with many messages in flight: how well frames are gathered into writes.

use super::{Bound, Goal, Part, fanout, name, run};
use crate::target::Who;
use crate::work::Load;

/// Frames that the ceiling puts into one write.
const BATCH: u64 = 32;

pub const GOAL: Goal = Goal {
    id: "P2",
    title: "fan-out to 1,000, 64 messages in flight: CPU and rate over 32 frames a bare write",
    runs: || {
        vec![
            run("ours", Who::Ours, fanout(1_000, 64)),
            run("ceiling", Who::Ceiling, Load::Stream { listeners: 1_000, batch: BATCH }),
            run("nats", Who::Nats, fanout(1_000, 64)),
        ]
    },
    parts: &[
        Part {
            name: "CPU",
            goal: 2.5,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours", "ceiling"),
        },
        Part {
            name: "rate",
            goal: 0.4,
            bound: Bound::AtLeast,
            unit: "×",
            value: |round| round.ratio(name::PER_SECOND, "ours", "ceiling"),
        },
    ],
    needs_zookeeper: false,
};
