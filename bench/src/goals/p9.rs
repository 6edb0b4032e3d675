//! Stalled readers: who never reads must harm nobody else, nor take much.

use super::{Bound, Goal, Part, name, run};
use crate::load::plan::Pace;
use crate::target::Who;
use crate::work::Load;

const READERS: u32 = 990;
const STALLED: u32 = 10;
/// Messages a second. What a stalled reader is sent until measuring begins is more than its socket and its outbox hold.
const PACE: Pace = Pace::Rate(100.0);
const UNTIL_FULL: u64 = 10;

pub const GOAL: Goal = Goal {
    id: "P9",
    title: "10 stalled readers beside 990: the others' p99 over that without them; memory of a stalled one",
    runs: || {
        let load =
            |listeners, stalled| Load::Fanout { listeners, idle: 0, stalled, pace: PACE, stored: false };
        vec![
            run("without", Who::Ours, load(READERS + STALLED, 0)).warmed_up(UNTIL_FULL),
            run("with", Who::Ours, load(READERS, STALLED)).warmed_up(UNTIL_FULL),
        ]
    },
    parts: &[
        Part {
            name: "p99 of the others",
            goal: 1.1,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::P99, "with", "without"),
        },
        Part {
            name: "memory of a stalled one",
            goal: 256.0,
            bound: Bound::AtMost,
            unit: "KiB",
            value: |round| {
                let more = round.get("with", "server_bytes")? - round.get("without", "server_bytes")?;
                Some(more.max(0.0) / f64::from(STALLED) / 1024.0)
            },
        },
    ],
    needs_zookeeper: false,
};
