//! What a generator process has counted.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart, in microseconds: a minute.
const MOST_MICROS: u64 = 60_000_000;

/// Counts of what happened while it counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that reached a device.
    pub deliveries: u64,
    /// Messages that the server has accepted.
    pub accepted: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Answers to reads, and the messages in them.
    pub reads: u64,
    pub read_messages: u64,
    /// Copies of what had come before; they are no deliveries.
    pub repeated: u64,
    /// Times a device was told that it is behind and had to pull.
    pub pulled: u64,
    /// Logins that the server put off, and that were tried again.
    pub sent_away: u64,
    /// Devices that resumed their session at the latest login.
    pub resumed: u64,
    /// The highest number of a message that a listener has got.
    pub last: u64,
    /// From the moment a message was due to its arrival, and to the server's answer.
    pub delivery: Latency,
    pub answer: Latency,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.deliveries += other.deliveries;
        self.accepted += other.accepted;
        self.sent += other.sent;
        self.reads += other.reads;
        self.read_messages += other.read_messages;
        self.repeated += other.repeated;
        self.pulled += other.pulled;
        self.sent_away += other.sent_away;
        self.resumed += other.resumed;
        self.last = self.last.max(other.last);
        self.delivery.add(&other.delivery);
        self.answer.add(&other.answer);
    }
}

/// A histogram of microseconds up to a minute, three digits exact.
#[derive(Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MOST_MICROS, 3);
        Self(histogram.unwrap_or_else(|_| unreachable!("these bounds are in order")))
    }
}

impl Latency {
    /// Records nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record((nanos / 1_000).max(1));
    }

    pub fn add(&mut self, other: &Latency) {
        // Both have the same bounds, so nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value below which this share of all lies, in microseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64
    }

    pub fn max(&self) -> f64 {
        self.0.max() as f64
    }
}

impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(self.0.iter_recorded().map(|bar| (bar.value_iterated_to(), bar.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latency = Latency::default();
        for (micros, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latency.0.saturating_record_n(micros, count);
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_survives_its_line_and_adds_up() {
        let mut tally = Tally { deliveries: 2, ..Tally::default() };
        for micros in [10, 20, 20, 5_000] {
            tally.delivery.record(micros * 1_000);
        }
        let read: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert_eq!((read.delivery.count(), read.delivery.quantile(0.5)), (4, 20.0));
        tally.add(&read);
        assert_eq!((tally.deliveries, tally.delivery.count()), (4, 8));
        assert!(tally.delivery.max() >= 5_000.0);
    }
}
