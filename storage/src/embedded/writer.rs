//! The one thread that writes: it takes what is queued, commits it with one wait for the disk, and answers.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use super::engine::{Change, Engine};
use super::group::{Epochs, Group};
use super::heads::OpenLogs;
use super::keys;
use super::period::Period;
use super::queue::{CLOSED, Inbox};
use super::request::{Answer, Request};
use super::rows::{Commit, Row};
use super::stats::{Counters, Stats};
use super::watermark::Watermark;
use crate::error::StoreError;

/// Stores all rows or none; on disk when it returns, if the store is to be synced.
pub(super) type Disk = Box<dyn FnMut(Vec<Change>) -> Result<(), String> + Send>;

pub(super) struct Writer {
    pub(super) engine: Engine,
    pub(super) disk: Disk,
    pub(super) inbox: Inbox,
    pub(super) watermark: Watermark,
    pub(super) logs: OpenLogs,
    pub(super) epochs: Epochs,
    pub(super) period: Period,
    /// The latest commit.
    pub(super) commit: Commit,
    pub(super) sync: bool,
    pub(super) counters: Arc<Counters>,
    /// Set by the first write that failed. Nothing is written after it: what the disk holds is known again only
    /// at the next open.
    pub(super) failure: Arc<OnceLock<String>>,
}

impl Writer {
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("store-writer".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let ended = Ended(self.failure.clone());
        loop {
            let requests = self.inbox.take();
            let last =
                requests.is_empty() || requests.iter().any(|request| matches!(request, Request::Close));
            self.write(requests);
            if last {
                break;
            }
        }
        self.inbox.refuse_rest();
        self.finish();
        drop(ended);
    }

    /// Performs and commits a group, and answers all of it.
    fn write(&mut self, requests: Vec<Request>) {
        if let Some(failure) = self.failure.get() {
            let refused = StoreError::Unavailable(failure.clone());
            return requests.into_iter().for_each(|request| request.refuse(refused.clone()));
        }
        let next = self.commit.number + 1;
        let (logs, epochs) = (&mut self.logs, &mut self.epochs);
        let mut group = Group::new(&self.engine, logs, epochs, &mut self.period, next);
        let answers: Vec<Answer> = requests.into_iter().map(|request| request.perform(&mut group)).collect();
        let (rows, stats) = group.into_rows();
        let committed = if rows.is_empty() { Ok(()) } else { self.store(rows, stats) };
        answers.into_iter().for_each(|answer| answer(committed.clone()));
    }

    fn store(&mut self, rows: Vec<Change>, stats: Stats) -> Result<(), StoreError> {
        let commit = Commit { number: self.commit.number + 1, ..self.commit };
        let mut all = Vec::with_capacity(rows.len() + 1);
        all.push((keys::commit(), Some(commit.encode().into())));
        all.extend(rows);
        if let Err(error) = (self.disk)(all) {
            tracing::error!(%error, "a commit failed; the store takes no more writes");
            let failure = self.failure.get_or_init(|| format!("a write failed: {error}"));
            return Err(StoreError::Unavailable(failure.clone()));
        }
        self.commit = commit;
        if self.sync
            && let Err(error) = self.watermark.record(commit.number)
        {
            // The commit stands; only a check at the next open is weaker for it.
            tracing::warn!(%error, "the number of the latest commit was not recorded");
        }
        self.counters.add(Stats { commits: 1, fsyncs: u64::from(self.sync), ..stats });
        Ok(())
    }

    fn finish(&self) {
        if self.failure.get().is_some() {
            return;
        }
        if let Err(error) = self.engine.sync() {
            tracing::error!(%error, "the last sync failed");
        }
        if let Err(error) = self.watermark.sync() {
            tracing::warn!(%error, "the number of the latest commit was not synced");
        }
    }
}

/// However the writer ends, the store says so.
struct Ended(Arc<OnceLock<String>>);

impl Drop for Ended {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() { "the writer panicked" } else { CLOSED };
        self.0.get_or_init(|| reason.to_owned());
    }
}
