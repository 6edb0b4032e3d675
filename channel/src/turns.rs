//! Work that takes turns: so much of it runs at once, so much more waits, and the rest is refused.
//!
//! A storm brings thousands of logins and reads within a moment. Letting them wait costs less than refusing them, for
//! whoever is refused comes again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Longest wait for a turn: a connector gives a login up after 10 s, and nobody should work for those who have gone.
const PATIENCE: Duration = Duration::from_secs(8);

/// Turns of one kind of work.
pub struct Turns {
    running: Semaphore,
    admitted: Arc<Semaphore>,
}

/// A place in the line, given back when dropped.
pub struct Place {
    turns: Arc<Turns>,
    taken: Instant,
    _admitted: OwnedSemaphorePermit,
}

impl Turns {
    /// `at_once` run, and `waiting` more may wait.
    pub fn new(at_once: usize, waiting: usize) -> Arc<Turns> {
        let admitted = Arc::new(Semaphore::new(at_once + waiting));
        Arc::new(Turns { running: Semaphore::new(at_once), admitted })
    }

    /// A place in the line; `None` if it is full.
    pub fn place(self: &Arc<Self>) -> Option<Place> {
        let _admitted = self.admitted.clone().try_acquire_owned().ok()?;
        Some(Place { turns: self.clone(), taken: Instant::now(), _admitted })
    }
}

/// A turn; it lasts until this is dropped.
pub struct Turn<'a> {
    /// It came too late for somebody who waits for an answer.
    pub is_late: bool,
    _running: Option<SemaphorePermit<'a>>,
}

impl Place {
    /// Waits for the turn, behind all who have come before.
    pub async fn turn(&self) -> Turn<'_> {
        // Nobody closes the semaphore.
        let _running = self.turns.running.acquire().await.ok();
        Turn { is_late: self.taken.elapsed() > PATIENCE, _running }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_has_the_turn_and_a_full_line_takes_nobody() {
        let turns = Turns::new(1, 1);
        let (first, second) = (turns.place().unwrap(), turns.place().unwrap());
        assert!(turns.place().is_none());
        let turn = first.turn().now_or_never().unwrap();
        assert!(second.turn().now_or_never().is_none());
        drop(turn);
        drop(first);
        assert!(!second.turn().now_or_never().unwrap().is_late);
        assert!(turns.place().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_comes_too_late_is_none() {
        let turns = Turns::new(1, 1);
        let late = turns.place().unwrap();
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        assert!(late.turn().await.is_late);
        drop(late);
        assert!(!turns.place().unwrap().turn().await.is_late);
    }
}
