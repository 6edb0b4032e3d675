//! Faults on the real program: `./test faults [--row F1] [--store cql] [--rounds N] [--full]`. What the rows are and what passes is in
//! docs/TESTING.md.
//!
//! | file | noun |
//! |---|---|
//! | `args` | the command line |
//! | `report` | what a round measured and found, and the proof that its checks can fail |
//! | `load` | senders and readers whose history is checked |
//! | `prober` | a device that sends one message at a time and says what became of it |
//! | `writers`, `tail` | senders and readers of conversations that several gateways serve |
//! | `stored` | what is stored in a real cluster, held against itself |
//! | `crash` | F1: kill -9 of the whole node; of connectors |
//! | `clustered` | a cluster that several rows run on |
//! | `connector_stall`, `online` | F4: SIGSTOP of a connector; who is online meanwhile |
//! | `channel_crash`, `channel_stall` | F2, F3: kill -9 of a channel node among others; SIGSTOP for longer than its lease |
//! | `channel_cut`, `channel_alone` | F5, F7: a channel node loses ZooKeeper; all of ZooKeeper is down |
//! | `channel_load` | what these have in common |
//! | `two_writers` | F3: two gateways that both take themselves for the owner; one is stalled, cut off, and its clock wrong |
//! | `store_cut` | F6: the way to the store is cut one way |
//! | `store_full` | F11: the disk of the store's node is full |
//! | `store_nodes` | F8: one of three nodes of the store is lost, then two |
//! | `power` | F10: power loss, the journal's tail torn |
//! | `full`, `fsync` | F11: the disk is full, a sync fails |
//! | `files` | F12: no file descriptors left |
//! | `network`, `silence` | F13: delay and loss, black holes |
//! | `steps`, `clocks` | F14: wall clocks that are wrong and step |
//! | `storm` | F15: everybody connects again at once |
//! | `twice` | F16: the same device logs in twice, and its old connection ends late |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod args;
mod channel_alone;
mod channel_crash;
mod channel_cut;
mod channel_load;
mod channel_stall;
mod clocks;
mod clustered;
mod connector_stall;
mod crash;
mod files;
mod fsync;
mod full;
mod load;
mod network;
#[allow(dead_code, reason = "these rows need no balancer")]
#[path = "../cluster/nodes.rs"]
mod nodes;
#[path = "../rolling/online.rs"]
mod online;
mod power;
mod prober;
mod report;
mod silence;
mod steps;
mod store_cut;
mod store_full;
mod store_nodes;
mod stored;
mod storm;
#[allow(dead_code, reason = "each test takes what it needs")]
#[path = "../support/mod.rs"]
mod support;
mod tail;
mod twice;
mod two_writers;
mod writers;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use tokio::task::{JoinSet, LocalSet};

use args::{Args, Scale, Store};
use clustered::Clustered;
use report::Report;

/// No round takes longer than this at any size.
const ROUND: Duration = Duration::from_secs(30 * 60);

/// One row of the table of faults.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    /// The store that its gateways have.
    pub store: Store,
    /// Whether it belongs to a run that names no row.
    pub usual: bool,
    run: fn(Scale, Clustered) -> LocalBoxFuture<'static, Report>,
}

const fn row(
    name: &'static str,
    what: &'static str,
    run: fn(Scale, Clustered) -> LocalBoxFuture<'static, Report>,
) -> Row {
    Row { name, what, store: Store::Embedded, usual: true, run }
}

const fn row_over_cql(row: Row, usual: bool) -> Row {
    Row { store: Store::Cql, usual, ..row }
}

