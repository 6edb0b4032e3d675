//! Pairs, acknowledged and not stored.

use super::{Bound, Goal, Part, name, pairs, run};
use crate::load::plan::Pace;
use crate::target::Who;

const CLOSED: Pace = Pace::InFlight(1);
const RATE: Pace = Pace::Rate(10_000.0);

pub const GOAL: Goal = Goal {
    id: "P3",
    title: "100 pairs with acks, not stored, closed loop and at 10,000/s: CPU and p50 over a bare relay with ack",
    runs: || {
        vec![
            run("ours closed", Who::Ours, pairs(CLOSED, false)),
            run("ceiling closed", Who::Ceiling, pairs(CLOSED, false)),
            run("ours rate", Who::Ours, pairs(RATE, false)),
            run("ceiling rate", Who::Ceiling, pairs(RATE, false)),
            run("mosquitto closed", Who::Mosquitto, pairs(CLOSED, false)),
            run("mosquitto closed QoS 1", Who::Mosquitto, pairs(CLOSED, false)).qos(1),
            run("nats closed", Who::Nats, pairs(CLOSED, false)),
        ]
    },
    parts: &[
        Part {
            name: "CPU, closed loop",
            goal: 1.6,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours closed", "ceiling closed"),
        },
        Part {
            name: "CPU at 10,000/s",
            goal: 1.6,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours rate", "ceiling rate"),
        },
        Part {
            name: "p50 at 10,000/s",
            goal: 1.4,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::P50, "ours rate", "ceiling rate"),
        },
    ],
    needs_zookeeper: false,
};
