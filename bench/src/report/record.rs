//! What a verb writes with `--json`: the figures of every round.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::measure::figures::{Figures, Spread, spreads};

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The command line that made it.
    pub command: String,
    /// Why it is only a part, if it is.
    pub error: Option<String>,
    /// By label: the figures of every round.
    pub runs: BTreeMap<String, Vec<Figures>>,
}

impl Record {
    pub fn new() -> Record {
        Record { command: command(), ..Record::default() }
    }

    pub fn add(&mut self, label: &str, figures: Figures) {
        self.runs.entry(label.to_owned()).or_default().push(figures);
    }

    /// How many rounds of a label there are.
    pub fn rounds_of(&self, label: &str) -> usize {
        self.runs.get(label).map_or(0, Vec::len)
    }

    pub fn spreads(&self, label: &str) -> BTreeMap<String, Spread> {
        self.runs.get(label).map(|rounds| spreads(rounds)).unwrap_or_default()
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write(self, path)
    }
}

/// This program's command line, without where it lies.
pub fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("bench {}", words.join(" "))
}

/// Writes JSON to a file.
pub fn write(value: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
