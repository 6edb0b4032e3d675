//! What a node's links have carried, and how far behind they are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Bytes of frames, before TLS, over all links of a node and all their connections.
#[derive(Debug, Default)]
pub struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    next: AtomicU64,
    /// By connection.
    lags: Mutex<BTreeMap<u64, Duration>>,
}

/// One connection's place among those that are looked at. Given back when dropped.
pub(super) struct Place<'a> {
    traffic: &'a Traffic,
    number: u64,
}

impl Place<'_> {
    pub fn set(&self, lag: Duration) {
        self.traffic.lags.lock().insert(self.number, lag);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.traffic.lags.lock().remove(&self.number);
    }
}

impl Traffic {
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How long ago, to a second, the oldest message was said that a connected peer has not confirmed. An idle peer
    /// confirms every two seconds.
    pub fn lag(&self) -> Duration {
        self.lags.lock().values().max().copied().unwrap_or_default()
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { traffic: self, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn add_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
