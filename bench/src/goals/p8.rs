//! A storm: everybody comes back at once.

use super::{Bound, Goal, Part, Round, name, run};
use crate::target::Who;
use crate::work::Load;

const DEVICES: u32 = 15_000;

pub const GOAL: Goal = Goal {
    id: "P8",
    title: "15,000 devices reconnect at once: all are back, nothing is lost; logins per second over bare accepts",
    runs: || {
        vec![
            run("ours", Who::Ours, Load::Storm { devices: DEVICES }),
            run("accepts", Who::Ceiling, Load::Accepts { connections: DEVICES }),
        ]
    },
    // That all are back and have everything is checked by the run itself, which fails otherwise.
    parts: &[Part {
        name: "logins per second over bare accepts",
        goal: 0.2,
        bound: Bound::AtLeast,
        unit: "×",
        value: |round: &Round| round.ratio(name::PER_SECOND, "ours", "accepts"),
    }],
    needs_zookeeper: false,
};
