//! Connectors and channel nodes as processes of their own, on a real ZooKeeper; several channel nodes on a real Cassandra.
//!
//! | file | topic |
//! |---|---|
//! | `crash` | `kill -9` of connectors and of the channel node under load loses nothing that was acked |
//! | `several` | several channel nodes: messages and presence cross, nodes die, stall and join |
//! | `life` | start without ZooKeeper, its outage, drains, what the operator sees |
//! | `leaving` | drains and rebalancing: devices are told where to go |
//! | `certificates` | links with certificates: who may be what |
//! | `operator` | what an operator types |
//! | `refused` | nodes that must not join |
//! | `nodes` | the processes, and a balancer in front of the connectors |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[allow(dead_code, reason = "each test takes what it needs")]
#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod crash;
mod leaving;
mod life;
mod nodes;
mod operator;
mod refused;
mod several;
