//! Load tests of a Whimbrel gateway. `cargo build --release --workspace`, then `cargo run --release -p
//! bench -- help` lists the verbs.
//!
//! | file | noun |
//! |---|---|
//! | `server` | the gateway under test: a process of its own, on a configuration and data of its own |
//! | `token` | tokens for its devices |
//! | `wire` | one device's connection, as lean as a load generator needs it |
//! | `fleet`, `silence` | many devices; what they hear that acknowledge nothing |
//! | `group`, `message` | one conversation of all devices; what is said |
//! | `metrics` | what the gateway counts |
//! | `process` | what the operating system says about a process |
//! | `latency` | a histogram of durations |
//! | `idle`, `chat`, `repeat` | the verbs |
#![allow(clippy::print_stdout, reason = "a command line tool prints")]

mod chat;
mod fleet;
mod group;
mod idle;
mod latency;
mod message;
mod metrics;
mod process;
mod repeat;
mod server;
mod silence;
mod token;
mod wire;

use clap::{Parser, Subcommand};

/// Load tests of a Whimbrel gateway.
///
/// Every verb starts a gateway of its own (the release binary beside this one) on loopback with an empty embedded
/// store, loads it, prints what it measured and stops it. Build first: cargo build --release --workspace
#[derive(Parser)]
#[command(version, about, long_about)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Hold idle connections and report the gateway's memory for each, and with unacknowledged pushes.
    Idle(idle::Idle),
    /// Pairs of devices exchange messages in a closed loop; report rate and latency of ack and delivery.
    Chat(chat::Chat),
    /// Devices that acknowledge nothing; report what one round of repetitions costs. Takes about 30 s.
    Repeat(repeat::Repeat),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.verb {
            Verb::Idle(idle) => idle.run().await,
            Verb::Chat(chat) => chat.run().await,
            Verb::Repeat(repeat) => repeat.run().await,
        }
    })
}
