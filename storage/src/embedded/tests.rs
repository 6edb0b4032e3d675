//! Disks that fail: nothing that was acknowledged is lost, nothing is written after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::directory::{Directory, UserInfo};
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, Entry, EntryKind, Log, Users};
use crate::member::Cursors;

/// What a disk does from its second commit on.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Lost,
    StoredAllTheSame,
    Panics,
}

fn broken_store(config: &EmbeddedConfig, fault: Fault) -> (EmbeddedStore, Arc<AtomicUsize>) {
    let opened = open::open(config).unwrap();
    let (engine, calls) = (opened.engine.clone(), Arc::new(AtomicUsize::new(0)));
    let called = calls.clone();
    let disk = move |rows| {
        let first = called.fetch_add(1, Relaxed) == 0;
        assert!(first || fault != Fault::Panics, "the disk panics");
        if first || fault == Fault::StoredAllTheSame {
            engine.commit(rows, true).unwrap();
        }
        if first { Ok(()) } else { Err("no space left".to_owned()) }
    };
    (EmbeddedStore::start(config, opened, Box::new(disk)).unwrap(), calls)
}

fn key() -> ConversationKey {
    ConversationKey::new("tenant", "c")
}

fn append(epoch: u64, expected_tip: u64) -> Append {
    let entry = Entry { payload: "x".into(), sender: "ann".into(), slot: None, kind: EntryKind::Shown };
    let (members, active, info) = (Vec::new(), Users::default(), None);
    let (batch, entries) = ([1; 16], vec![entry]);
    Append { key: key(), epoch, expected_tip, batch, at_ms: 0, entries, members, active, info }
}

async fn fails_for_good(fault: Fault) {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(dir.path());
    let (store, calls) = broken_store(&config, fault);
    let epoch = Log::open(&store, &key()).await.unwrap().epoch;
    assert_eq!(store.append(append(epoch, 0)).await, AppendOutcome::Applied);
    assert_eq!(store.failed(), None);

    let outcome = store.append(append(epoch, 1)).await;
    assert!(matches!(outcome, AppendOutcome::Unknown(StoreError::Unavailable(_))), "{outcome:?}");
    while store.failed().is_none() {
        // A panic answers before it has unwound to where the failure is noted.
        tokio::task::yield_now().await;
    }
    let outcome = store.append(append(epoch, 1)).await;
    assert!(matches!(outcome, AppendOutcome::Refused(StoreError::Unavailable(_))), "{outcome:?}");
    let name = UserInfo { name: "Ann".into(), role: protocol::v1::Role::Member };
    assert!(store.put_user("tenant", "ann", name).await.is_err());
    assert!(store.raise_cursors(&key(), "ann", Cursors::default()).await.is_err());
    assert!(Log::open(&store, &key()).await.is_err());
    assert_eq!(calls.load(Relaxed), 2, "nothing is tried again");
    drop(store);

    let store = EmbeddedStore::open(config).unwrap();
    let tip = if fault == Fault::StoredAllTheSame { 2 } else { 1 };
    let opened = Log::open(&store, &key()).await.unwrap();
    assert_eq!(opened.tip, tip);
    assert_eq!(store.append(append(opened.epoch, tip)).await, AppendOutcome::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_final() {
    fails_for_good(Fault::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_failed_may_be_there_after_all() {
    fails_for_good(Fault::StoredAllTheSame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_writer_is_a_failed_commit() {
    fails_for_good(Fault::Panics).await;
}

/// What the engine cannot express is refused before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_too_long_for_a_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).unwrap();
    let epoch = Log::open(&store, &key()).await.unwrap().epoch;
    let mut long = append(epoch, 0);
    long.entries[0].sender = "s".repeat(256);
    assert!(matches!(store.append(long).await, AppendOutcome::Refused(StoreError::Corrupt(_))));
    assert_eq!(store.stats().commits, 0);
    assert_eq!(store.append(append(epoch, 0)).await, AppendOutcome::Applied);
}
