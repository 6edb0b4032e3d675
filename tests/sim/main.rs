//! Deterministic simulation: the real gateway and the real client cores over a simulated network, clock and store,
//! one run per seed. `./test sim` and `./test mutants` start it.
//!
//! Real are the channel node and the connectors, whole, with all their tasks, on a runtime whose clock stands still
//! until the world moves it, and the client's session with all its parts. Simulated are the store behind its two
//! traits, the sockets, the wall clock, and the client's driver.
//!
//! | file | noun |
//! |---|---|
//! | `world` | virtual time and its events |
//! | `gateway`, `links`, `socket`, `hub` | one gateway process, and everything that connects it to the world |
//! | `net` | connections: delays, stalls, cuts |
//! | `nodes`, `node` | in some worlds: a cluster, and one node of it in a process of its own |
//! | `coordinator`, `session` | what coordinates a cluster, and a node's session with it |
//! | `wires` | connections between nodes |
//! | `store`, `data`, `jobs` | the simulated store: when things happen, what is stored, the traits |
//! | `cql` | in some worlds, in its place: the real store on CQL, on tables in memory |
//! | `presence` | the store's presence streams, and the backend that reads them |
//! | `device`, `login` | a device's driver, and what it says of itself |
//! | `app`, `record` | the application on a device, and frames: what they write into the history |
//! | `acts`, `changes` | what users do, edits and recalls among it, and what goes wrong |
//! | `lives`, `drain` | what starts, ends and comes back; the end of a gateway that is told to |
//! | `finish` | what is looked at while and after a world runs |
//! | `mutant` | bugs planted in this glue, each of which must be caught |
//! | `run` | seeds on threads |
//! | `rng`, `trace`, `say` | chance, what happened, frames in words |

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod acts;
mod app;
mod changes;
mod coordinator;
mod cql;
mod data;
mod device;
mod drain;
mod finish;
mod gateway;
mod hub;
mod jobs;
mod links;
mod lives;
mod login;
mod mutant;
mod net;
mod node;
mod nodes;
#[path = "../../storage/tests/two_owners/planted.rs"]
#[allow(dead_code, reason = "shared with the tests of two owners, which use the rest")]
mod planted;
mod presence;
mod record;
mod rng;
mod run;
mod say;
mod session;
mod socket;
mod store;
#[path = "../support"]
#[allow(dead_code, reason = "shared with tests that use the rest")]
mod support {
    pub mod checker;
    pub mod history;
}
mod trace;
mod wires;
mod world;

/// By its own name, as what is shared with its tests calls it.
extern crate storage as whimbrel_storage;

use std::process::ExitCode;
use std::time::Instant;

use cql::Kind;
use mutant::Mutant;
use run::Rules;

/// Seeds of a run without `--seeds`.
const SEEDS: u64 = 1_000;
/// Seeds in which a planted bug must be caught.
const MUTANT_SEEDS: u64 = 10_000;
/// Seeds that are run twice to see that they do the same.
const REPEATED: u64 = 5;

