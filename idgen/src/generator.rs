//! Makes new device ids, none of them twice.

use thiserror::Error;

use crate::{DeviceId, DeviceType, PROJECT_EPOCH_UNIX_SECS, Stamp, WorkerNumber};

/// The longest wait that [`GenerateError::Wait`] asks for, in milliseconds. Long enough for a clock that is being
/// corrected in small steps, short enough for a login to sit through.
pub const MAX_WAIT_MILLIS: u64 = 5_000;

const PROJECT_EPOCH_UNIX_MILLIS: i64 = PROJECT_EPOCH_UNIX_SECS * 1_000;

/// Second 0 starts at counter 1: worker 0 would otherwise make the id 0, which reads as "none" in protobuf.
const FIRST: Stamp = Stamp::from_low_bits(1);

/// Makes the device ids of one worker number.
///
/// Every id has a greater [`Stamp`] than the one before, whatever the clock does and whatever device types are asked
/// for: up to 65,536 ids a second, then a wait for the next second. Ids of different workers differ in the worker
/// number.
///
/// Pure: the caller passes the time in. It needs `&mut self`, so a node shares one generator behind a lock; two
/// generators with one worker number would repeat each other's ids.
///
/// The guarantee rests on two duties of the caller: the worker number's lease is held while ids are handed out, and the
/// floor given to [`new`](Self::new) is not below any id the number ever handed out.
#[derive(Debug)]
pub struct Generator {
    worker: WorkerNumber,
    /// Every stamp from here on is unused; `None` once the last one is used.
    next_free: Option<Stamp>,
}

/// Why a floor does not fit a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a floor of worker {floor} says nothing about the ids of worker {worker}")]
pub struct FloorError {
    /// The generator's worker number.
    pub worker: WorkerNumber,
    /// The floor's worker number.
    pub floor: WorkerNumber,
}

/// Why there is no new id now. The generator has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GenerateError {
    /// This second's counter is used up, or the clock is a little behind. Wait, read the clock again and retry.
    #[error("the next device id is free in {millis} ms")]
    Wait {
        /// Time until the next unused stamp's second begins, 1 to [`MAX_WAIT_MILLIS`].
        millis: u64,
    },
    /// The clock is further behind the next unused stamp than a wait bridges. Correct the clock or lease another worker
    /// number.
    #[error("the clock is {behind_secs} s behind the ids of this worker")]
    ClockBehind {
        /// Time until the next unused stamp's second begins, rounded up, above [`MAX_WAIT_MILLIS`].
        behind_secs: u64,
    },
    /// The clock is before 2026-01-01T00:00:00Z, hence wrong.
    #[error("the clock is before the project's epoch")]
    BeforeEpoch,
    /// The clock is after 2060-01-10T13:37:03Z, or this worker's last stamp is used: the 30 bits are exhausted.
    #[error("the seconds of device ids are exhausted")]
    AfterEnd,
}

impl Generator {
    /// A generator for `worker` that continues strictly above `floor`.
    ///
    /// `floor` is the id with the greatest *stamp* (not the greatest number: the device type stands above the stamp)
    /// that this worker number handed out before, on any node, as storage remembers it. A higher one is safe: a caller
    /// that stores reservations instead of every id passes the end of the last reservation. `None` is for a number
    /// never used.
    ///
    /// # Errors
    ///
    /// [`FloorError`] when the floor is another worker's id.
    pub fn new(worker: WorkerNumber, floor: Option<DeviceId>) -> Result<Self, FloorError> {
        let Some(floor) = floor else {
            let next_free = Some(FIRST);
            return Ok(Self { worker, next_free });
        };
        if floor.worker() != worker {
            let floor = floor.worker();
            return Err(FloorError { worker, floor });
        }
        let next_free = floor.stamp().next();
        Ok(Self { worker, next_free })
    }

    /// The worker number in every id this generator makes.
    pub const fn worker(&self) -> WorkerNumber {
        self.worker
    }

    /// A new id, stamped with the second of `now_unix_millis` (milliseconds since the Unix epoch).
    ///
    /// # Errors
    ///
    /// See [`GenerateError`]; after any of them the generator is as it was.
    pub fn generate(
        &mut self,
        device_type: DeviceType,
        now_unix_millis: i64,
    ) -> Result<DeviceId, GenerateError> {
        let start = start_of_second(now_unix_millis)?;
        let stamp = self.next_free.ok_or(GenerateError::AfterEnd)?.max(start);
        if stamp.seconds() > start.seconds() {
            return Err(too_early(stamp, now_unix_millis));
        }
        self.next_free = stamp.next();
        Ok(DeviceId::new(self.worker, device_type, stamp))
    }
}

/// The first stamp of the second that `now_unix_millis` falls into.
fn start_of_second(now_unix_millis: i64) -> Result<Stamp, GenerateError> {
    if now_unix_millis < PROJECT_EPOCH_UNIX_MILLIS {
        return Err(GenerateError::BeforeEpoch);
    }
    let seconds = (now_unix_millis - PROJECT_EPOCH_UNIX_MILLIS) / 1_000;
    let seconds = u32::try_from(seconds).map_err(|_| GenerateError::AfterEnd)?;
    Stamp::new(seconds, 0).map_err(|_| GenerateError::AfterEnd)
}

/// What to do about a stamp whose second has not begun.
fn too_early(stamp: Stamp, now_unix_millis: i64) -> GenerateError {
    let millis = (stamp.unix_secs() * 1_000).abs_diff(now_unix_millis);
    if millis > MAX_WAIT_MILLIS {
        let behind_secs = millis.div_ceil(1_000);
        return GenerateError::ClockBehind { behind_secs };
    }
    GenerateError::Wait { millis }
}