pub const ROWS: [Row; 22] = [
    row("F1", "kill -9 of the whole node under load", |s, _| Box::pin(crash::run(s))),
    row_over_cql(
        row("F1", "kill -9 of connectors, one after the other", |s, _| Box::pin(crash::of_connectors(s))),
        true,
    ),
    row_over_cql(
        row("F2", "kill -9 of a channel node among others", |s, _| Box::pin(channel_crash::run(s))),
        true,
    ),
    row_over_cql(
        row("F3", "two owners of everything, one of them stale", |s, _| Box::pin(two_writers::run(s))),
        true,
    ),
    row_over_cql(
        row("F3", "a channel node stalls among others", |s, _| Box::pin(channel_stall::run(s))),
        true,
    ),
    row_over_cql(row("F4", "a connector stalls", |s, _| Box::pin(connector_stall::run(s))), true),
    row_over_cql(row("F5", "a channel node loses ZooKeeper", |s, _| Box::pin(channel_cut::run(s))), true),
    row_over_cql(row("F6", "the store is cut off one way", |s, _| Box::pin(store_cut::run(s))), true),
    row_over_cql(row("F7", "all of ZooKeeper is down", |s, _| Box::pin(channel_alone::run(s))), true),
    row_over_cql(
        row("F8", "one store node of three is lost, then two", |s, _| Box::pin(store_nodes::run(s))),
        true,
    ),
    row("F10", "power loss: the journal's tail is torn", |s, _| Box::pin(power::run(s))),
    row("F11", "the disk is full; a sync fails", |s, _| Box::pin(full::run(s))),
    row_over_cql(row("F11", "the store's disk is full", |s, _| Box::pin(store_full::run(s))), true),
    row("F12", "no file descriptors left", |s, _| Box::pin(files::run(s))),
    row("F13", "delay, loss, black holes", |s, _| Box::pin(network::run(s))),
    row("F14", "clocks step under load", |s, _| Box::pin(clocks::run(s))),
    row("F15", "all devices connect again at once", |s, _| Box::pin(storm::run(s))),
    row("F16", "double login, the old close comes late", |s, _| Box::pin(twice::run(s))),
    row_over_cql(
        row("F14", "clocks of nodes differ and step", |s, _| Box::pin(clocks::in_cluster(s))),
        false,
    ),
    // Beside each other, for they share a cluster.
    row_over_cql(
        row("F13", "delay, loss, black holes before connectors", |s, c| Box::pin(network::in_cluster(s, c))),
        true,
    ),
    row_over_cql(
        row("F15", "all devices of a connector at once", |s, c| Box::pin(storm::in_cluster(s, c))),
        true,
    ),
    row_over_cql(
        row("F16", "double login at two connectors", |s, c| Box::pin(twice::in_cluster(s, c))),
        true,
    ),
];

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(said) => {
            eprintln!("{said}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (rounds, violations) = runtime.block_on(LocalSet::new().run_until(run(&args)));
    // Threads that still read from a child must not hold up the end.
    runtime.shutdown_background();
    println!("rows={} rounds={rounds} violations={violations}", args.rows().count());
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every row as often as asked; rounds and violations.
async fn run(args: &Args) -> (usize, usize) {
    let (mut rounds, mut violations, mut cluster) = (0, 0, Clustered::default());
    for row in args.rows() {
        for round in 1..=args.rounds {
            println!("{:4} round {round}/{}: {}", row.name, args.rounds, row.what);
            let started = Instant::now();
            let mut report = one(row, args.scale, cluster.clone()).await;
            let found = report.finish();
            if !found.is_empty() {
                // What may be broken is not what the next round runs on.
                cluster = Clustered::default();
            }
            rounds += 1;
            violations += found.len();
            print!("{report}");
            found.iter().for_each(|what| println!("     VIOLATION {what}"));
            let word = if found.is_empty() { "ok" } else { "FAILED" };
            println!("{:4} round {round}/{}: {word}, {:.1?}", row.name, args.rounds, started.elapsed());
            if let Err(error) = support::keyspace::drop_unused().await {
                println!("     VIOLATION {error}");
                violations += 1;
            }
        }
    }
    (rounds, violations)
}

/// One round. A panic or a round without an end is a violation, not the end of the run.
async fn one(row: &Row, scale: Scale, cluster: Clustered) -> Report {
    let mut task = JoinSet::new();
    task.spawn_local(tokio::time::timeout(ROUND, (row.run)(scale, cluster)));
    let broken = match task.join_next().await.expect("one task") {
        Ok(Ok(report)) => return report,
        Ok(Err(_)) => format!("the round did not end within {ROUND:?}"),
        Err(error) => {
            let said = error.into_panic();
            let text = said.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| said.downcast_ref::<&str>().copied());
            format!("the round broke off: {}", text.unwrap_or("no reason given"))
        }
    };
    Report::broken(broken)
}
