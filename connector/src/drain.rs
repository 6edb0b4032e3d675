//! Devices sent away: all of them when the connector ends, or a share of them to even out the cluster.
//!
//! They stay connected until their turn comes, so that nobody is without a connection for longer than it takes to make
//! another one. Only where there is no other connector, or no time, are they all sent away at once, and told to come
//! back one after the other.

use std::sync::Arc;
use std::time::Duration;

use protocol::code::Code;
use rand::seq::SliceRandom as _;

use crate::connector::Connector;
use crate::handle::Handle;

/// How many devices may come to one other connector in a second.
const RETURNS_PER_SECOND: u32 = 1_000;
/// How long the devices are told at most to stay away.
const MAX_RETURN_SPREAD: Duration = Duration::from_secs(30);
/// Of a drain's time, what sending the devices away may take, in percent. The rest is for them to go.
const PERCENT_FOR_SENDING: u32 = 60;
/// Devices that are sent away without a pause in between.
const MAX_BATCH: usize = 500;
/// The pause between two batches; each is drawn from half of it to half as much again.
const PAUSE: Duration = Duration::from_millis(20);

/// How devices are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub batch: usize,
    /// Over how much time those who were sent away spread their return, beyond what sending them takes.
    pub spread: Duration,
}

impl Pace {
    /// For so many devices, which so many other connectors can take, within a deadline.
    pub fn of_drain(devices: usize, others: usize, deadline: Duration) -> Pace {
        let returns = RETURNS_PER_SECOND.saturating_mul(u32::try_from(others.max(1)).unwrap_or(u32::MAX));
        let needed = Duration::from_secs_f64(devices as f64 / f64::from(returns));
        let window =
            if others == 0 { Duration::ZERO } else { needed.min(deadline * PERCENT_FOR_SENDING / 100) };
        let batches = (window.as_millis() / PAUSE.as_millis()) as usize;
        let batch = devices.div_ceil(batches.max(1)).clamp(1, MAX_BATCH);
        Pace { batch, spread: needed.saturating_sub(window).min(MAX_RETURN_SPREAD) }
    }
}

impl Connector {
    /// Takes no more devices, sends every one away to connect again, and waits for the connections to end. Pages are
    /// served until all have been sent away. Returns how many connections were still open at the deadline.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.stop.cancel();
        let devices = self.core.sessions.all();
        let pace = Pace::of_drain(devices.len(), self.core.others().open(), deadline);
        self.core.spread_returns(pace.spread);
        let drained = async {
            for (number, batch) in devices.chunks(pace.batch).enumerate() {
                if number > 0 {
                    pause(PAUSE).await;
                }
                batch.iter().for_each(|handle| handle.close(Code::SHUTTING_DOWN));
            }
            self.stop_pages.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        };
        let left = match tokio::time::timeout(deadline, drained).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        };
        self.stop_pages.cancel();
        // What devices said last, and that they are gone, is still told.
        self.link_stop.cancel();
        self.link_tasks.close();
        self.link_tasks.wait().await;
        left
    }

    /// Sends so many of a thousand devices to other connectors, whichever, at most so many a second, and tells `moved`
    /// how many that is and how many have been sent, about once a second. Ends at once where no other connector
    /// takes devices. Cancelling it leaves those that are there in peace.
    pub async fn hand_on(&self, share: u32, per_second: u32, mut moved: impl FnMut(u32, u32)) {
        let mut devices = self.core.sessions.all();
        devices.retain(|handle| handle.away_since().is_none());
        devices.shuffle(&mut rand::rng());
        let count = (devices.len() as u64 * u64::from(share)).div_ceil(1_000);
        devices.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        let total = u32::try_from(devices.len()).unwrap_or(u32::MAX);
        let (mut sent, every) = (0, Duration::from_secs(1) / per_second.clamp(1, 1_000_000));
        // Few a second go one by one, many in batches that come often.
        let batch = (PAUSE.as_secs_f64() / every.as_secs_f64()).ceil().max(1.0) as usize;
        moved(total, sent);
        let mut told = tokio::time::Instant::now();
        for batch in devices.chunks(batch) {
            if self.core.others().open() == 0 {
                break;
            }
            batch.iter().for_each(|handle: &Arc<Handle>| handle.close(Code::MOVED));
            sent += batch.len() as u32;
            if told.elapsed() >= Duration::from_secs(1) {
                moved(total, sent);
                told = tokio::time::Instant::now();
            }
            pause(every * batch.len() as u32).await;
        }
        moved(total, sent);
    }
}

/// About as long, so that what several nodes do does not fall into step.
async fn pause(about: Duration) {
    tokio::time::sleep(about.mul_f64(rand::random_range(0.5..1.5))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[test]
    fn devices_stay_until_their_turn_where_others_take_them() {
        let pace = Pace::of_drain(3_000, 1, DEADLINE);
        assert_eq!(
            pace,
            Pace { batch: 20, spread: Duration::ZERO },
            "150 batches, 20 ms each: three seconds"
        );
        assert_eq!(Pace::of_drain(3_000, 3, DEADLINE).batch, 60, "three others take three times as many");
        assert_eq!(Pace::of_drain(1, 1, DEADLINE), Pace { batch: 1, spread: Duration::ZERO });
    }

    #[test]
    fn what_the_deadline_leaves_no_time_for_is_spread_afterwards() {
        let pace = Pace::of_drain(20_000, 1, DEADLINE);
        assert_eq!(pace, Pace { batch: 67, spread: Duration::from_secs(14) }, "six of twenty seconds");
        assert_eq!(Pace::of_drain(1_000_000, 1, DEADLINE).spread, MAX_RETURN_SPREAD);
    }

    #[test]
    fn alone_all_go_at_once_and_come_back_one_after_the_other() {
        assert_eq!(Pace::of_drain(5_000, 0, DEADLINE), Pace { batch: 500, spread: Duration::from_secs(5) });
        assert_eq!(Pace::of_drain(0, 0, DEADLINE), Pace { batch: 1, spread: Duration::ZERO });
    }
}
