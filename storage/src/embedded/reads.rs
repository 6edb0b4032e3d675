//! Reads run on the blocking threads, all of them: even a single row may lie on a slow disk, and a thread that
//! drives thousands of connections must not wait for one. The hop costs some ten microseconds.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::engine::Engine;
use super::view::View;
use crate::error::StoreError;

/// Reads that run at once: as many threads may wait for the disk.
pub const READS_AT_ONCE: usize = 16;
/// Reads that may run or wait for their turn; one more is `Overloaded`.
pub const READS_ADMITTED: usize = 8192;

pub(super) struct Reads {
    engine: Engine,
    admitted: Semaphore,
    running: Arc<Semaphore>,
}

impl Reads {
    pub(super) fn new(engine: Engine) -> Self {
        let (admitted, running) = (Semaphore::new(READS_ADMITTED), Arc::new(Semaphore::new(READS_AT_ONCE)));
        Self { engine, admitted, running }
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Runs `read` over the store as it is now.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _admitted = self.admitted.try_acquire().map_err(|_| StoreError::Overloaded)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| super::queue::closed())?;
        let engine = self.engine.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Held by the thread, for it goes on reading when the caller has given up.
            let _running = running;
            read(&View::new(engine))
        });
        task.await.unwrap_or_else(|ended| {
            if ended.is_panic() {
                // The engine asserts where its files contradict themselves.
                Err(StoreError::Corrupt("a read panicked".into()))
            } else {
                Err(super::queue::closed())
            }
        })
    }
}
