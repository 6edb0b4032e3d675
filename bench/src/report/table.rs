//! Rows of a report, from either kind of file.

use std::collections::BTreeMap;

use anyhow::bail;

use super::record::Record;
use super::verdict::{Verdict, Verdicts};
use crate::measure::figures::Spread;

/// One goal, or the runs of one verb.
pub struct Table {
    pub title: String,
    pub command: String,
    /// What to know before believing it.
    pub notes: Vec<String>,
    pub parts: Vec<PartRow>,
    /// By run, then by figure.
    pub runs: BTreeMap<String, BTreeMap<String, Spread>>,
}

/// A value held against its goal.
pub struct PartRow {
    pub name: String,
    pub value: Option<f64>,
    pub least: Option<f64>,
    pub most: Option<f64>,
    pub goal: f64,
    pub bound: String,
    pub unit: String,
    pub met: bool,
}

impl Table {
    /// Reads a file's text.
    ///
    /// # Errors
    /// If it is of neither kind.
    pub fn read(name: &str, text: &str) -> anyhow::Result<Vec<Table>> {
        if let Ok(verdicts) = serde_json::from_str::<Verdicts>(text) {
            return Ok(verdicts.into_iter().map(|(id, verdict)| Table::of_verdict(&id, verdict)).collect());
        }
        match serde_json::from_str::<Record>(text) {
            Ok(record) => Ok(vec![Table::of_record(name, &record)]),
            Err(error) => bail!("neither `compare` nor a verb wrote this: {error}"),
        }
    }

    fn of_verdict(id: &str, verdict: Verdict) -> Table {
        let mut notes = Vec::new();
        notes.extend(verdict.reason.clone());
        if verdict.scale != 1.0 {
            notes.push(format!("at {} of the goal's size: a trial, no result", verdict.scale));
        }
        if verdict.partial {
            notes.push(format!("partial: {}", verdict.error.clone().unwrap_or_default()));
        }
        let parts = verdict.parts.into_iter().map(|part| PartRow {
            name: part.name,
            value: part.ratio,
            least: part.least,
            most: part.most,
            goal: part.goal,
            bound: part.bound,
            unit: part.unit,
            met: part.met,
        });
        Table {
            title: format!("{id}: {}", verdict.title),
            command: verdict.command,
            notes,
            parts: parts.collect(),
            runs: verdict.spreads,
        }
    }

    fn of_record(name: &str, record: &Record) -> Table {
        let runs = record.runs.keys().map(|label| (label.clone(), record.spreads(label)));
        Table {
            title: name.to_owned(),
            command: record.command.clone(),
            notes: record.error.iter().map(|error| format!("partial: {error}")).collect(),
            parts: Vec::new(),
            runs: runs.collect(),
        }
    }
}

/// A number with three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
