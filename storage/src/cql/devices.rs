//! Devices and their ids.

use idgen::{DeviceId, WorkerNumber};

use super::tables::{CasError, Reading, Tables, Write};
use super::{CqlStore, Found};
use crate::directory::DeviceKey;
use crate::error::StoreError;

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
        let holder = self.tables.claim_id(candidate.as_u64(), key).await.map_err(unsettled)?;
        if holder != *key {
            return Err(StoreError::Corrupt(format!("the id {candidate} belongs to another device")));
        }
        // Before anybody can be told the id, so that the worker's next process begins above it.
        let (worker, stamp) = (candidate.worker().get(), candidate.stamp());
        let stamp = u64::from(stamp.seconds()) << u16::BITS | u64::from(stamp.counter());
        self.write(vec![Write::LastDevice { worker, stamp, id: candidate.as_u64() }]).await?;
        let stored = self.tables.name_device(key, candidate.as_u64()).await.map_err(unsettled)?;
        to_device(stored).map(Some)
    }

    pub(super) async fn last_device_of(&self, worker: WorkerNumber) -> Found<Option<DeviceId>> {
        self.tables.last_device(worker.get()).await?.map(to_device).transpose()
    }
}

/// Asking again finds out: both writes are kept by whoever made them.
fn unsettled(error: CasError) -> StoreError {
    match error {
        CasError::NotSent(error) => error,
        CasError::Unknown(reason) => StoreError::Unavailable(reason),
    }
}

/// A stored number as the id it must be.
pub(super) fn to_device(stored: u64) -> Found<DeviceId> {
    DeviceId::from_u64(stored).map_err(|error| StoreError::Corrupt(format!("device id {stored:#x}: {error}")))
}
