//! The servers that all tests of a run may use together. `./test` starts them once and names them in variables; a test
//! that is run by itself starts its own, which last until the program ends.
//!
//! Whoever uses them shares them: with names that nobody else uses, and without killing or stalling anything.

use tokio::sync::OnceCell;

use crate::cassandra::{Cassandra, CassandraSettings};
use crate::error::ServerError;
use crate::zookeeper::{ZooKeeper, ZooKeeperSettings};

/// Contact points of a CQL store, `HOST:PORT`, with commas between several.
pub const CQL_VARIABLE: &str = "WHIMBREL_TEST_CQL";
/// A connect string of ZooKeeper.
pub const ZOOKEEPER_VARIABLE: &str = "WHIMBREL_TEST_ZOOKEEPER";

/// Contact points of the shared CQL store.
pub async fn cql() -> Result<Vec<String>, ServerError> {
    static OWN: OnceCell<Cassandra> = OnceCell::const_new();
    if let Ok(named) = std::env::var(CQL_VARIABLE) {
        return Ok(named.split(',').map(|point| point.trim().to_owned()).collect());
    }
    let own = OWN.get_or_try_init(|| Cassandra::start(CassandraSettings::default())).await?;
    Ok(own.addresses().iter().map(ToString::to_string).collect())
}

/// The connect string of the shared ZooKeeper.
pub async fn zookeeper() -> Result<String, ServerError> {
    static OWN: OnceCell<ZooKeeper> = OnceCell::const_new();
    if let Ok(named) = std::env::var(ZOOKEEPER_VARIABLE) {
        return Ok(named);
    }
    let own = OWN.get_or_try_init(|| ZooKeeper::start(ZooKeeperSettings::default())).await?;
    Ok(own.connect_string())
}
