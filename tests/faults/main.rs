//! Faults on the real program: `./test faults [--row F1] [--rounds N] [--full]`. What the rows are and what passes is in
//! docs/TESTING.md.
//!
//! | file | noun |
//! |---|---|
//! | `args` | the command line |
//! | `report` | what a round measured and found, and the proof that its checks can fail |
//! | `load` | senders and readers whose history is checked |
//! | `prober` | a device that sends one message at a time and says what became of it |
//! | `crash` | F1: kill -9 of the whole node |
//! | `power` | F10: power loss, the journal's tail torn |
//! | `full`, `fsync` | F11: the disk is full, a sync fails |
//! | `files` | F12: no file descriptors left |
//! | `network`, `silence` | F13: delay and loss, black holes |
//! | `storm` | F15: everybody connects again at once |
//! | `twice` | F16: the same device logs in twice, and its old connection ends late |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod args;
mod crash;
mod files;
mod fsync;
mod full;
mod load;
mod network;
mod power;
mod prober;
mod report;
mod silence;
mod storm;
#[allow(dead_code, reason = "each test takes what it needs")]
#[path = "../support/mod.rs"]
mod support;
mod twice;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::task::JoinSet;

use args::{Args, Scale};
use report::Report;

/// No round takes longer than this at any size.
const ROUND: Duration = Duration::from_secs(30 * 60);

/// One row of the table of faults.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    run: fn(Scale) -> BoxFuture<'static, Report>,
}

pub const ROWS: [Row; 7] = [
    Row { name: "F1", what: "kill -9 of the whole node under load", run: |s| Box::pin(crash::run(s)) },
    Row { name: "F10", what: "power loss: the journal's tail is torn", run: |s| Box::pin(power::run(s)) },
    Row { name: "F11", what: "the disk is full; a sync fails", run: |s| Box::pin(full::run(s)) },
    Row { name: "F12", what: "no file descriptors left", run: |s| Box::pin(files::run(s)) },
    Row { name: "F13", what: "delay, loss, black holes", run: |s| Box::pin(network::run(s)) },
    Row { name: "F15", what: "all devices connect again at once", run: |s| Box::pin(storm::run(s)) },
    Row { name: "F16", what: "double login, the old close comes late", run: |s| Box::pin(twice::run(s)) },
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
    let (rounds, violations) = runtime.block_on(run(&args));
    // Threads that still read from a child must not hold up the end.
    runtime.shutdown_background();
    println!("rows={} rounds={rounds} violations={violations}", args.rows().count());
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every row as often as asked; rounds and violations.
async fn run(args: &Args) -> (usize, usize) {
    let (mut rounds, mut violations) = (0, 0);
    for row in args.rows() {
        for round in 1..=args.rounds {
            println!("{:4} round {round}/{}: {}", row.name, args.rounds, row.what);
            let started = Instant::now();
            let mut report = one(row, args.scale).await;
            let found = report.finish();
            rounds += 1;
            violations += found.len();
            print!("{report}");
            found.iter().for_each(|what| println!("     VIOLATION {what}"));
            let word = if found.is_empty() { "ok" } else { "FAILED" };
            println!("{:4} round {round}/{}: {word}, {:.1?}", row.name, args.rounds, started.elapsed());
        }
    }
    (rounds, violations)
}

/// One round. A panic or a round without an end is a violation, not the end of the run.
async fn one(row: &Row, scale: Scale) -> Report {
    let mut task = JoinSet::new();
    task.spawn(tokio::time::timeout(ROUND, (row.run)(scale)));
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