/// The command line.
struct Options {
    verb: String,
    seeds: Option<u64>,
    from: u64,
    trace: bool,
    /// Seeds that are run twice first.
    twice: u64,
    rules: Rules,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            println!(
                "{problem}\nusage: sim|mutants [--seeds N] [--from S] [--trace] [--twice N] [--zombies] [--cluster] [--mutant NAME] [--store cql|simulated]"
            );
            return ExitCode::from(2);
        }
    };
    run::hear_panics();
    let good = match options.verb.as_str() {
        "mutants" => mutants(&options),
        _ => sim(&options),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        verb: "sim".into(),
        seeds: None,
        from: 1,
        trace: false,
        twice: REPEATED,
        rules: Rules::default(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "sim" | "mutants" => options.verb = word,
            "--trace" => options.trace = true,
            "--zombies" => options.rules.zombies = true,
            "--cluster" => options.rules.cluster = true,
            "--store" => {
                let name = value()?;
                options.rules.store = Some(Kind::named(&name).ok_or(format!("no store {name}"))?);
            }
            "--twice" => options.twice = number(&value()?)?,
            "--seeds" => options.seeds = Some(number(&value()?)?),
            "--from" => options.from = number(&value()?)?,
            "--mutant" => {
                let name = value()?;
                options.rules.mutant = Some(Mutant::named(&name).ok_or(format!("no mutant {name}"))?);
            }
            _ => return Err(format!("what is {word}?")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

/// Runs seeds; true if nothing is violated.
fn sim(options: &Options) -> bool {
    let count = options.seeds.unwrap_or(SEEDS);
    if options.trace {
        return traced(options, count);
    }
    if !is_deterministic(options) {
        return false;
    }
    let started = Instant::now();
    let bar = run::bar(count, "seeds");
    let totals = run::run_many(options.from, count, options.rules, false, &bar);
    bar.finish_and_clear();
    for (seed, violations) in &totals.failures {
        println!("seed {seed}: {} violations", violations.len());
        violations.iter().take(5).for_each(|(number, violation)| println!("  {number:>2} {violation}"));
        println!("  again: ./test sim --seeds 1 --from {seed} --trace{}", planted(options));
    }
    let passed = started.elapsed().as_secs_f64();
    println!("{} events, {passed:.1} s, {:.1} seeds/s", totals.events, count as f64 / passed);
    println!("seeds={count} violations={}", totals.failures.len());
    totals.failures.is_empty()
}

fn planted(options: &Options) -> String {
    let mutant = options.rules.mutant.map(|mutant| format!(" --mutant {}", mutant.name()));
    let zombies = if options.rules.zombies { " --zombies" } else { "" };
    let store = match options.rules.store {
        Some(Kind::Cql) => " --store cql",
        Some(Kind::Simulated) => " --store simulated",
        None => "",
    };
    let cluster = if options.rules.cluster { " --cluster" } else { "" };
    mutant.unwrap_or_default() + zombies + cluster + store
}

fn traced(options: &Options, count: u64) -> bool {
    let mut failures = 0;
    for seed in options.from..options.from + count {
        let report = run::run(seed, options.rules, true);
        report.trace.iter().flatten().for_each(|line| println!("{line}"));
        println!("seed {seed}: hash {:016x}, {} events", report.hash, report.events);
        report.violations.iter().for_each(|(number, violation)| println!("  {number:>2} {violation}"));
        failures += u64::from(!report.violations.is_empty());
    }
    println!("seeds={count} violations={failures}");
    failures == 0
}

/// The same seed does the same twice, to the last frame.
fn is_deterministic(options: &Options) -> bool {
    for seed in options.from..options.from + options.twice {
        let (one, other) = (run::run(seed, options.rules, true), run::run(seed, options.rules, true));
        if one.hash != other.hash {
            println!("seed {seed} is not the same twice");
            let mut pairs = one.trace.iter().flatten().zip(other.trace.iter().flatten());
            if let Some((one, other)) = pairs.find(|(one, other)| one != other) {
                println!("  {one}\n  {other}");
            }
            return false;
        }
    }
    true
}

/// Runs every planted bug until it is caught; true if all are.
fn mutants(options: &Options) -> bool {
    let count = options.seeds.unwrap_or(MUTANT_SEEDS);
    let planted: Vec<Mutant> = match options.rules.mutant {
        Some(mutant) => vec![mutant],
        None => Mutant::ALL.to_vec(),
    };
    let mut caught = 0;
    for mutant in &planted {
        let zombies = options.rules.zombies || mutant.wants_zombies();
        let cluster = options.rules.cluster || mutant.wants_cluster();
        let rules = Rules { mutant: Some(*mutant), zombies, cluster, ..options.rules };
        let bar = run::bar(count, &mutant.name());
        let totals = run::run_many(options.from, count, rules, true, &bar);
        bar.finish_and_clear();
        match totals.failures.first_key_value() {
            Some((seed, violations)) => {
                caught += 1;
                let mut numbers: Vec<u8> = violations.iter().map(|(number, _)| *number).collect();
                numbers.dedup();
                let seeds = seed - options.from + 1;
                println!(
                    "{:<22} caught at seed {seed} by invariant {numbers:?} after {seeds} seeds",
                    mutant.name()
                );
            }
            None => println!("{:<22} NOT caught in {} seeds", mutant.name(), totals.seeds),
        }
    }
    println!("mutants={} caught={caught}", planted.len());
    caught == planted.len()
}
