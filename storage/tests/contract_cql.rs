//! The CQL backend passes the suite on the tables in memory. The same on a real cluster is in `cql`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use whimbrel_storage::Store;
use whimbrel_storage::contract::{self, Fixture};
use whimbrel_storage::cql::fake::{FakeTables, Faults};
use whimbrel_storage::cql::{CqlConfig, CqlStore, Format};

struct InMemory {
    tables: Arc<FakeTables>,
    config: CqlConfig,
}

impl InMemory {
    fn new(config: &CqlConfig, faults: Faults, ledgers: u16) -> InMemory {
        let tables = FakeTables::new(1).with_ledgers(ledgers);
        tables.set_faults(faults);
        InMemory { tables: Arc::new(tables), config: CqlConfig { overlap: Duration::ZERO, ..config.clone() } }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(CqlStore::new(self.tables.clone(), self.config.clone()))
    }
}

impl Fixture for InMemory {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        async { self.store() }.boxed()
    }

    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Arc<dyn Store>> {
        async {
            assert_eq!(Arc::strong_count(&store), 1, "the last handle");
            drop(store);
            self.store()
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[expect(clippy::print_stdout, reason = "the count of cases is worth a line")]
async fn run(config: CqlConfig, faults: Faults, ledgers: u16) {
    let fresh = || InMemory::new(&config, faults, ledgers);
    let cases = contract::run(fresh, |case| println!("contract: {case}")).await;
    println!("contract: {cases} cases passed on CQL tables in memory");
}

#[tokio::test]
async fn as_it_is_by_default() {
    run(CqlConfig::default(), Faults::default(), 0).await;
}

/// Buckets and periods end all the while, and hardly any log is remembered. The suite has batches of 259 entries.
#[tokio::test(start_paused = true)]
async fn with_small_buckets_and_periods_and_delays() {
    let format = Format { bucket_seqs: 300, bucket_events: 8_192, bucket_records: 4, period_us: 5_000 };
    let config = CqlConfig { remembered_logs: 2, format, ..CqlConfig::default() };
    let faults = Faults { delay: Duration::from_millis(1), ..Faults::default() };
    run(config.clone(), faults, 0).await;
    run(config, faults, 2).await;
}

/// Every change has a period of its own.
#[tokio::test(start_paused = true)]
async fn with_the_shortest_periods() {
    let format = Format { period_us: 1, ..Format::default() };
    run(CqlConfig { format, ..CqlConfig::default() }, Faults::default(), 0).await;
}

#[tokio::test(start_paused = true)]
async fn with_ledgers() {
    let faults = Faults { delay: Duration::from_millis(1), ..Faults::default() };
    run(CqlConfig::default(), faults, 1).await;
    run(CqlConfig::default(), faults, 64).await;
}
