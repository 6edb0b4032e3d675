//! A histogram of durations.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations from a microsecond to a minute, three digits exact.
pub struct Latency(Histogram<u64>);

impl Latency {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 60_000_000, 3)?))
    }

    pub fn record(&mut self, duration: Duration) {
        self.0.saturating_record(duration.as_micros() as u64);
    }

    pub fn merge(&mut self, other: &Latency) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// `p50 1.2 ms  p99 3.4 ms  max 5.6 ms`
    pub fn summary(&self) -> String {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        let max = self.0.max() as f64 / 1000.0;
        format!("p50 {:.2} ms  p99 {:.2} ms  max {max:.2} ms", at(0.50), at(0.99))
    }
}
