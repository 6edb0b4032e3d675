//! The suite that every backend passes.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use whimbrel_storage::Store;
use whimbrel_storage::contract::{self, Fixture};
use whimbrel_storage::cql::{CqlConfig, CqlStore};

use super::cluster::{driver, shared};
use super::salted::Salted;

/// Of each store of the second run.
const LEDGERS: u16 = 3;

struct OnCluster {
    tables: Salted,
}

impl OnCluster {
    fn store(&self) -> Arc<dyn Store> {
        // One clock, and no write that comes late.
        let config = CqlConfig { overlap: Duration::ZERO, ..CqlConfig::default() };
        Arc::new(CqlStore::new(Arc::new(self.tables.clone()), config))
    }
}

impl Fixture for OnCluster {
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

/// The last line is what `./test cql` ends with.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the count of cases is worth a line")]
async fn the_suite_passes() {
    println!("server: {}", shared().await.1.server);
    let driver = Arc::new(driver().await);
    let fresh = || OnCluster { tables: Salted::new(driver.clone()) };
    let passed = contract::run(fresh, |case| println!("contract: {case}")).await;
    let fresh = || OnCluster { tables: Salted::with_ledgers(driver.clone(), LEDGERS) };
    let with_ledgers = contract::run(fresh, |case| println!("contract, with ledgers: {case}")).await;
    println!("contract={} passed={}", 2 * contract::CASES.len(), passed + with_ledgers);
}
