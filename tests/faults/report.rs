//! What a round measured and found, and the proof that its checks can fail.

use std::fmt;
use std::time::Duration;

use crate::support::checker::check;
use crate::support::history::{Event, History, Outcome};

/// How many violations of one history are named.
const NAMED: usize = 20;

/// The outcome of one round.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    notes: Vec<String>,
    violations: Vec<String>,
}

/// A number with a name, and what it must not pass.
#[derive(Clone)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    None,
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

impl Report {
    pub fn new() -> Report {
        Report::default()
    }

    /// A round that did not come to its end.
    pub fn broken(why: String) -> Report {
        Report { violations: vec![why], ..Report::default() }
    }

    /// Something a reader of the figures has to know.
    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// A figure without a limit.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.add(name, value, unit, Limit::None);
    }

    pub fn at_most(&mut self, name: impl Into<String>, value: f64, unit: &'static str, limit: f64) {
        self.add(name, value, unit, Limit::AtMost(limit));
    }

    pub fn at_least(&mut self, name: impl Into<String>, value: f64, unit: &'static str, limit: f64) {
        self.add(name, value, unit, Limit::AtLeast(limit));
    }

    /// A count that must be this.
    pub fn exactly(&mut self, name: impl Into<String>, value: usize, limit: usize) {
        self.add(name, value as f64, "", Limit::Exactly(limit as f64));
    }

    /// Two percentiles of some times; no time at all is a violation.
    pub fn percentiles(&mut self, name: &str, times: &[Duration], low: f64, high: f64, limit_s: Option<f64>) {
        if times.is_empty() {
            self.violations.push(format!("{name}: nothing was measured"));
            return;
        }
        self.figure(format!("{name}, p{low}"), percentile(times, low), "s");
        let limit = limit_s.map_or(Limit::None, Limit::AtMost);
        self.add(format!("{name}, p{high}"), percentile(times, high), "s", limit);
    }

    /// Something that must not have happened.
    pub fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Holds a history to every invariant, and shows that a lost message or a hole in it would have been seen.
    pub fn history(&mut self, history: &History) {
        let found = check(history);
        self.figure("messages acknowledged", acked(history).count() as f64, "");
        self.violations.extend(found.iter().take(NAMED).map(ToString::to_string));
        if found.len() > NAMED {
            self.violation(format!("and {} more in this history", found.len() - NAMED));
        }
        for (what, planted) in [("a lost message", without_acked(history)), ("a hole", with_hole(history))] {
            if let Some(planted) = planted
                && check(&planted).len() <= found.len()
            {
                self.violation(format!("the check does not bite: {what} was planted and not seen"));
            }
        }
        if without_acked(history).is_none() {
            self.violation("nothing was acknowledged: the round shows nothing");
        }
    }

    /// Adds what another part of the round reports.
    pub fn join(&mut self, other: Report) {
        self.figures.extend(other.figures);
        self.notes.extend(other.notes);
        self.violations.extend(other.violations);
    }

    /// Every violation. Shows first that each limit would have been noticed if it had been passed.
    pub fn finish(&mut self) -> Vec<String> {
        for figure in &self.figures {
            if figure.planted().is_some_and(|planted| planted.violation().is_none()) {
                self.violations.push(format!("the check does not bite: {}", figure.name));
            }
        }
        self.violations.extend(self.figures.iter().filter_map(Figure::violation));
        std::mem::take(&mut self.violations)
    }

    fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, limit: Limit) {
        self.figures.push(Figure { name: name.into(), value, unit, limit });
    }
}

impl Figure {
    fn violation(&self) -> Option<String> {
        let holds = match self.limit {
            Limit::None => true,
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
            Limit::Exactly(limit) => self.value == limit,
        };
        (!holds).then(|| self.to_string())
    }

    /// The same figure with a value that must not be.
    fn planted(&self) -> Option<Figure> {
        let value = match self.limit {
            Limit::None => return None,
            Limit::AtMost(limit) | Limit::Exactly(limit) => limit + 1.0,
            Limit::AtLeast(limit) => limit - 1.0,
        };
        Some(Figure { value, ..self.clone() })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: f64| match value.fract() == 0.0 {
            true => format!("{value:.0} {}", self.unit),
            false => format!("{value:.3} {}", self.unit),
        };
        write!(f, "{:48} {:>12}", self.name, value(self.value).trim_end())?;
        match self.limit {
            Limit::None => Ok(()),
            Limit::AtMost(limit) => write!(f, "   at most {}", value(limit).trim_end()),
            Limit::AtLeast(limit) => write!(f, "   at least {}", value(limit).trim_end()),
            Limit::Exactly(limit) => write!(f, "   of {}", value(limit).trim_end()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures.iter().try_for_each(|figure| writeln!(f, "     {figure}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "     note: {note}"))
    }
}

/// Says how far a long round is, at each tenth.
pub fn progress(done: usize, total: usize, what: &str) {
    let tenth = |done: usize| done * 10 / total.max(1);
    if done > 0 && tenth(done) > tenth(done - 1) {
        println!("     {done}/{total} {what}");
    }
}

/// In seconds.
pub fn percentile(times: &[Duration], percent: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, sorted.len());
    sorted[at - 1].as_secs_f64()
}

/// The seqs that were acknowledged.
pub fn acked(history: &History) -> impl Iterator<Item = u64> + '_ {
    history.events.iter().filter_map(|event| match event {
        Event::SendEnded { outcome: Outcome::Acked { seq, .. }, .. } => Some(*seq),
        _ => None,
    })
}

/// The history as it would be if the store had forgotten an acknowledged message.
fn without_acked(history: &History) -> Option<History> {
    let seq = acked(history).next()?;
    let mut planted = history.clone();
    for event in &mut planted.events {
        if let Event::Final { entries, .. } = event {
            entries.retain(|entry| entry.seq != seq);
        }
    }
    Some(planted)
}

/// The history as it would be if a device had never seen a message.
fn with_hole(history: &History) -> Option<History> {
    let saw = |event: &Event| match event {
        Event::Saw { device, conversation, entry } => Some((*device, conversation.clone(), entry.seq)),
        _ => None,
    };
    let follows =
        |who| history.events.iter().any(|e| matches!(e, Event::Follows { device, .. } if *device == who));
    let seen: Vec<_> =
        history.events.iter().filter_map(saw).filter(|(device, ..)| follows(*device)).collect();
    let gone = seen.get(seen.len() / 2)?.clone();
    let mut planted = history.clone();
    planted.events.retain(|event| saw(event).as_ref() != Some(&gone));
    Some(planted)
}
