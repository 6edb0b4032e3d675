//! Growth: nothing may cost more because more devices are there.

use super::{Bound, Goal, Part, fanout, name, run};
use crate::load::plan::Pace;
use crate::target::Who;
use crate::work::Load;

pub const GOAL: Goal = Goal {
    id: "P7",
    title: "growth: P1's ratio at 15,000 receivers over that at 1,000; 1,000 active with 14,000 idle beside them",
    runs: || {
        let beside = Load::Fanout {
            listeners: 1_000,
            idle: 14_000,
            stalled: 0,
            pace: Pace::InFlight(1),
            stored: false,
        };
        vec![
            run("ours 1000", Who::Ours, fanout(1_000, 1)),
            run("ours 1000, 14000 idle", Who::Ours, beside),
            run("ceiling 1000", Who::Ceiling, fanout(1_000, 1)),
            run("ours 15000", Who::Ours, fanout(15_000, 1)),
            run("ceiling 15000", Who::Ceiling, fanout(15_000, 1)),
        ]
    },
    parts: &[
        Part {
            name: "ratio at 15,000 over ratio at 1,000",
            goal: 1.1,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| {
                let few = round.ratio(name::CPU, "ours 1000", "ceiling 1000")?;
                Some(round.ratio(name::CPU, "ours 15000", "ceiling 15000")? / few)
            },
        },
        Part {
            name: "CPU with 15,000 connected over 1,000",
            goal: 1.03,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours 1000, 14000 idle", "ours 1000"),
        },
    ],
    needs_zookeeper: false,
};
