//! Goals: what the gateway has to reach, each as a ratio against a ceiling or a peer that is measured in the same round.
//! One file a goal; [`ALL`] is the table.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::plan::{Pace, Transport};
use crate::measure::figures::{Figures, name};
use crate::target::Who;
use crate::work::{Load, Work};

mod p1;
mod p10;
mod p2;
mod p3;
mod p4;
mod p5;
mod p6;
mod p7;
mod p8;
mod p9;

/// Every goal, in order.
pub const ALL: [Goal; 10] =
    [p1::GOAL, p2::GOAL, p3::GOAL, p4::GOAL, p5::GOAL, p6::GOAL, p7::GOAL, p8::GOAL, p9::GOAL, p10::GOAL];

/// One goal.
#[derive(Clone, Copy)]
pub struct Goal {
    pub id: &'static str,
    pub title: &'static str,
    /// What is run in each round, in this order.
    pub runs: fn() -> Vec<Run>,
    /// What is held against what. The first one is the goal's own ratio where all are met.
    pub parts: &'static [Part],
    /// It is about a cluster: without a ZooKeeper it is left out.
    pub needs_zookeeper: bool,
}

/// One run of a round.
pub struct Run {
    pub label: &'static str,
    pub work: Work,
}

/// A value that is held against a goal.
#[derive(Clone, Copy)]
pub struct Part {
    pub name: &'static str,
    pub goal: f64,
    pub bound: Bound,
    /// "×" for a ratio.
    pub unit: &'static str,
    /// The value in one round; None where something was not measured or not told.
    pub value: fn(&Round) -> Option<f64>,
}

/// On which side of the goal a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    AtMost,
    AtLeast,
}

impl Bound {
    pub fn name(self) -> &'static str {
        match self {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        }
    }

    pub fn holds(self, value: f64, goal: f64) -> bool {
        match self {
            Bound::AtMost => value <= goal,
            Bound::AtLeast => value >= goal,
        }
    }

    /// How far a value is from its goal: 1 is there, more is too far.
    pub fn distance(self, value: f64, goal: f64) -> f64 {
        match self {
            Bound::AtMost => value / goal,
            Bound::AtLeast => goal / value.max(f64::MIN_POSITIVE),
        }
    }
}

/// The figures of one round's runs.
#[derive(Clone, Debug, Default)]
pub struct Round(pub BTreeMap<String, Figures>);

impl Round {
    pub fn get(&self, run: &str, figure: &str) -> Option<f64> {
        self.0.get(run)?.get(figure)
    }

    pub fn cpu(&self, run: &str) -> Option<f64> {
        self.get(run, name::CPU)
    }

    /// A figure of one run over that of another.
    pub fn ratio(&self, figure: &str, run: &str, other: &str) -> Option<f64> {
        let (one, other) = (self.get(run, figure)?, self.get(other, figure)?);
        (other > 0.0).then_some(one / other)
    }
}

/// The goals with these ids, such as P1.
///
/// # Errors
/// If there is no such goal.
pub fn find(ids: &[String]) -> anyhow::Result<Vec<Goal>> {
    let find = |id: &String| {
        let known = ALL.iter().find(|goal| goal.id.eq_ignore_ascii_case(id.trim()));
        known.copied().ok_or_else(|| anyhow::anyhow!("there is no goal {id}; there are P1 to P10"))
    };
    match ids {
        [] => Ok(ALL.to_vec()),
        ids => ids.iter().map(find).collect(),
    }
}

fn run(label: &'static str, who: Who, load: Load) -> Run {
    Run { label, work: Work::new(who, load) }
}

impl Run {
    fn over(mut self, transport: Transport) -> Run {
        self.work.transport = transport;
        self
    }

    fn qos(mut self, qos: u8) -> Run {
        self.work.qos = qos;
        self
    }

    fn with_connectors(mut self, count: u16) -> Run {
        self.work.connectors = Some(count);
        self
    }

    fn warmed_up(mut self, seconds: u64) -> Run {
        self.work.warm_up = Some(Duration::from_secs(seconds));
        self
    }
}

fn fanout(listeners: u32, in_flight: u32) -> Load {
    Load::Fanout { listeners, idle: 0, stalled: 0, pace: Pace::InFlight(in_flight), stored: false }
}

fn pairs(pace: Pace, stored: bool) -> Load {
    Load::Pairs { pairs: 100, pace, stored, acked: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_is_there_once_with_runs_and_parts() {
        let ids: Vec<String> = (1..=10).map(|n| format!("P{n}")).collect();
        assert_eq!(ALL.map(|goal| goal.id.to_owned()).to_vec(), ids);
        for goal in ALL {
            assert!(!goal.parts.is_empty() && !(goal.runs)().is_empty(), "{}", goal.id);
        }
    }

    #[test]
    fn parts_name_runs_that_there_are() {
        for goal in ALL {
            let everything = [
                name::CPU,
                name::PER_SECOND,
                name::P50,
                name::P99,
                name::BYTES,
                name::ENTRIES,
                name::RESUME_CPU,
                name::RESUMED,
                name::IN_USE,
                "server_bytes",
            ];
            let mut figures = Figures::default();
            everything.iter().for_each(|name| figures.set(name, 2.0));
            let runs = (goal.runs)().into_iter().map(|run| (run.label.to_owned(), figures.clone()));
            let round = Round(runs.collect());
            for part in goal.parts {
                assert!((part.value)(&round).is_some(), "{}: {}", goal.id, part.name);
            }
        }
    }

    #[test]
    fn distances_grow_on_the_wrong_side() {
        assert!(Bound::AtMost.distance(3.0, 1.5) > 1.0 && Bound::AtMost.distance(1.0, 1.5) < 1.0);
        assert!(Bound::AtLeast.distance(0.2, 0.4) > 1.0 && Bound::AtLeast.distance(0.8, 0.4) < 1.0);
    }
}
