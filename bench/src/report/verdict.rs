//! What `compare` writes: an object keyed P1, P2 and so on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::figures::{Figures, Spread};

/// All goals that were measured, by their ids.
pub type Verdicts = BTreeMap<String, Verdict>;

/// What became of one goal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub title: String,
    /// The value of the part that is furthest from its goal; null where it is not known.
    pub ratio: Option<f64>,
    /// That part's goal.
    pub goal: f64,
    /// Whether the ratio must be "at most" or "at least" the goal.
    pub bound: String,
    /// Every part is known and has reached its goal.
    pub met: bool,
    /// Why the ratio, or that of a part, is not known.
    pub reason: Option<String>,
    pub parts: Vec<PartVerdict>,
    /// By run, then by figure: the medians over the rounds.
    pub medians: BTreeMap<String, BTreeMap<String, f64>>,
    /// The same with the least and the most.
    pub spreads: BTreeMap<String, BTreeMap<String, Spread>>,
    /// By round, then by run: every figure.
    pub rounds: Vec<BTreeMap<String, Figures>>,
    /// Sizes were multiplied by this; figures of a goal hold for 1.
    pub scale: f64,
    /// It ended before all rounds were done.
    pub partial: bool,
    pub error: Option<String>,
    pub command: String,
}

/// What became of one part of a goal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartVerdict {
    pub name: String,
    /// The median over the rounds.
    pub ratio: Option<f64>,
    /// From where to where it went.
    pub least: Option<f64>,
    pub most: Option<f64>,
    pub goal: f64,
    pub bound: String,
    /// What it is measured in; "×" for a ratio.
    pub unit: String,
    pub met: bool,
}
