//! `bench compare`: goals, round by round, ours and what it is held against in turn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::goals::{self, Goal, Part, Round, Run};
use crate::measure::figures::{Figures, median, name, spreads};
use crate::peers;
use crate::report::record;
use crate::report::verdict::{PartVerdict, Verdict, Verdicts};
use crate::target::Who;
use crate::work::{Load, Settings, settled};

#[derive(Args, Clone, Debug)]
pub struct Compare {
    /// Goals, such as P1,P2 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "P1,P2,...")]
    goals: Vec<String>,
    /// Rounds of each; the medians of five or more are figures, fewer are a trial
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: u32,
    /// Write an object keyed by goal: ratio, goal, met, and the medians behind them
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Multiply every count of devices and every rate with this, to try it out
    #[arg(long, default_value_t = 1.0, value_name = "X", value_parser = scale)]
    scale: f64,
    /// Leave mosquitto and nats-server out
    #[arg(long)]
    no_peers: bool,
    #[command(flatten)]
    settings: Settings,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.000_1..=10.0).contains(&scale) => Ok(scale),
        _ => Err("a scale is between 0.0001 and 10".into()),
    }
}

/// One goal with the rounds that were run.
struct Measured {
    goal: Goal,
    rounds: Vec<Round>,
    error: Option<String>,
}

impl Compare {
    /// Prints and writes what it finds; what was measured before something went wrong, too.
    ///
    /// # Errors
    /// If a run fails, a program is missing or there is no such goal. A goal that is missed is no error.
    pub fn run(self) -> anyhow::Result<()> {
        let goals = goals::find(&self.goals)?;
        self.need_peers(&goals)?;
        let mut all: Vec<Measured> =
            goals.into_iter().map(|goal| Measured { goal, rounds: Vec::new(), error: None }).collect();
        let done = self.rounds(&mut all);
        let verdicts: Verdicts =
            all.iter().map(|measured| (measured.goal.id.to_owned(), self.verdict(measured))).collect();
        for measured in &all {
            print(measured.goal.id, &verdicts[measured.goal.id]);
        }
        if let Some(path) = &self.json {
            record::write(&verdicts, path)?;
        }
        done
    }

    fn need_peers(&self, goals: &[Goal]) -> anyhow::Result<()> {
        for run in goals.iter().flat_map(|goal| self.runs(goal)) {
            match run.work.who {
                Who::Mosquitto => _ = peers::find("mosquitto")?,
                Who::Nats => _ = peers::find("nats-server")?,
                Who::Ours | Who::Ceiling => {}
            }
        }
        Ok(())
    }

    fn can_run(&self, goal: &Goal) -> bool {
        !goal.needs_zookeeper || self.settings.target.own.zookeeper.is_some()
    }

    fn runs(&self, goal: &Goal) -> Vec<Run> {
        if !self.can_run(goal) {
            return Vec::new();
        }
        let is_peer = |run: &Run| matches!(run.work.who, Who::Mosquitto | Who::Nats);
        (goal.runs)().into_iter().filter(|run| !(self.no_peers && is_peer(run))).collect()
    }

