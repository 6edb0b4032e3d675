//! A million devices on one machine.

use std::time::Duration;

use super::{Bound, Goal, Part, Round, name, run};
use crate::target::Who;
use crate::work::Load;

const DEVICES: u32 = 1_000_000;
const HOLD: Duration = Duration::from_secs(600);
/// Each may have 20,000 file descriptors, and keeps 1,024 back.
const CONNECTORS: u16 = 54;
const GIB: f64 = (1_u64 << 30) as f64;

pub const GOAL: Goal = Goal {
    id: "P10",
    title: "1,000,000 devices with both ends on this machine, 10 minutes of heartbeats, one push to each: memory in use",
    runs: || {
        vec![run("ours", Who::Ours, Load::Reach { devices: DEVICES, hold: HOLD }).with_connectors(CONNECTORS)]
    },
    // That all are reached is checked by the run itself, which fails otherwise.
    parts: &[Part {
        name: "memory in use",
        goal: 20.0,
        bound: Bound::AtMost,
        unit: "GiB",
        value: |round: &Round| Some(round.get("ours", name::IN_USE)? / GIB),
    }],
    needs_zookeeper: true,
};
