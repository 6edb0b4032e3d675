//! A tenant is copied to a cluster and back, and is checked there.

use std::sync::Arc;

use whimbrel_storage::check::{self, Checked, Scope};
use whimbrel_storage::contract::sample::{Act, Item, Sample, picture};
use whimbrel_storage::copy::{self, Copied};
use whimbrel_storage::cql::{CqlConfig, CqlStore};
use whimbrel_storage::{EmbeddedConfig, EmbeddedStore, Store};

use super::cluster::driver;

/// That no other test has.
const TENANT: &str = "tools";

/// A little of everything, in four conversations.
fn acts() -> Vec<Act> {
    let say = |hidden| Item::Say { bytes: 100, hidden };
    let items = |n: u8| match n % 6 {
        0 => vec![Item::Join { user: n, with_history: n.is_multiple_of(4) }, say(false)],
        1 => vec![say(false), say(true), Item::Edit { back: 0 }],
        2 => vec![Item::Say { bytes: 20_000, hidden: false }; 5],
        3 => vec![Item::Recall { back: 1 }, Item::Bot],
        4 => vec![Item::Read { back: 1 }, say(false)],
        _ => vec![Item::Leave { user: n }, say(false)],
    };
    let join = |user| Item::Join { user, with_history: user == 2 };
    let founded = (0..4).map(|room| Act { room, user: 1, items: (0..5).map(join).collect() });
    founded.chain((0..48).map(|n: u8| Act { room: n, user: n / 4, items: items(n / 4) })).collect()
}

fn embedded() -> (tempfile::TempDir, EmbeddedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
    (dir, store)
}

async fn copied(source: &dyn Store, target: &dyn Store) -> Copied {
    let mut found = Vec::new();
    let mut tell = |news| {
        if let copy::News::Found(finding) = news {
            found.push(finding.to_string());
        }
    };
    let copied = copy::copy(source, target, TENANT, &mut tell).await.unwrap();
    assert!(found.is_empty(), "{found:#?}");
    copied
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_goes_to_a_cluster_and_comes_back() {
    let between = CqlStore::new(Arc::new(driver().await), CqlConfig::default());
    let ((_here, source), (_there, target)) = (embedded(), embedded());
    Sample::new(&source, TENANT).write(&acts()).await;
    let there = copied(&source, &between).await;
    assert!(there.conversations == 4 && there.appended == there.entries && there.entries > 80, "{there:?}");
    let told = picture(&source, TENANT).await;
    assert_eq!(picture(&between, TENANT).await, told);
    assert_eq!(copied(&source, &between).await, Copied { appended: 0, ..there }, "nothing is left to do");
    assert_eq!(copied(&between, &target).await, there);
    assert_eq!(picture(&target, TENANT).await, told);

    let mut found = Vec::new();
    let mut tell = |news| {
        if let check::News::Found(finding) = news {
            found.push(finding.to_string());
        }
    };
    let checked = check::check(&between, &Scope::tenant(TENANT), &mut tell).await.unwrap();
    let all = Checked { conversations: 4, entries: there.entries, findings: 0 };
    assert_eq!((checked, found), (all, vec![]));
}
