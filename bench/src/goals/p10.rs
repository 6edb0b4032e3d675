//! A million devices on one machine.

use super::{Bound, Goal, Part};

pub const GOAL: Goal = Goal {
    id: "P10",
    title: "1,000,000 devices with both ends on this machine, 10 minutes of heartbeats, one push to each: memory in use",
    runs: Vec::new,
    parts: &[Part { name: "memory in use", goal: 20.0, bound: Bound::AtMost, unit: "GiB", value: |_| None }],
    unable: Some("needs 52 connector processes and one channel node, which `bench` does not start yet"),
};
