//! The engine: three keyspaces, opened with checks around it.

use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable, UserValue};

use super::config::EmbeddedConfig;
use super::keys::{self, Key, Space};
use super::lock::DirLock;
use super::open_error::{OpenError, is_damage};
use super::rows::Row;
use super::stats::Counters;
use crate::error::StoreError;

/// Files the engine keeps open.
const OPEN_FILES: usize = 256;
/// Threads that write tables and merge them.
const ENGINE_THREADS: usize = 2;
const KEYSPACES: [&str; 3] = ["entries", "state", DIRECTORY];
const DIRECTORY: &str = "directory";
/// The directory gathers this part of what the others may: what each login leaves in it stays in memory until then.
const DIRECTORY_SHARE: u64 = 64;
const LEAST_GATHERED: u64 = 256 * 1024;

/// How a keyspace is made that collects so many bytes in memory. Filters and indexes of all but the newest tables are cut
/// into small blocks: whole, those of a large table fill the cache, and each look at a row reads them from the disk again.
fn options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    let cut = || PartitioningPolicy::new([false, true]);
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes)
        .filter_block_partitioning_policy(cut())
        .index_block_partitioning_policy(cut())
}

/// A row to write, or without a value to remove.
pub(super) type Change = (Key, Option<UserValue>);

/// A handle on the engine; clones are cheap.
#[derive(Clone)]
pub(super) struct Engine {
    database: Database,
    entries: Keyspace,
    state: Keyspace,
    directory: Keyspace,
    /// Every read passes here, so that reads are counted here.
    counters: Arc<Counters>,
    /// Whoever can still reach the files keeps the directory locked. Dropped last.
    _lock: Arc<DirLock>,
}

impl Engine {
    /// Opens the engine in `dir`. `fresh` makes the keyspaces; otherwise they must be there.
    pub(super) fn open(
        dir: &Path,
        config: &EmbeddedConfig,
        lock: Arc<DirLock>,
        fresh: bool,
    ) -> Result<Engine, OpenError> {
        // The engine asserts where it meets files it did not write; that must not end the process.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_unguarded(dir, config, lock, fresh)));
        opened.unwrap_or_else(|_| Err(OpenError::corrupt(dir, "the engine's files contradict themselves")))
    }

    fn open_unguarded(
        dir: &Path,
        config: &EmbeddedConfig,
        lock: Arc<DirLock>,
        fresh: bool,
    ) -> Result<Engine, OpenError> {
        let failed = |error| OpenError::engine(dir, error);
        let database = Database::builder(dir)
            .cache_size(config.cache_bytes)
            .max_journaling_size(config.bounded_journal())
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(ENGINE_THREADS)
            // The journal's check reads commit rows as they are, and payloads are mostly too short to gain.
            .journal_compression(fjall::CompressionType::None)
            .open()
            .map_err(failed)?;
        if !fresh && let Some(name) = KEYSPACES.iter().find(|name| !database.keyspace_exists(name)) {
            return Err(OpenError::corrupt(dir, format!("the keyspace {name:?} is missing")));
        }
        let [entries, state, directory] = KEYSPACES.map(|name| {
            let share = if name == DIRECTORY { DIRECTORY_SHARE } else { 1 };
            let bytes = (config.memtable_bytes / share).max(LEAST_GATHERED);
            database.keyspace(name, || options(bytes))
        });
        Ok(Engine {
            entries: entries.map_err(failed)?,
            state: state.map_err(failed)?,
            directory: directory.map_err(failed)?,
            database,
            counters: Arc::default(),
            _lock: lock,
        })
    }

    pub(super) fn keyspace(&self, key: &[u8]) -> &Keyspace {
        match keys::space(key) {
            Space::Entries => &self.entries,
            Space::State => &self.state,
            Space::Directory => &self.directory,
        }
    }

    /// Writes all rows or none, in this order. With `sync` they are on disk when it returns.
    pub(super) fn commit(&self, rows: Vec<Change>, sync: bool) -> fjall::Result<()> {
        let mode = if sync { fjall::PersistMode::SyncAll } else { fjall::PersistMode::Buffer };
        let batch = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), rows.len());
        let mut batch = batch.durability(Some(mode));
        for (key, value) in rows {
            let keyspace = self.keyspace(&key);
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        batch.commit()
    }

    /// What this engine and its writer count.
    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Everything committed up to now, as one consistent picture.
    pub(super) fn snapshot(&self) -> fjall::Snapshot {
        self.database.snapshot()
    }

    pub(super) fn sync(&self) -> fjall::Result<()> {
        self.database.persist(fjall::PersistMode::SyncAll)
    }

    /// The latest bytes of a row.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<UserValue>, StoreError> {
        self.counters.point_read();
        self.keyspace(key).get(key).map_err(broken)
    }

    /// The latest value of a row.
    pub(super) fn row<R: Row>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        self.get(key)?.map(|value| decode(key, &value)).transpose()
    }

    /// A row's value as a snapshot saw it.
    pub(super) fn row_in<R: Row>(&self, seen: &fjall::Snapshot, key: &[u8]) -> Result<Option<R>, StoreError> {
        self.counters.point_read();
        let value = seen.get(self.keyspace(key), key).map_err(broken)?;
        value.map(|value| decode(key, &value)).transpose()
    }

    /// Whether a snapshot saw a row that says no more than that it is there.
    pub(super) fn holds_empty(&self, seen: &fjall::Snapshot, key: &[u8]) -> Result<bool, StoreError> {
        self.counters.point_read();
        let value = seen.get(self.keyspace(key), key).map_err(broken)?;
        Ok(value.is_some_and(|value| value.is_empty()))
    }

    /// Rows whose keys begin with `prefix`, as a snapshot saw them.
    pub(super) fn prefix_in(&self, seen: &fjall::Snapshot, prefix: &[u8]) -> fjall::Iter {
        self.counters.range_read();
        seen.prefix(self.keyspace(prefix), prefix)
    }

    /// Rows within bounds, as a snapshot saw them. `list` is a key of the same keyspace.
    pub(super) fn range_in<K: AsRef<[u8]>>(
        &self,
        seen: &fjall::Snapshot,
        list: &[u8],
        bounds: impl RangeBounds<K>,
    ) -> fjall::Iter {
        self.counters.range_read();
        seen.range(self.keyspace(list), bounds)
    }
}

/// A row's content, or which row is none.
pub(super) fn decode<R: Row>(key: &[u8], value: &[u8]) -> Result<R, StoreError> {
    R::decode(value)
        .ok_or_else(|| StoreError::Corrupt(format!("the row {} does not parse", key.escape_ascii())))
}

/// What an error of the engine means to a caller.
pub(super) fn broken(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) if !is_damage(&error) => {
            StoreError::Unavailable(error.to_string())
        }
        fjall::Error::Poisoned => StoreError::Unavailable("an earlier write failed".into()),
        error => StoreError::Corrupt(error.to_string()),
    }
}

/// Why a commit failed, for an operator.
pub(super) fn reason(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) => error.to_string(),
        fjall::Error::Poisoned => "a table or the journal could not be written; is the disk full?".into(),
        error => error.to_string(),
    }
}
