//! Why a copy is refused or fails.

use idgen::DeviceId;

use crate::directory::DeviceKey;
use crate::error::StoreError;
use crate::key::ConversationKey;

/// Why a copy ends. What was copied until then stays, and the next run goes on from there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    #[error("the source: {0}")]
    Source(StoreError),
    #[error("the target: {0}")]
    Target(StoreError),
    /// The source has a row that does not parse.
    #[error("the source is damaged ({0}); `whimbrel store check` says more")]
    Broken(String),
    #[error("{key}: entry {seq} of the source is no message; `whimbrel store check` says more")]
    Undecodable { key: ConversationKey, seq: u64 },
    #[error("{key}: entry {seq} of the target is not that of the source; it is another conversation")]
    Differs { key: ConversationKey, seq: u64 },
    #[error(
        "{key}: the target has {target} entries and the source {source_tip}; the target has been written to"
    )]
    Ahead { key: ConversationKey, source_tip: u64, target: u64 },
    #[error("device {} of {}/{}: the target has {theirs} for it, the source {ours}", .key.installation, .key.tenant, .key.user)]
    Device { key: Box<DeviceKey>, ours: DeviceId, theirs: DeviceId },
    #[error("{key}: somebody else writes to the target; stop the gateway that runs over it")]
    Busy { key: ConversationKey },
    #[error(
        "{key}: the source has gone on to {tip} meanwhile; stop the gateway that runs over it, and copy again"
    )]
    Moved { key: ConversationKey, tip: u64 },
}
