//! The store that the configuration names, whatever keeps it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::Store;
use storage::embedded::{EmbeddedConfig, EmbeddedStore, OpenError};

use crate::config::Config;
use crate::config::setting::Backend;

/// The embedded store's directory in the data directory.
const STORE_DIR: &str = "store";

/// An open store. Clones share it.
#[derive(Clone)]
pub enum OpenStore {
    Embedded(Arc<EmbeddedStore>),
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    #[error(transparent)]
    Embedded(#[from] OpenError),
    #[error("store.backend = \"cql\" is not built in yet")]
    NotBuiltIn,
    #[error("there is no store in {}; is node.data_dir the right directory?", .0.display())]
    Absent(PathBuf),
}

impl OpenStore {
    /// Opens the store. An embedded one is made if it is not there.
    pub async fn open(config: &Config) -> Result<OpenStore, StoreOpenError> {
        match config.store.backend {
            Backend::Embedded => embedded(embedded_config(config)).await,
            Backend::Cql => Err(StoreOpenError::NotBuiltIn),
        }
    }

    /// Opens a store that is there already.
    pub async fn open_existing(config: &Config) -> Result<OpenStore, StoreOpenError> {
        let path = embedded_path(config);
        if config.store.backend == Backend::Embedded && !path.is_dir() {
            return Err(StoreOpenError::Absent(path));
        }
        Self::open(config).await
    }

    /// The store for whoever reads and writes.
    pub fn shared(&self) -> Arc<dyn Store> {
        match self {
            OpenStore::Embedded(store) => store.clone(),
        }
    }

    /// Finishes what is under way; later writes are refused.
    pub async fn close(&self) {
        match self {
            OpenStore::Embedded(store) => store.close().await,
        }
    }

    /// Why it takes no writes any more, if so.
    pub fn failed(&self) -> Option<String> {
        match self {
            OpenStore::Embedded(store) => store.failed(),
        }
    }

    /// What it has done since it was opened: name, help, count.
    pub fn metrics(&self) -> Vec<(&'static str, &'static str, u64)> {
        match self {
            OpenStore::Embedded(store) => {
                let stats = store.stats();
                vec![
                    ("commits", "Groups committed.", stats.commits),
                    ("appends", "Appends applied.", stats.appends),
                    ("entries", "Entries stored.", stats.entries),
                    ("fsyncs", "Waits for the disk.", stats.fsyncs),
                    ("point_reads", "Rows looked up by their key, found or not.", stats.point_reads),
                    ("range_reads", "Ranges of rows read, however many rows each had.", stats.range_reads),
                ]
            }
        }
    }
}

/// Where the store of a configuration lies, in words that two configurations of one store have in common.
pub fn place(config: &Config) -> String {
    match config.store.backend {
        Backend::Embedded => {
            let path = embedded_path(config);
            path.canonicalize().unwrap_or(path).display().to_string()
        }
        Backend::Cql => format!("keyspace {} on {}", config.cql.keyspace, config.cql.hosts.join(", ")),
    }
}

fn embedded_path(config: &Config) -> PathBuf {
    config.node.data_dir.get().unwrap_or(Path::new(".")).join(STORE_DIR)
}

fn embedded_config(config: &Config) -> EmbeddedConfig {
    EmbeddedConfig {
        cache_bytes: config.store.cache_bytes,
        memtable_bytes: config.store.memtable_bytes,
        ..EmbeddedConfig::new(embedded_path(config))
    }
}

// Reading the journal takes a while.
async fn embedded(config: EmbeddedConfig) -> Result<OpenStore, StoreOpenError> {
    let path = config.path.clone();
    match tokio::task::spawn_blocking(move || EmbeddedStore::open(config)).await {
        Ok(opened) => Ok(OpenStore::Embedded(Arc::new(opened?))),
        Err(panic) => Err(OpenError::Io { path, source: io::Error::other(panic) }.into()),
    }
}
