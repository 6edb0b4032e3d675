//! Whimbrel's 64-bit identifiers and the generator that makes new ones.
//!
//! ```text
//!           0   1-3          4-15     16-17         18-47       48-63
//! DeviceId  0 | node type | worker | device type | seconds   | counter
//! NodeId    0 | node type | number | IPv4 address (16-47)    | port
//! ```
//!
//! Bit 0 is the most significant. The first bit is zero, so an id also fits a signed 64-bit column. The node type
//! keeps the two kinds apart: a device's id is never a well-formed [`NodeId`], nor the other way round.
//!
//! | file | noun |
//! |---|---|
//! | `device_id` | [`DeviceId`]: who made it, for what kind of device, and when |
//! | `node_id` | [`NodeId`]: a connector or channel node and its address |
//! | `node_type`, `worker_number`, `device_type`, `stamp` | the checked fields |
//! | `generator` | [`Generator`]: new device ids, never repeated |
//! | `clock` | [`Clock`]: where callers get the time they pass in |
//! | `error` | why a number or a text is not an id |
//! | `prefix`, `hex` | what both kinds of id share: bits 0-15, and the written form |
//!
//! Nothing here does I/O or sleeps; the caller brings the time, the leased worker number and the stored floor.
//!
//! ```
//! use whimbrel_idgen::{Clock, DeviceType, Generator, ManualClock, WorkerNumber};
//!
//! let clock = ManualClock::new(1_772_368_496_000); // 2026-03-01T12:34:56Z
//! let mut generator = Generator::new(WorkerNumber::new(7)?, None)?;
//! let id = generator.generate(DeviceType::WEB, clock.unix_millis())?;
//! assert_eq!(id.to_string(), "0007404e79700000");
//! assert_eq!(format!("{id:#}"), "device-7/web@2026-03-01T12:34:56Z#0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

mod clock;
mod device_id;
mod device_type;
mod error;
mod generator;
mod hex;
mod node_id;
mod node_type;
mod prefix;
mod stamp;
mod worker_number;

pub use clock::{Clock, ManualClock, SystemClock};
pub use device_id::DeviceId;
pub use device_type::DeviceType;
pub use error::{IdError, OutOfRange, ParseIdError};
pub use generator::{FloorError, GenerateError, Generator, MAX_WAIT_MILLIS};
pub use node_id::NodeId;
pub use node_type::NodeType;
pub use stamp::{PROJECT_EPOCH_UNIX_SECS, Stamp};
pub use worker_number::WorkerNumber;
