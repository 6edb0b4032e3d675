//! What opens, what does not, and what an operator reads then.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use support::{all, append, check, fill, key, tight};
use whimbrel_storage::directory::{Directory, UserInfo};
use whimbrel_storage::log::{AppendOutcome, Log};
use whimbrel_storage::member::Cursors;
use whimbrel_storage::{EmbeddedConfig, EmbeddedStore, OpenError, StoreError};

fn refusal(path: &Path) -> OpenError {
    EmbeddedStore::open(EmbeddedConfig::new(path)).err().unwrap()
}

#[test]
fn makes_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    drop(EmbeddedStore::open(EmbeddedConfig::new(&path)).unwrap());
    assert!(path.is_dir());
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refusal(&path);
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let error = refusal(dir.path());
    assert!(matches!(&error, OpenError::NotAStore { found, .. } if found == "notes.txt"), "{error}");
}

#[test]
fn a_second_handle_in_one_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Locked { pid, .. } if pid == Some(std::process::id())));
    drop(store);
    EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap());
    let identity = dir.path().join("STORE");
    let newer = fs::read_to_string(&identity).unwrap().replace("format 3", "format 4");
    fs::write(&identity, &newer).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 4, known: 3, .. }), "{error}");
    assert_eq!(fs::read_to_string(&identity).unwrap(), newer);
}

/// A creation that was cut short at any of its steps is begun again.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap());
    let identity = fs::read_to_string(dir.path().join("STORE")).unwrap();
    let unready = identity.replace("ready true", "ready false");
    let (body, _) = unready.split_at(unready.find("check ").unwrap());
    let check_line = format!("check {:016x}\n", xxhash_rust::xxh3::xxh3_64(body.as_bytes()));
    fs::write(dir.path().join("STORE"), [body, &check_line].concat()).unwrap();
    fs::remove_file(dir.path().join("db/version")).unwrap();
    let store = EmbeddedStore::open(tight(dir.path())).unwrap();
    fill(&store, 5).await;
    drop(store);
    check(&EmbeddedStore::open(tight(dir.path())).unwrap(), 5).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn close_finishes_what_is_queued_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap());
    let opened = Log::open(&*store, &key(0)).await.unwrap();
    let queued = store.append(append(0, opened.epoch, 0, 1));
    let (outcome, ()) = futures::join!(queued, store.close());
    assert_eq!(outcome, AppendOutcome::Applied);
    store.close().await;

    let refused = AppendOutcome::Refused(StoreError::Unavailable("the store is closed".into()));
    assert_eq!(store.append(append(0, opened.epoch, 1, 1)).await, refused);
    assert!(store.raise_cursors(&key(0), "ann", Cursors::default()).await.is_err());
    assert!(store.failed().is_some());
    assert_eq!(store.tip(&key(0)).await, Ok(1), "reads go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_serves_many_appends() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
    let epochs: Vec<u64> = futures::future::join_all((0..50).map(|conversation| {
        let store = &store;
        async move { Log::open(store, &key(conversation)).await.unwrap().epoch }
    }))
    .await;
    assert_eq!(store.stats().fsyncs, 0, "an open of a log writes nothing");
    let appends = epochs.iter().enumerate().map(|(number, epoch)| store.append(append(number, *epoch, 0, 2)));
    let outcomes = futures::future::join_all(appends).await;
    assert!(outcomes.iter().all(|outcome| *outcome == AppendOutcome::Applied));
    let stats = store.stats();
    assert_eq!((stats.appends, stats.entries, stats.commits), (50, 100, stats.fsyncs));
    assert!(stats.fsyncs < 25, "{stats:?}");
}

/// A row looked up is one point read, a range one range read whatever it holds.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_counted_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
    let epoch = Log::open(&store, &key(0)).await.unwrap().epoch;
    let mut before = store.stats();
    let mut since = || {
        let (now, then) = (store.stats(), std::mem::replace(&mut before, store.stats()));
        (now.point_reads - then.point_reads, now.range_reads - then.range_reads)
    };
    assert_eq!(store.append(append(0, epoch, 0, 2)).await, AppendOutcome::Applied);
    assert_eq!(since(), (1, 0), "of a log that is held only who joins is looked up");
    assert_eq!(store.tip(&key(0)).await, Ok(2));
    assert_eq!(since(), (1, 0));
    assert_eq!(store.tip(&key(1)).await, Ok(0));
    assert_eq!(since(), (1, 0), "what is not there is looked up too");
    assert_eq!(store.read(&key(0), all()).await.unwrap().len(), 2);
    assert_eq!(since(), (1, 1), "the head, and all entries as one range");
    let users = ["ann", "bob", "cid"].map(String::from);
    assert_eq!(store.users("tenant", &users).await.unwrap(), [None, None, None]);
    assert_eq!(since(), (3, 0));
    let name = UserInfo { name: "Ann".into(), role: protocol::v1::Role::Member };
    store.put_user("tenant", "ann", name.clone()).await.unwrap();
    assert_eq!(since(), (2, 0), "once by the caller, once by the writer");
    store.put_user("tenant", "ann", name).await.unwrap();
    assert_eq!(since(), (1, 0), "nothing to write, so the writer does not look");
}

/// Without `sync` a lost tail is what the operator chose; with it, it is damage.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsynced_store_may_lose_its_tail() {
    let dir = tempfile::tempdir().unwrap();
    let unsynced = EmbeddedConfig { sync: false, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(unsynced.clone()).unwrap();
    fill(&store, 10).await;
    assert_eq!(store.stats().fsyncs, 0);
    drop(store);
    let journal = &support::journals(dir.path())[0];
    let bytes = support::written(journal);
    fs::write(journal, &bytes[..bytes.len() / 2]).unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
    assert!(support::check_log(&store, 0).await.unwrap() <= 10);
    fill(&store, 10).await;
    drop(store);

    let bytes = support::written(journal);
    fs::write(journal, &bytes[..bytes.len() * 3 / 4]).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::Corrupt { .. }));
}
