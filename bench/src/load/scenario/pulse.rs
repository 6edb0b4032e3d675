//! When something is due, at a fixed rate.

use crate::load::clock::SECOND;
use crate::load::plan::Pace;

/// Moments at even distances, or none in a closed loop.
pub struct Pulse {
    gap: f64,
    next: Option<f64>,
}

impl Pulse {
    pub fn of(pace: Pace) -> Pulse {
        match pace {
            Pace::Rate(rate) => Pulse { gap: SECOND as f64 / rate, next: None },
            Pace::InFlight(_) => Pulse { gap: 0.0, next: None },
        }
    }

    /// Starts it, if there is a rate.
    pub fn start(&mut self, now: u64) {
        self.next = (self.gap > 0.0).then_some(now as f64);
    }

    pub fn stop(&mut self) {
        self.next = None;
    }

    /// The next moment that has come, and it moves on.
    pub fn due(&mut self, now: u64) -> Option<u64> {
        let due = self.next.filter(|due| *due <= now as f64)?;
        self.next = Some(due + self.gap);
        Some(due as u64)
    }

    /// When the next one comes.
    pub fn next(&self) -> Option<u64> {
        self.next.map(|next| next as u64)
    }
}

/// How many may be unanswered in a closed loop; 0 in an open one.
pub fn window(pace: Pace) -> u64 {
    match pace {
        Pace::InFlight(window) => u64::from(window),
        Pace::Rate(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_due_at_its_own_time() {
        let mut pulse = Pulse::of(Pace::Rate(1_000.0));
        assert_eq!(pulse.due(5), None);
        pulse.start(0);
        let due: Vec<u64> = std::iter::from_fn(|| pulse.due(2_500_000)).collect();
        assert_eq!(due, [0, 1_000_000, 2_000_000]);
        assert_eq!(pulse.next(), Some(3_000_000));
    }
}
