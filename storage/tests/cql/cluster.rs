//! The cluster that tests share, with a keyspace of this run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::OnceCell;
use whimbrel_storage::cql::driver::{Driver, DriverConfig, Replication, Report, SchemaConfig, migrate};

/// Long, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A keyspace that no other run has.
pub fn keyspace(kind: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("w_{kind}_{}_{}", std::process::id(), since.as_micros())
}

/// So many copies as there are nodes, up to three.
pub fn schema(nodes: usize) -> SchemaConfig {
    SchemaConfig { replication: Replication::Simple(nodes.min(3) as u8), ..SchemaConfig::default() }
}

/// The shared cluster and the keyspace of this run.
pub async fn shared() -> &'static (DriverConfig, Report) {
    static SHARED: OnceCell<(DriverConfig, Report)> = OnceCell::const_new();
    let make = || async {
        let points = servers::shared::cql().await.unwrap();
        let config = DriverConfig {
            request_timeout: PATIENCE,
            conditional_timeout: PATIENCE,
            ..DriverConfig::new(points.clone(), keyspace("shared"))
        };
        let report = migrate(&config, &schema(points.len())).await.unwrap();
        (config, report)
    };
    SHARED.get_or_init(make).await
}

/// Connections of one test. They end with its runtime, so tests do not share them.
pub async fn driver() -> Driver {
    Driver::open(&shared().await.0).await.unwrap()
}
