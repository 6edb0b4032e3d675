//! Fan-out with one message in flight: what a delivery costs where nothing can be gathered.

use super::{Bound, Goal, Part, fanout, name, run};
use crate::target::Who;

pub const GOAL: Goal = Goal {
    id: "P1",
    title: "fan-out to 1,000 and 10,000, one message in flight: CPU per delivery over one bare write per frame",
    runs: || {
        vec![
            run("ours 1000", Who::Ours, fanout(1_000, 1)),
            run("ceiling 1000", Who::Ceiling, fanout(1_000, 1)),
            run("ours 10000", Who::Ours, fanout(10_000, 1)),
            run("ceiling 10000", Who::Ceiling, fanout(10_000, 1)),
            run("mosquitto 1000", Who::Mosquitto, fanout(1_000, 1)),
            run("nats 1000", Who::Nats, fanout(1_000, 1)),
        ]
    },
    parts: &[
        Part {
            name: "CPU, 1,000 receivers",
            goal: 1.5,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours 1000", "ceiling 1000"),
        },
        Part {
            name: "CPU, 10,000 receivers",
            goal: 1.5,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours 10000", "ceiling 10000"),
        },
    ],
    needs_zookeeper: false,
};
