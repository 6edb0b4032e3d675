//! What the gateway counts, as its `/metrics` tells it.

use std::collections::HashMap;
use std::iter::Sum;

use anyhow::{Context as _, ensure};

/// The numbers at one moment, by their names without the `whimbrel_` in front.
pub struct Metrics(HashMap<String, u64>);

impl Metrics {
    /// Reads an answer to GET /metrics.
    pub fn read(answer: &str) -> anyhow::Result<Metrics> {
        ensure!(answer.starts_with("HTTP/1.1 200"), "no metrics: {answer}");
        Ok(Metrics(answer.lines().filter_map(number).collect()))
    }

    /// By how much a counter has risen since.
    pub fn risen(&self, since: &Metrics, name: &str) -> anyhow::Result<u64> {
        let value = |metrics: &Metrics| metrics.0.get(name).copied();
        let (now, then) = value(self).zip(value(since)).with_context(|| format!("nothing counts {name}"))?;
        Ok(now.saturating_sub(then))
    }
}

/// What several processes have counted together.
impl Sum for Metrics {
    fn sum<I: Iterator<Item = Metrics>>(all: I) -> Metrics {
        let mut sums: HashMap<String, u64> = HashMap::new();
        for (name, value) in all.flat_map(|metrics| metrics.0) {
            *sums.entry(name).or_default() += value;
        }
        Metrics(sums)
    }
}

fn number(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.strip_prefix("whimbrel_")?.split_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_nothing_else() {
        let value = |value| (String::from("store_reads_total"), value);
        assert_eq!(number("whimbrel_store_reads_total 7"), Some(value(7)));
        for other in ["# HELP whimbrel_store_reads_total 7", "HTTP/1.1 200 OK", "whimbrel_x", "whimbrel_x y"]
        {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
