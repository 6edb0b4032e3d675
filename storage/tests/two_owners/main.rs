//! Two owners that both believe the log is theirs, on tables where everything goes wrong, held against what the log must
//! be. `SCHEDULES=100000 cargo test -p whimbrel-storage --test two_owners` runs more; `SEED=7` runs one and says why it
//! fails.
//!
//! | file | noun |
//! |---|---|
//! | `schedule` | one run: two owners, readers, and an end at which all is well |
//! | `owner` | a process that appends, dies, and comes back |
//! | `plan` | what an owner says next |
//! | `history` | what was tried and what was answered |
//! | `verdict` | what the log and all that follows from it must be |
//! | `presence` | the same for a presence stream |
//! | `planted` | bugs between the store and its tables: each has to be found |
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod history;
mod owner;
mod plan;
mod planted;
mod presence;
mod schedule;
mod verdict;

use planted::Bug;

/// Runs in a test run; each takes some twenty milliseconds in a debug build.
const SCHEDULES: u64 = 1_000;
/// Of so many schedules one is on a ledger.
const ONE_ON_A_LEDGER: u64 = 3;
/// Within so many every planted bug has to be found.
const SCHEDULES_OF_A_BUG: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[expect(clippy::print_stdout, reason = "figures are worth a line")]
fn no_schedule_breaks_a_promise() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHEDULES").unwrap_or(SCHEDULES),
    };
    let mut sum = schedule::Figures::default();
    for seed in seeds.clone() {
        let ledgers = u16::from(seed % ONE_ON_A_LEDGER == 0);
        match schedule::run(seed, ledgers, None) {
            Ok(figures) => sum.add(figures),
            Err(violations) => panic!("SEED={seed}:\n  {}", violations.join("\n  ")),
        }
    }
    println!("two owners: {} schedules, {sum:?}", seeds.end - seeds.start);
    assert!(sum.unknown > 0 && sum.conflicts > 0 && sum.applied > 0, "nothing was tried");
}

#[test]
fn a_seed_replays() {
    for ledgers in 0..2 {
        let figures = || format!("{:?}", schedule::run(3, ledgers, None));
        assert_eq!(figures(), figures());
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "which bug was found where is worth a line")]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    let mut find = |bug, run: &dyn Fn(u64) -> Option<String>| match (0..SCHEDULES_OF_A_BUG)
        .find_map(|seed| Some((seed, run(seed)?)))
    {
        Some((seed, violation)) => println!("{bug:?}: seed {seed}: {violation}"),
        None => missed.push(bug),
    };
    for bug in Bug::ALL {
        find(bug, &|seed| Some(schedule::run(seed, 0, Some(bug)).err()?.swap_remove(0)));
    }
    for bug in Bug::OF_LEDGERS {
        find(bug, &|seed| Some(schedule::run(seed, 1, Some(bug)).err()?.swap_remove(0)));
    }
    for bug in Bug::OF_PRESENCE {
        find(bug, &|seed| presence::run(seed, Some(bug)).err());
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "figures are worth a line")]
fn two_writers_of_one_presence_stream() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHEDULES").unwrap_or(SCHEDULES) / 5,
    };
    let mut outcomes = 0;
    for seed in seeds {
        outcomes += presence::run(seed, None).unwrap_or_else(|violation| panic!("SEED={seed}: {violation}"));
    }
    println!("presence: {outcomes} records");
    assert!(outcomes > 0, "nothing was tried");
}
