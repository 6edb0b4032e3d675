//! Connecting and logging in. The peer's clients subscribe, as the gateway's devices do by logging in; they show no
//! token, the gateway's show one that is signed with HS256.

use super::{Bound, Goal, Part, name, run};
use crate::target::Who;
use crate::work::Load;

const LOGINS: Load = Load::Logins { connections: 10_000 };

pub const GOAL: Goal = Goal {
    id: "P6",
    title: "connect and login with an HS256 token: CPU over mosquitto's; a resumption is cheaper than a login",
    runs: || vec![run("ours", Who::Ours, LOGINS), run("mosquitto", Who::Mosquitto, LOGINS)],
    parts: &[
        Part {
            name: "CPU of a login",
            goal: 1.3,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| round.ratio(name::CPU, "ours", "mosquitto"),
        },
        Part {
            name: "CPU of a resumption over a login's",
            goal: 1.0,
            bound: Bound::AtMost,
            unit: "×",
            value: |round| Some(round.get("ours", name::RESUME_CPU)? / round.cpu("ours")?),
        },
    ],
    needs_zookeeper: false,
};
