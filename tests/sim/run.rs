//! Seeds: one run each, on as many threads as the machine has.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use crate::cql::Kind;
use crate::mutant::Mutant;
use crate::support::checker::{self, Violation};
use crate::world::World;

/// What a world is like beside its seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    pub mutant: Option<Mutant>,
    /// In every world, and not only in some, a gateway may be left behind by its successor and go on for a while. One
    /// machine has a lock against that; a cluster has not.
    pub zombies: bool,
    /// Every world, and not only some, is a cluster.
    pub cluster: bool,
    /// What store every world has; `None`: some this one, some that.
    pub store: Option<Kind>,
}

/// What came of a seed.
pub struct Report {
    pub seed: u64,
    /// With the number of the invariant.
    pub violations: Vec<(u8, Violation)>,
    pub hash: u64,
    pub events: u64,
    pub trace: Option<Vec<String>>,
}

thread_local! {
    /// What panicked on this thread: tasks of a gateway die alone, and nobody would hear of it.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Has panics heard by the run in which they happen.
pub fn hear_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
    }));
}

/// Runs one seed.
pub fn run(seed: u64, rules: Rules, keep_trace: bool) -> Report {
    PANICS.take();
    match std::panic::catch_unwind(|| run_world(seed, rules, keep_trace)) {
        Ok(mut report) => {
            report.violations.extend(PANICS.take().into_iter().map(panicked));
            report
        }
        Err(_) => {
            let violations = PANICS.take().into_iter().map(panicked).collect();
            Report { seed, violations, hash: 0, events: 0, trace: None }
        }
    }
}

fn panicked(what: String) -> (u8, Violation) {
    (0, Violation { rule: "no panic", what })
}

fn run_world(seed: u64, rules: Rules, keep_trace: bool) -> Report {
    let mut world = World::new(seed, rules, keep_trace);
    world.run();
    let found = checker::ALL
        .iter()
        .flat_map(|(number, check)| check(&world.history).into_iter().map(|violation| (*number, violation)));
    let violations = found.collect();
    let trace = world.trace.lines.take();
    Report { seed, violations, hash: world.trace.hash(), events: world.trace.events, trace }
}

/// What came of many.
#[derive(Default)]
pub struct Totals {
    /// Failing seeds, with what is violated.
    pub failures: BTreeMap<u64, Vec<(u8, Violation)>>,
    pub events: u64,
    /// Seeds run.
    pub seeds: u64,
}

/// Runs seeds `from ..` until `count` have run, or, if `stop_at_first`, until one fails.
pub fn run_many(from: u64, count: u64, rules: Rules, stop_at_first: bool, bar: &ProgressBar) -> Totals {
    let (next, totals) = (AtomicU64::new(0), Mutex::new(Totals::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || (stop_at_first && !totals.lock().failures.is_empty()) {
                        return;
                    }
                    let report = run(from + at, rules, false);
                    let mut totals = totals.lock();
                    totals.events += report.events;
                    totals.seeds += 1;
                    if !report.violations.is_empty() {
                        totals.failures.insert(report.seed, report.violations);
                    }
                    drop(totals);
                    bar.inc(1);
                }
            });
        }
    });
    totals.into_inner()
}

/// A bar on a terminal, nothing elsewhere.
pub fn bar(count: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
    let style = "{msg} [{bar:40}] {pos}/{len} {per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).unwrap().progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
