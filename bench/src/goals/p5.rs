//! Memory of an idle connection, over each transport.

use super::{Bound, Goal, Part, Round, name, run};
use crate::load::plan::Transport;
use crate::target::Who;
use crate::work::Load;

const IDLE: Load = Load::Idle { connections: 15_000 };

pub const GOAL: Goal = Goal {
    id: "P5",
    title: "15,000 idle connections: user-space memory of each after login",
    runs: || {
        vec![
            run("tcp", Who::Ours, IDLE),
            run("websocket", Who::Ours, IDLE).over(Transport::Websocket),
            run("tls", Who::Ours, IDLE).over(Transport::Tls),
            run("quic", Who::Ours, IDLE).over(Transport::Quic),
            run("ceiling", Who::Ceiling, IDLE),
            run("mosquitto", Who::Mosquitto, IDLE),
        ]
    },
    parts: &[
        Part { name: "TCP", goal: 1.25, bound: Bound::AtMost, unit: "KiB", value: |round| kib(round, "tcp") },
        Part {
            name: "WebSocket",
            goal: 1.4,
            bound: Bound::AtMost,
            unit: "KiB",
            value: |round| kib(round, "websocket"),
        },
        Part { name: "TLS", goal: 6.0, bound: Bound::AtMost, unit: "KiB", value: |round| kib(round, "tls") },
        Part {
            name: "QUIC",
            goal: 28.0,
            bound: Bound::AtMost,
            unit: "KiB",
            value: |round| kib(round, "quic"),
        },
    ],
    needs_zookeeper: false,
};

fn kib(round: &Round, run: &str) -> Option<f64> {
    Some(round.get(run, name::BYTES)? / 1024.0)
}
