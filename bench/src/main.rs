//! Load tests of a Whimbrel gateway. `cargo build --release --workspace`, then `cargo run --release -p
//! bench -- help` lists the verbs. `RESULTS.md` has figures and how they were measured.
//!
//! | part | noun |
//! |---|---|
//! | `verbs/` | one load on one server, and what the machine holds |
//! | `compare`, `goals/` | ours, ceiling and peers in turn; what is to be reached |
//! | `report/` | JSON to Markdown and a page with plots |
//! | `routing/` | ways to find a receiver's node, on paper |
//! | `work/` | who takes which load, in phases, and what comes of it |
//! | `load/` | processes that play many devices on bare epoll sockets |
//! | `ceiling/`, `peers/` | what the gateway is held against |
//! | `measure/` | processor time, memory, medians; how busy others are |
//! | `target`, `server`, `access`, `http`, `metrics`, `token` | the gateway under load, how devices get in, what it counts |
//! | `wire`, `fleet`, `group`, `silence`, `message` | devices on an async runtime, for what is no traffic: repetitions |
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod access;
mod ceiling;
mod compare;
mod fleet;
mod goals;
mod group;
mod http;
mod load;
mod measure;
mod message;
mod metrics;
mod peers;
mod report;
mod routing;
mod server;
mod silence;
mod target;
mod token;
mod verbs;
mod wire;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load tests of a Whimbrel gateway.
///
/// Every verb starts a gateway of its own (the release binary beside this one) on loopback with an empty embedded
/// store, loads it, prints what it measured and stops it; --server loads another one. Build first: cargo build
/// --release --workspace
///
/// A run has four phases: ramp (everybody logs in), warm-up, measuring, and a cool-down in which everything that is
/// under way has to come. Every message is checked: a run that lost one fails. Beside each figure stand the processor
/// time of the server and how much others took of the machine.
#[derive(Parser)]
#[command(version, about, long_about)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// What this machine can hold: descriptors, ports, processors, disk; and what to change.
    Doctor(verbs::doctor::Doctor),
    /// Hold idle connections: the server's memory for each, logins per second; with --unacked, pushes that nobody acknowledges.
    Idle(verbs::traffic::Idle),
    /// One speaks, many hear it, all in one conversation.
    Fanout(verbs::traffic::Fanout),
    /// Pairs of devices, each telling the other something: a closed loop, or a fixed rate.
    Chat(verbs::traffic::Chat),
    /// Fill conversations, then read pages of them from random places.
    History(verbs::traffic::History),
    /// Cut all connections and have everybody come back at once, while somebody speaks: all must be back, none may miss a word.
    Storm(verbs::traffic::Storm),
    /// What bare sockets and a bare file cost on this machine: no gateway can be cheaper.
    Ceiling(verbs::traffic::Ceiling),
    /// The same traffic through mosquitto and nats-server, over their own protocols.
    Peers(verbs::traffic::Peers),
    /// Ours, ceiling and peers in turn, several rounds: ratios and whether they reach their goals.
    Compare(compare::Compare),
    /// Make Markdown and a page with plots from what the others wrote with --json.
    Report(report::Report),
    /// Devices that acknowledge nothing; what one round of repetitions costs. Takes about 30 s.
    Repeat(verbs::repeat::Repeat),
    /// On paper: messages a send, state and disruption of five routings, up to thousands of nodes and 10^8 devices. Loads nothing.
    Routing(routing::Routing),
    /// A generator process; the other verbs start it.
    #[command(name = load::crew::WORKER, hide = true)]
    Worker,
    /// A ceiling's process; the other verbs start it.
    #[command(name = ceiling::process::CEILING, hide = true)]
    CeilingProcess {
        #[command(subcommand)]
        ceiling: ceiling::process::Ceiling,
    },
}

fn main() -> ExitCode {
    measure::descriptors::raise();
    match run(Args::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Doctor(doctor) => doctor.run(),
        Verb::Idle(idle) => idle.run(),
        Verb::Fanout(fanout) => fanout.run(),
        Verb::Chat(chat) => chat.run(),
        Verb::History(history) => history.run(),
        Verb::Storm(storm) => storm.run(),
        Verb::Ceiling(ceiling) => ceiling.run(),
        Verb::Peers(peers) => peers.run(),
        Verb::Compare(compare) => compare.run(),
        Verb::Report(report) => report.run(),
        Verb::Repeat(repeat) => repeat.run(),
        Verb::Routing(routing) => routing.run(),
        Verb::Worker => load::worker::run(),
        Verb::CeilingProcess { ceiling } => ceiling.run(),
    }
}
