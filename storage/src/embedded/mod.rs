//! The backend for one machine: an LSM engine in a directory of its own, one writer thread, one process.
//!
//! | file | noun |
//! |---|---|
//! | `config`, `open_error` | what an operator sets, and reads when a store does not open |
//! | `open` | from a directory to an engine that holds every acknowledged commit |
//! | `lock`, `identity`, `watermark`, `journal`, `manifest` | what `open` checks: owner, format, latest commit, damage |
//! | `engine` | three keyspaces over the engine |
//! | `keys`, `rows` | names and contents of rows |
//! | `queue`, `request`, `group`, `heads`, `writer` | the way of a write |
//! | `view`, `reads` | the way of a read |
//! | `listing`, `period` | which conversations of a user changed: kept by writes, asked by reads |
//! | `log`, `directory`, `presence`, `inventory` | the four contracts |
//! | `stats` | what the store has done |
//!
//! # A write
//! The caller queues a request. The writer takes all that is queued, holds each append against its log's epoch and
//! tip (those of earlier requests of the group included), writes one batch, waits for the disk once, and answers
//! everybody. A failed write is final: the group is answered `Unknown`, the store refuses everything from then on,
//! and what the disk holds is known again at the next open.
//!
//! # Epochs
//! One process holds the directory, so fencing is between its own parts: an epoch is the store's incarnation
//! (raised on disk at each open) and a count of opens of logs. Who holds which log is kept in memory only, and a
//! log that was forgotten is held by nobody.
//!
//! # Damage
//! A tail that a crash or a power loss tore is cut off in silence: nobody was told that it is there. Anything else
//! that is wrong is refused by a typed error, at the open or at the read that meets it:
//! - Journal: checked before the engine sees it, see `journal`. Every commit has a number, so a missing file or a
//!   commit that disappeared is noticed too; `COMMITTED` holds the number of the latest acknowledged one.
//! - Tables: every manifest is held against its checksum at the open, and a missing table fails it. Every block has
//!   a checksum that is verified when it is read from disk; blocks nobody reads are not checked.
//! - Contents: a read holds the seqs it finds against the tip.
//!
//! Two limits remain. `COMMITTED` is not synced with each commit (that would double the cost of one), so after a
//! *power loss* it may lag by some seconds, and damage to the very last acknowledged commit then looks like a torn
//! tail. And a directory that was replaced as a whole by an older copy of itself is consistent: nothing can tell.

mod config;
mod directory;
mod engine;
mod group;
mod heads;
mod identity;
mod inventory;
mod journal;
mod keys;
#[cfg(test)]
mod listed;
mod listing;
mod lock;
mod log;
mod manifest;
mod open;
mod open_error;
mod period;
#[cfg(test)]
mod planted;
mod presence;
mod queue;
mod reads;
mod request;
mod rows;
mod stats;
#[cfg(test)]
mod tests;
mod view;
mod watermark;
mod writer;

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use config::EmbeddedConfig;
pub use open_error::OpenError;
pub use queue::{GROUP_BYTES, GROUP_REQUESTS, QUEUED_BYTES, QUEUED_REQUESTS};
pub use reads::{READS_ADMITTED, READS_AT_ONCE};
pub use stats::Stats;

use crate::error::StoreError;
use group::Epochs;
use heads::OpenLogs;
use queue::Queue;
use reads::Reads;
use request::{Reply, Request};
use stats::Counters;
use writer::Writer;

/// A store in a directory. Share it as an `Arc`; the directory is free again when the last handle is gone.
pub struct EmbeddedStore {
    queue: Arc<Queue>,
    reads: Reads,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
    counters: Arc<Counters>,
    failure: Arc<OnceLock<String>>,
}

impl EmbeddedStore {
    /// Opens or creates the store in `config.path`. Blocks for as long as the journal takes to read, a second for
    /// some hundred MiB.
    pub fn open(config: EmbeddedConfig) -> Result<EmbeddedStore, OpenError> {
        let opened = open::open(&config)?;
        let (engine, sync) = (opened.engine.clone(), config.sync);
        let disk = move |rows| engine.commit(rows, sync).map_err(|error| engine::reason(&error));
        Self::start(&config, opened, Box::new(disk))
    }

    fn start(
        config: &EmbeddedConfig,
        opened: open::Opened,
        disk: writer::Disk,
    ) -> Result<EmbeddedStore, OpenError> {
        let (counters, failure) = (opened.engine.counters().clone(), Arc::new(OnceLock::new()));
        let (queue, inbox) = queue::queue(failure.clone());
        let writer = Writer {
            engine: opened.engine.clone(),
            disk,
            inbox,
            watermark: opened.watermark,
            logs: OpenLogs::new(config.open_logs),
            epochs: Epochs::new(opened.commit.incarnation),
            period: period::Period::after(opened.commit.number),
            commit: opened.commit,
            sync: config.sync,
            counters: counters.clone(),
            failure: failure.clone(),
        };
        let writer = writer.spawn().map_err(|error| OpenError::io(&config.path, error))?;
        Ok(EmbeddedStore {
            queue: Arc::new(queue),
            reads: Reads::new(opened.engine),
            writer: Arc::new(Mutex::new(Some(writer))),
            counters,
            failure,
        })
    }

    /// Finishes what is queued, syncs, and ends the writer; later writes are refused. May be called again.
    pub async fn close(&self) {
        let (queue, writer) = (self.queue.clone(), self.writer.clone());
        // Fails only if the runtime is going down; `Drop` does it then.
        _ = tokio::task::spawn_blocking(move || stop(&queue, &writer)).await;
    }

    /// Why the store takes no writes any more, if so: a failed write, or `close`.
    pub fn failed(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// What the store has done since it was opened, the opening itself included.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Queues a request and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.submit(request(reply))?;
        answer.await.unwrap_or_else(|_| Err(self.unavailable()))
    }

    fn unavailable(&self) -> StoreError {
        StoreError::Unavailable(self.failed().unwrap_or_else(|| "the writer has ended".into()))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        stop(&self.queue, &self.writer);
    }
}

/// Blocks until the writer has ended.
fn stop(queue: &Queue, writer: &Mutex<Option<JoinHandle<()>>>) {
    let Some(writer) = writer.lock().take() else { return };
    queue.close();
    if writer.join().is_err() {
        tracing::error!("the store's writer panicked");
    }
}
