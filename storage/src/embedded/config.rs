//! What an operator may set.

use std::path::PathBuf;

/// Where the store lives and how much memory it may take.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The data directory; made if it is not there.
    pub path: PathBuf,
    /// Whether every commit waits for the disk. Without it a power loss may take acknowledged messages.
    pub sync: bool,
    /// Bytes of recently read blocks kept in memory.
    pub cache_bytes: u64,
    /// Bytes that each of the keyspaces collects in memory before it writes a table; the directory's a 64th, and 256 KiB at the
    /// least.
    pub memtable_bytes: u64,
    /// Bytes of journal kept before the oldest tables are forced out; at least 64 MiB. Bounds the time of an open.
    pub journal_bytes: u64,
    /// Logs that may be held open at once. The one unused for longest is let go, and its owner gets `Conflict`
    /// at the next append and opens it again. About 150 bytes each.
    pub open_logs: usize,
}

/// The least journal the engine works with.
const MIN_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

impl EmbeddedConfig {
    /// Defaults for a store in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            sync: true,
            cache_bytes: 32 * 1024 * 1024,
            memtable_bytes: 16 * 1024 * 1024,
            journal_bytes: 2 * MIN_JOURNAL_BYTES,
            open_logs: 128 * 1024,
        }
    }

    /// The journal bound that the engine takes.
    pub(super) fn bounded_journal(&self) -> u64 {
        self.journal_bytes.max(MIN_JOURNAL_BYTES)
    }
}