    /// All goals' runs once, then all once more: whatever changes on the machine changes for everybody.
    fn rounds(&self, all: &mut [Measured]) -> anyhow::Result<()> {
        ensure!(self.rounds > 0, "--rounds is at least 1");
        let runs: usize = all.iter().map(|measured| self.runs(&measured.goal).len()).sum();
        let bar = ProgressBar::new(runs as u64 * u64::from(self.rounds));
        bar.set_style(ProgressStyle::with_template("{pos}/{len} {msg} {elapsed}")?);
        for _ in 0..self.rounds {
            for measured in all.iter_mut() {
                if let Err(error) = self.round(measured, &bar) {
                    measured.error = Some(format!("{error:#}"));
                    return Err(error.context(format!("{} was not measured to its end", measured.goal.id)));
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn round(&self, measured: &mut Measured, bar: &ProgressBar) -> anyhow::Result<()> {
        let runs = self.runs(&measured.goal);
        if runs.is_empty() {
            return Ok(());
        }
        let mut round = Round::default();
        for run in runs {
            bar.set_message(format!("{} {}", measured.goal.id, run.label));
            let label = format!("{} {}", measured.goal.id, run.label);
            match self.one(&run, &round).with_context(|| label) {
                Ok(Some(figures)) => _ = round.0.insert(run.label.to_owned(), figures),
                Ok(None) => {}
                Err(error) => {
                    measured.rounds.push(round);
                    return Err(error);
                }
            }
            bar.inc(1);
        }
        measured.rounds.push(round);
        Ok(())
    }

    /// None where it depends on what the gateway does not tell.
    fn one(&self, run: &Run, so_far: &Round) -> anyhow::Result<Option<Figures>> {
        let mut work = run.work.clone().scaled(self.scale);
        if let Load::Append { batch, formed_by: Some(by) } = &mut work.load {
            let Some(formed) = so_far.get(by, name::ENTRIES) else { return Ok(None) };
            *batch = formed.round().max(1.0) as u32;
        }
        settled::perform(run.label, &work, &self.settings).map(Some)
    }

    fn verdict(&self, measured: &Measured) -> Verdict {
        let Measured { goal, rounds, error } = measured;
        let parts: Vec<PartVerdict> = goal.parts.iter().map(|part| held(part, rounds)).collect();
        let unknown: Vec<&str> =
            parts.iter().filter(|part| part.ratio.is_none()).map(|part| part.name.as_str()).collect();
        let reason = match &unknown[..] {
            _ if !self.can_run(goal) => Some("needs a cluster: give --zookeeper HOST:PORT".to_owned()),
            [] => None,
            unknown => Some(format!("not measured: {}", unknown.join(", "))),
        };
        let shown = shown(goal, &parts);
        let labels: std::collections::BTreeSet<String> =
            rounds.iter().flat_map(|round| round.0.keys().cloned()).collect();
        let of_label = |label: &String| -> Vec<Figures> {
            rounds.iter().filter_map(|round| round.0.get(label).cloned()).collect()
        };
        let spreads: BTreeMap<_, _> =
            labels.iter().map(|label| (label.clone(), spreads(&of_label(label)))).collect();
        let medians = spreads.iter().map(|(label, figures)| {
            (label.clone(), figures.iter().map(|(name, spread)| (name.clone(), spread.median)).collect())
        });
        Verdict {
            title: goal.title.to_owned(),
            ratio: parts.get(shown).and_then(|part| part.ratio),
            goal: goal.parts[shown].goal,
            bound: goal.parts[shown].bound.name().to_owned(),
            met: error.is_none() && parts.iter().all(|part| part.met),
            reason,
            medians: medians.collect(),
            parts,
            spreads,
            rounds: rounds.iter().map(|round| round.0.clone()).collect(),
            scale: self.scale,
            partial: error.is_some() || (self.can_run(goal) && rounds.len() < self.rounds as usize),
            error: error.clone(),
            command: record::command(),
        }
    }
}

/// The part that stands for all: the one furthest from its goal if any is missed, otherwise the first.
fn shown(goal: &Goal, parts: &[PartVerdict]) -> usize {
    let distance = |at: &usize| {
        parts[*at].ratio.map_or(0.0, |ratio| goal.parts[*at].bound.distance(ratio, goal.parts[*at].goal))
    };
    let missed = (0..parts.len()).filter(|at| parts[*at].ratio.is_some() && !parts[*at].met);
    missed.max_by(|one, other| distance(one).total_cmp(&distance(other))).unwrap_or_default()
}

fn held(part: &Part, rounds: &[Round]) -> PartVerdict {
    let values: Vec<f64> = rounds.iter().filter_map(part.value).filter(|value| value.is_finite()).collect();
    let least = values.iter().copied().reduce(f64::min);
    let most = values.iter().copied().reduce(f64::max);
    let ratio = median(values);
    PartVerdict {
        name: part.name.to_owned(),
        ratio,
        least,
        most,
        goal: part.goal,
        bound: part.bound.name().to_owned(),
        unit: part.unit.to_owned(),
        met: ratio.is_some_and(|ratio| part.bound.holds(ratio, part.goal)),
    }
}

fn print(id: &str, verdict: &Verdict) {
    let mark = if verdict.met { "met" } else { "NOT MET" };
    let partial = if verdict.partial { ", PARTIAL" } else { "" };
    println!("\n{id:4} {mark}{partial}: {} ({} rounds)", verdict.title, verdict.rounds.len());
    for part in &verdict.parts {
        let value = part.ratio.map_or("not known".into(), |ratio| format!("{ratio:.3} {}", part.unit));
        let spread = match (part.least, part.most) {
            (Some(least), Some(most)) => format!("{least:.3} to {most:.3}"),
            _ => String::new(),
        };
        let sign = if part.met { ' ' } else { '!' };
        println!("   {sign} {:38} {value:16} {spread:20} {} {}", part.name, part.bound, part.goal);
    }
    for (label, figures) in &verdict.medians {
        let told = [
            (name::CPU, "µs CPU"),
            (name::PER_SECOND, "/s"),
            (name::P50, "µs p50"),
            (name::P99, "µs p99"),
            (name::BYTES, "B"),
            (name::FRAMES, "frames a write"),
            (name::ENTRIES, "entries a commit"),
            (name::OTHERS, "% others"),
        ];
        let told = told.iter().filter_map(|(name, unit)| Some(format!("{:.2} {unit}", figures.get(*name)?)));
        println!("     {label:24} {}", told.collect::<Vec<_>>().join(", "));
    }
    if let Some(reason) = verdict.reason.as_ref().or(verdict.error.as_ref()) {
        println!("     {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals::Bound;

    const PARTS: &[Part] = &[
        Part { name: "a", goal: 1.0, bound: Bound::AtMost, unit: "×", value: |round| round.cpu("a") },
        Part { name: "b", goal: 4.0, bound: Bound::AtLeast, unit: "×", value: |round| round.cpu("b") },
    ];

    fn round(a: f64, b: f64) -> Round {
        let figures = |value| {
            let mut figures = Figures::default();
            figures.set(name::CPU, value);
            figures
        };
        Round([("a".into(), figures(a)), ("b".into(), figures(b))].into())
    }

    #[test]
    fn the_part_furthest_from_its_goal_is_shown() {
        let goal = Goal { id: "P0", title: "", runs: Vec::new, parts: PARTS, needs_zookeeper: false };
        for (rounds, expected) in [
            (vec![round(0.5, 5.0)], 0),
            (vec![round(1.5, 5.0)], 0),
            (vec![round(1.5, 1.0)], 1),
            (vec![round(9.0, 1.0), round(9.0, 3.0), round(0.1, 2.0)], 0),
        ] {
            let parts: Vec<PartVerdict> = PARTS.iter().map(|part| held(part, &rounds)).collect();
            assert_eq!(shown(&goal, &parts), expected, "{rounds:?}");
        }
    }

    #[test]
    fn what_no_round_knows_is_not_met() {
        let held = held(&PARTS[0], &[Round::default()]);
        assert!(held.ratio.is_none() && !held.met);
    }
}
