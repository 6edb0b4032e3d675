//! The store that the configuration names, whatever keeps it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::Store;
use storage::cql::driver::{self, Credentials, Driver, DriverConfig, Report, SchemaConfig, Scope};
use storage::cql::{CqlConfig, CqlStore};
use storage::embedded::{EmbeddedConfig, EmbeddedStore, OpenError};

use crate::config::setting::{Backend, Consistency};
use crate::config::{Config, keys, replicas};

/// The embedded store's directory in the data directory.
const STORE_DIR: &str = "store";

/// Between two attempts to reach a cluster.
const WAIT: Duration = Duration::from_secs(1);

/// An open store. Clones share it.
#[derive(Clone)]
pub enum OpenStore {
    Embedded(Arc<EmbeddedStore>),
    Cql(Arc<CqlStore<Driver>>),
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    #[error(transparent)]
    Embedded(#[from] OpenError),
    #[error(transparent)]
    Cql(#[from] driver::OpenError),
    #[error("{0}")]
    Setting(String),
    #[error("there is no store in {}; is node.data_dir the right directory?", .0.display())]
    Absent(PathBuf),
}

impl OpenStore {
    /// Opens the store. An embedded one is made if it is not there.
    pub async fn open(config: &Config) -> Result<OpenStore, StoreOpenError> {
        match config.store.backend {
            Backend::Embedded => embedded(embedded_config(config)).await,
            Backend::Cql => {
                let driver = Box::pin(Driver::open(&driver_config(config)?)).await?;
                Ok(OpenStore::Cql(Arc::new(CqlStore::new(Arc::new(driver), cql_config(config)))))
            }
        }
    }

    /// The same, and waits for a cluster of which no node answers, as long as the configuration says.
    pub async fn open_when_there(config: &Config) -> Result<OpenStore, StoreOpenError> {
        let until = Instant::now() + Duration::from_millis(config.cql.wait_ms);
        loop {
            match Self::open(config).await {
                Err(StoreOpenError::Cql(error @ driver::OpenError::Unreachable { .. }))
                    if Instant::now() + WAIT < until =>
                {
                    tracing::warn!("waiting for the store: {error}");
                    tokio::time::sleep(WAIT).await;
                }
                other => return other,
            }
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
            OpenStore::Cql(store) => store.clone(),
        }
    }

    /// Finishes what is under way; later writes are refused.
    pub async fn close(&self) {
        match self {
            OpenStore::Embedded(store) => store.close().await,
            // Every write is answered when the cluster has it; nothing waits here.
            OpenStore::Cql(_) => {}
        }
    }

    /// Why it takes no writes any more, if so.
    pub fn failed(&self) -> Option<String> {
        match self {
            OpenStore::Embedded(store) => store.failed(),
            // The next write may succeed, whatever became of the last.
            OpenStore::Cql(_) => None,
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
            OpenStore::Cql(store) => {
                let stats = store.stats();
                vec![
                    ("appends", "Appends applied.", stats.appends),
                    ("entries", "Entries stored.", stats.entries),
                    ("conflicts", "Appends refused: the log was appended to or taken over.", stats.conflicts),
                    ("stale", "Conflicts that only the cluster saw.", stats.stale),
                    ("refused", "Appends not made: the cluster was out of reach.", stats.refused),
                    ("unknown", "Appends whose outcome was found out by opening the log.", stats.unknown),
                    ("opens", "Logs taken over.", stats.opens),
                    ("rounds", "Rounds of ledgers, each with appends of many conversations.", stats.rounds),
                    ("ledgers", "Ledgers taken over.", stats.ledgers),
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

/// Makes keyspace and tables of a store in a cluster, or brings them up to date.
pub async fn migrate(config: &Config) -> Result<Report, StoreOpenError> {
    let replication = replicas::read(&config.cql.replication).map_err(StoreOpenError::Setting)?;
    let compaction = Some(config.cql.compaction.clone()).filter(|clause| !clause.is_empty());
    let schema = SchemaConfig { replication, compaction, ledgers: config.cql.ledgers };
    Ok(Box::pin(driver::migrate(&driver_config(config)?, &schema)).await?)
}

fn driver_config(config: &Config) -> Result<DriverConfig, StoreOpenError> {
    let cql = &config.cql;
    let password = keys::password(cql).map_err(StoreOpenError::Setting)?;
    Ok(DriverConfig {
        credentials: password.map(|password| Credentials { user: cql.user.clone(), password }),
        datacenter: Some(cql.datacenter.clone()).filter(|name| !name.is_empty()),
        scope: match cql.consistency {
            Consistency::Global => Scope::Cluster,
            Consistency::Local => Scope::Datacenter,
        },
        connect_timeout: Duration::from_millis(cql.connect_timeout_ms),
        request_timeout: Duration::from_millis(cql.request_timeout_ms),
        conditional_timeout: Duration::from_millis(cql.append_timeout_ms),
        requests_at_once: cql.requests_at_once,
        gathered_partitions: cql.gathered_partitions,
        gathered_bytes: cql.gathered_bytes,
        ..DriverConfig::new(cql.hosts.clone(), cql.keyspace.clone())
    })
}

fn cql_config(config: &Config) -> CqlConfig {
    let days = u64::from(config.cql.retention_days);
    CqlConfig {
        overlap: Duration::from_millis(config.cql.overlap_ms),
        retention: (days > 0).then(|| Duration::from_secs(days * 24 * 3600)),
        remembered_logs: config.cql.remembered_logs,
        ..CqlConfig::default()
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
