//! The tables on a real cluster, by the `scylla` driver.
//!
//! | file | noun |
//! |---|---|
//! | `config` | where the cluster is, and what is asked of it |
//! | `error` | why a store is not opened; whether a write may have been done |
//! | `session` | connections |
//! | `schema`, `migrate` | the tables; making them and changing them |
//! | `statement`, `value` | what is said to the cluster |
//! | `request` | how many requests at once, pages, conditional answers |
//! | `log`, `conversation`, `device`, `presence` | the operations on each group of tables |
//! | `scan` | whole tables, by token |
//! | `write`, `gather` | plain writes; those of many callers in one request |
//! | `retry` | what is done with one that failed at one node |
//! | `clock` | the store's clock |
//! | `tables` | all of them as [`Tables`](super::tables::Tables) |
//!
//! A conditional statement goes out once: its profile neither retries nor speculates, and it is never marked idempotent.
//! Everything else carries its timestamp or changes nothing, so the driver may send it again.

mod clock;
mod config;
mod conversation;
mod device;
mod error;
mod gather;
mod log;
mod migrate;
mod presence;
mod request;
mod retry;
mod scan;
mod schema;
mod session;
mod statement;
mod tables;
mod value;
mod write;

use std::sync::Arc;

use tokio::task::JoinSet;

pub use config::{Credentials, DriverConfig, Replication, SchemaConfig, Scope};
pub use error::OpenError;
pub use migrate::{Report, migrate};
pub use schema::VERSION;

use super::{CqlConfig, CqlStore};
use crate::error::StoreError;
use clock::Clock;
use gather::Gatherer;
use request::Requests;
use statement::Statements;

type Found<T> = Result<T, StoreError>;

/// A store on a cluster: connects, and holds the schema against what this program needs.
///
/// # Errors
/// No node answers, the user is refused, or the schema is missing, older or newer.
pub async fn open(config: &DriverConfig, store: CqlConfig) -> Result<CqlStore<Driver>, OpenError> {
    Ok(CqlStore::new(Arc::new(Driver::open(config).await?), store))
}

/// A cluster that has the schema of this program.
pub struct Driver {
    requests: Arc<Requests>,
    statements: Arc<Statements>,
    gatherer: Option<Gatherer>,
    clock: Arc<Clock>,
    store: u64,
    ledgers: u16,
    /// Ends with the driver.
    _tasks: JoinSet<()>,
}

impl Driver {
    /// Connects, and holds the schema against what this program needs.
    ///
    /// # Errors
    /// No node answers, the user is refused, or the schema is missing, older or newer: see [`OpenError`].
    pub async fn open(config: &DriverConfig) -> Result<Driver, OpenError> {
        let session = Arc::new(session::connect(config).await?);
        let about = migrate::check(&session, config).await?;
        let statements = Box::pin(Statements::prepare(&session, config))
            .await
            .map_err(|error| error::of_prepare(&error))?;
        let clock = Arc::new(Clock::default());
        clock.measure(&session).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(clock.clone().keep(session.clone()));
        let requests = Arc::new(Requests::new(session, config.requests_at_once));
        let statements = Arc::new(statements);
        let gatherer = Gatherer::start(config, &requests, &statements, &mut tasks);
        let migrate::About { id: store, ledgers } = about;
        Ok(Driver { requests, statements, gatherer, clock, store, ledgers, _tasks: tasks })
    }
}
