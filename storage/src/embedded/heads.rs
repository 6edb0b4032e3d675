//! The logs that are held open: who may append to them, and where they end.

use super::rows::Head;
use crate::recent::Recent;

/// A log somebody holds open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenLog {
    pub(super) epoch: u64,
    pub(super) head: Head,
}

/// Open logs by the key of their head row. A log that is not in here is held by nobody: whatever epoch an append
/// brings, it is refused, so that forgetting a log is always safe.
pub(super) type OpenLogs = Recent<Box<[u8]>, OpenLog>;
