//! Devices and their ids.

use std::time::Duration;

use futures::future::BoxFuture;
use idgen::{DeviceId, WorkerNumber};
use tokio::time::Instant;

use super::tables::{CasError, Reading, Tables, Write};
use super::{CqlStore, Found};
use crate::directory::DeviceKey;
use crate::error::StoreError;

/// How long an unknown outcome is asked about.
const PATIENCE: Duration = Duration::from_secs(2);

impl<T: Tables> CqlStore<T> {
    /// First the id is taken for the key, then the key is given the id. Whoever dies between has used up an id.
    pub(super) async fn device_of(
        &self,
        key: &DeviceKey,
        candidate: Option<DeviceId>,
    ) -> Found<Option<DeviceId>> {
        if let Some(stored) = self.tables.device(key, Reading::Quorum).await? {
            return to_device(stored).map(Some);
        }
        let Some(candidate) = candidate else { return Ok(None) };
        if let Some(stored) = self.tables.device(key, Reading::Serial).await? {
            return to_device(stored).map(Some);
        }
        let id = candidate.as_u64();
        let holder = until_known(id, || self.tables.claim_id(id, key)).await?;
        if holder != *key {
            return Err(StoreError::Corrupt(format!("the id {candidate} belongs to another device")));
        }
        // Before anybody can be told the id, so that the worker's next process begins above it.
        let (worker, stamp) = (candidate.worker().get(), candidate.stamp());
        let stamp = u64::from(stamp.seconds()) << u16::BITS | u64::from(stamp.counter());
        self.write(vec![Write::LastDevice { worker, stamp, id }]).await?;
        let stored = until_known(id, || self.tables.name_device(key, id)).await?;
        to_device(stored).map(Some)
    }

    pub(super) async fn last_device_of(&self, worker: WorkerNumber) -> Found<Option<DeviceId>> {
        self.tables.last_device(worker.get()).await?.map(to_device).transpose()
    }
}

/// Asks again for a moment while the outcome is unknown, which nodes that are asked by many at once answer soon. That does
/// no harm: both writes are kept by whoever made them. Different ids wait for different times.
async fn until_known<'a, T>(id: u64, ask: impl Fn() -> BoxFuture<'a, Result<T, CasError>>) -> Found<T> {
    let begun = Instant::now();
    let mut attempt = 0;
    loop {
        match ask().await {
            Ok(known) => return Ok(known),
            Err(CasError::NotSent(error)) => return Err(error),
            Err(CasError::Unknown(reason)) if begun.elapsed() > PATIENCE => {
                return Err(StoreError::Unavailable(reason));
            }
            Err(CasError::Unknown(_)) => {}
        }
        attempt += 1;
        tokio::time::sleep(Duration::from_millis(1 + id % 16) * attempt.min(16)).await;
    }
}

/// A stored number as the id it must be.
pub(super) fn to_device(stored: u64) -> Found<DeviceId> {
    DeviceId::from_u64(stored).map_err(|error| StoreError::Corrupt(format!("device id {stored:#x}: {error}")))
}
