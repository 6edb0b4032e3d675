//! Rolling restarts of a cluster under load: `./test rolling [--rounds N] [--connectors N] [--channels N]`. Every node ends
//! by SIGTERM and starts again, one after the other; nothing may be lost or come twice, and nobody who is online may
//! be seen offline.
//!
//! | file | noun |
//! |---|---|
//! | `args` | the command line |
//! | `nodes` | the processes, on a real ZooKeeper and a real Cassandra |
//! | `load` | devices that send and read, history checked |
//! | `online` | users who are online, and one who watches them |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod args;
mod load;
mod nodes;
mod online;
#[allow(dead_code, reason = "each test takes what it needs")]
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Instant;

use args::Args;
use load::Load;
use nodes::{Nodes, restart};
use online::Online;
use support::checker::tally::Tally;
use support::history::{Event, History, Outcome};

/// Sends that are acknowledged between two restarts: both before and after one something is under way.
const BETWEEN: u64 = 60;
/// How many findings of a kind are named.
const NAMED: usize = 20;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(said) => {
            eprintln!("{said}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (tally, offline) = runtime.block_on(run(&args));
    // Threads that still read from a child must not hold up the end.
    runtime.shutdown_background();
    for (kind, found) in [("LOST", &tally.lost), ("DUPLICATED", &tally.duplicated), ("OFFLINE", &offline)] {
        found.iter().take(NAMED).for_each(|what| println!("     {kind} {what}"));
    }
    let (lost, duplicated, offline) = (tally.lost.len(), tally.duplicated.len(), offline.len());
    println!("rounds={} lost={lost} duplicated={duplicated} offline_seen={offline}", args.rounds);
    if lost + duplicated + offline == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Restarts every node so often; what was lost or came twice, and who was seen offline.
async fn run(args: &Args) -> (Tally, Vec<String>) {
    let mut nodes = Nodes::start(args).await;
    let load = Load::start(&nodes).await;
    let online = Online::start(&nodes.issuer, &nodes.balancer.url(), &nodes.balancer.url()).await;
    for round in 1..=args.rounds {
        for (name, node) in nodes.all() {
            load.goes_on(BETWEEN).await;
            let (drained, again) = restart(node).await;
            println!(
                "     round {round}/{}: {name} ended in {drained:.2} s, ready after {again:.2} s",
                args.rounds
            );
        }
    }
    load.goes_on(BETWEEN).await;
    let offline = online.finish(nodes.operator).await;
    let rested = Instant::now();
    let (sent, history) = load.finish(&nodes).await;
    println!("     {sent} messages sent, everybody at rest after {:.2} s", rested.elapsed().as_secs_f64());
    let mut tally = Tally::of(&history);
    if !bites(&history, &tally) {
        tally.lost.push("the check does not bite: a lost message was planted and not seen".to_owned());
    }
    (tally, offline)
}

/// Whether an acknowledged message that is taken out of the recorded log is missed.
fn bites(history: &History, tally: &Tally) -> bool {
    let acked = history.events.iter().rev().find_map(|event| match event {
        Event::SendEnded { outcome: Outcome::Acked { seq, .. }, .. } => Some(*seq),
        _ => None,
    });
    let mut planted = history.clone();
    for event in &mut planted.events {
        if let Event::Final { entries, .. } = event {
            entries.retain(|entry| Some(entry.seq) != acked);
        }
    }
    Tally::of(&planted).lost.len() > tally.lost.len()
}
