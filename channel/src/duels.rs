//! Two processes that fight over one identity: each login evicts the other. Pure.
//!
//! A device that displaces its own living connection more often than [`FREE_ROUNDS`] within [`WINDOW_MS`] is let in
//! only after a delay that doubles with each displacement. The refused one keeps nobody from work: the connection that
//! is there stays. A device on a bad line, whose dead connections seem to live, is delayed and never shut out.

use std::collections::{BTreeMap, BTreeSet};

/// Times a device may displace itself within the window without being slowed down.
pub const FREE_ROUNDS: u32 = 10;
/// The window, milliseconds; after as long without a displacement or refusal all is forgotten.
pub const WINDOW_MS: u64 = 60_000;
/// The first delay, milliseconds; it doubles.
pub const FIRST_DELAY_MS: u64 = 1_000;
/// The longest delay, milliseconds.
pub const MAX_DELAY_MS: u64 = 30_000;
/// Devices that are remembered; who displaced itself longest ago is forgotten first.
pub const MAX_DUELS: usize = 4_096;

/// Devices that have displaced themselves lately.
#[derive(Debug, Default)]
pub struct Duels {
    devices: BTreeMap<u64, Duel>,
    /// By the time of the last displacement or refusal.
    by_time: BTreeSet<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Duel {
    /// Displacements and refusals, in a row.
    rounds: u32,
    began: u64,
    last: u64,
    /// No displacement before.
    until: u64,
}

impl Duels {
    /// A login is about to displace the device's living connection, at `now` (milliseconds that never fall).
    ///
    /// # Errors
    /// How many milliseconds to wait before the next try.
    pub fn displace(&mut self, device: u64, now: u64) -> Result<(), u64> {
        let mut duel = self.take(device, now);
        // Coming too early costs nothing but the rest of the wait.
        if now < duel.until {
            let left = duel.until - now;
            self.put(device, Duel { last: now, ..duel });
            return Err(left);
        }
        let was_free = duel.until == 0;
        duel.rounds = duel.rounds.saturating_add(1);
        let mut delay = 0;
        if duel.rounds > FREE_ROUNDS {
            let doublings = (duel.rounds - FREE_ROUNDS - 1).min(16);
            delay = (FIRST_DELAY_MS << doublings).min(MAX_DELAY_MS);
            duel.until = now + delay;
        }
        duel.last = now;
        self.put(device, duel);
        // The first one too many waits; later ones have waited already, and the next one waits longer.
        if was_free && delay > 0 { Err(delay) } else { Ok(()) }
    }

    fn take(&mut self, device: u64, now: u64) -> Duel {
        let fresh = Duel { rounds: 0, began: now, last: now, until: 0 };
        let Some(duel) = self.devices.remove(&device) else { return fresh };
        self.by_time.remove(&(duel.last, device));
        let over =
            if duel.until == 0 { now.saturating_sub(duel.began) } else { now.saturating_sub(duel.until) };
        if over >= WINDOW_MS { fresh } else { duel }
    }

    fn put(&mut self, device: u64, duel: Duel) {
        if self.devices.len() >= MAX_DUELS
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.devices.remove(&oldest);
        }
        self.devices.insert(device, duel);
        self.by_time.insert((duel.last, device));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_are_free_and_then_the_delay_doubles() {
        let mut duels = Duels::default();
        for n in 0..FREE_ROUNDS {
            assert_eq!(duels.displace(1, u64::from(n) * 100), Ok(()));
        }
        assert_eq!(duels.displace(1, 1_000), Err(1_000));
        assert_eq!(duels.displace(1, 1_500), Err(500), "too early");
        assert_eq!(duels.displace(1, 2_000), Ok(()), "in time, and the next has to wait longer");
        assert_eq!(duels.displace(1, 2_100), Err(1_900));
        assert_eq!(duels.displace(1, 4_000), Ok(()));
        assert_eq!(duels.displace(1, 4_000), Err(4_000));
        assert_eq!(duels.displace(2, 4_000), Ok(()), "another device is not slowed down");
        assert_eq!(duels.displace(1, 8_000 + WINDOW_MS), Ok(()), "all is forgotten");
        assert_eq!(duels.displace(1, 8_001 + WINDOW_MS), Ok(()));
    }

    #[test]
    fn now_and_then_is_no_duel() {
        let mut duels = Duels::default();
        for n in 0..1_000 {
            assert_eq!(duels.displace(1, n * (WINDOW_MS / u64::from(FREE_ROUNDS) + 1_000)), Ok(()));
        }
    }

    proptest! {
        /// However two processes fight, they get in a few times a minute, and the memory is bounded.
        #[test]
        fn a_fight_costs_little(gaps in prop::collection::vec(0..2_000u64, 1..800)) {
            let (mut duels, mut now, mut admitted) = (Duels::default(), 0, 0);
            for gap in gaps {
                now += gap;
                admitted += u64::from(duels.displace(7, now).is_ok());
                duels.displace(1_000 + now, now).ok();
            }
            // The free ones once, then one for each delay: far below one a second.
            prop_assert!(admitted <= u64::from(FREE_ROUNDS) * (1 + now / WINDOW_MS) + 8, "{admitted} in {now} ms");
            prop_assert!(duels.devices.len() <= MAX_DUELS);
            prop_assert_eq!(duels.devices.len(), duels.by_time.len());
        }
    }
}
