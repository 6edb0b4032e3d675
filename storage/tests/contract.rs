//! The embedded backend passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;
use whimbrel_storage::contract::{self, Fixture};
use whimbrel_storage::{EmbeddedConfig, EmbeddedStore, Store};

struct InDirectory {
    dir: TempDir,
    open_logs: usize,
    memtable_bytes: u64,
}

impl InDirectory {
    fn store(&self) -> Arc<dyn Store> {
        let config = EmbeddedConfig {
            open_logs: self.open_logs,
            memtable_bytes: self.memtable_bytes,
            ..EmbeddedConfig::new(self.dir.path())
        };
        Arc::new(EmbeddedStore::open(config).unwrap())
    }
}

impl Fixture for InDirectory {
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
}

#[expect(clippy::print_stdout, reason = "the count of cases is worth a line")]
async fn run(open_logs: usize, memtable_bytes: u64) {
    let fresh = || InDirectory { dir: tempfile::tempdir().unwrap(), open_logs, memtable_bytes };
    let cases = contract::run(fresh, |case| println!("contract: {case}")).await;
    println!("contract: {cases} cases passed on the embedded store");
}

#[tokio::test]
async fn as_it_is_by_default() {
    run(EmbeddedConfig::new("").open_logs, EmbeddedConfig::new("").memtable_bytes).await;
}

/// Tables are written and merged all the while, and hardly any log is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn with_hardly_any_memory() {
    run(2, 1024).await;
}
