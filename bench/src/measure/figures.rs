//! Numbers of one run, by name, and their medians over rounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names of figures, with their units.
pub mod name {
    pub const PER_SECOND: &str = "per_second";
    pub const ACCEPTED: &str = "accepted_per_second";
    pub const CPU: &str = "cpu_us";
    pub const P50: &str = "p50_us";
    pub const P99: &str = "p99_us";
    pub const MAX: &str = "max_us";
    pub const ANSWER_P50: &str = "answer_p50_us";
    pub const ANSWER_P99: &str = "answer_p99_us";
    pub const BYTES: &str = "bytes_per_connection";
    pub const OTHERS: &str = "others_percent";
    pub const FRAMES: &str = "frames_per_write";
    pub const ENTRIES: &str = "entries_per_commit";
    pub const APPENDS: &str = "appends_per_commit";
    /// What the nodes of a cluster write to each other for each message.
    pub const LINK_BYTES: &str = "link_bytes";
    pub const RESUMED: &str = "resumed";
    pub const RESUME_CPU: &str = "resume_cpu_us";
    pub const SECONDS: &str = "seconds";
    pub const REPEATED: &str = "repeated";
    pub const SENT_AWAY: &str = "sent_away";
    pub const PULLED: &str = "pulled";
    /// The most memory in use on the whole machine, and what was in use before.
    pub const IN_USE: &str = "memory_in_use";
    pub const IN_USE_BEFORE: &str = "memory_in_use_before";
    /// Anonymous memory of all processes of the generator, for each connection.
    pub const LOAD_BYTES: &str = "load_bytes_per_connection";
    pub const REACH_SECONDS: &str = "reach_seconds";
}

/// One run's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(pub BTreeMap<String, f64>);

impl Figures {
    pub fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    pub fn set_if(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

/// The middle of some numbers; the mean of the two in the middle where their count is even.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    match values.len().is_multiple_of(2) {
        true => Some((values[values.len() / 2 - 1] + upper) / 2.0),
        false => Some(upper),
    }
}

/// A figure over several rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

/// The spread of every figure that any round has.
pub fn spreads(rounds: &[Figures]) -> BTreeMap<String, Spread> {
    let names: std::collections::BTreeSet<&String> = rounds.iter().flat_map(|round| round.0.keys()).collect();
    let spread = |name: &String| {
        let values: Vec<f64> = rounds.iter().filter_map(|round| round.get(name)).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some((name.clone(), Spread { median: median(values)?, least, most }))
    };
    names.into_iter().filter_map(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn spreads_cover_what_only_some_rounds_have() {
        let round = |pairs: &[(&str, f64)]| {
            let mut figures = Figures::default();
            pairs.iter().for_each(|(name, value)| figures.set(name, *value));
            figures
        };
        let all = spreads(&[round(&[("a", 1.0)]), round(&[("a", 3.0), ("b", 7.0)])]);
        assert_eq!(all["a"], Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(all["b"].median, 7.0);
    }
}
