//! Reads across buckets and behind a retention, what an append costs, and damage that a check has to find.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::Proto;
use protocol::v1::{Message, Role};

use super::batch::Batch;
use super::check::{self, Finding};
use super::fake::FakeTables;
use super::tables::*;
use super::{CqlConfig, CqlStore, Format};
use crate::directory::Directory;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::*;
use crate::member::{Cursors, MemberRow};

fn key() -> ConversationKey {
    ConversationKey::new("tenant", "c")
}

fn bucket(number: u32) -> Bucket {
    Bucket { log: LogName::Conversation(key()), number }
}

fn config() -> CqlConfig {
    CqlConfig { format: Format { bucket_seqs: 4, ..Format::default() }, ..CqlConfig::default() }
}

fn entry(payload: u64, kind: EntryKind) -> Entry {
    let slot = Some(SenderSlotOf { device: 7, slot: 1, client_msg_id: [payload as u8; 16] });
    Entry { payload: payload.to_string().into(), sender: "ann".into(), slot, kind }
}

/// An append of so many entries.
fn append(epoch: u64, expected_tip: u64, count: u64) -> Append {
    let kind = |seq| if seq % 3 == 0 { EntryKind::Edit(1) } else { EntryKind::Shown };
    Append {
        key: key(),
        epoch,
        expected_tip,
        batch: u128::from(expected_tip + 1).to_be_bytes(),
        at_ms: 5,
        entries: (expected_tip + 1..=expected_tip + count).map(|seq| entry(seq, kind(seq))).collect(),
        members: Vec::new(),
        active: ["ann".into(), "ben".into()].into(),
        info: None,
    }
}

/// Batches of these sizes, the first with two who join.
async fn filled(tables: &Arc<FakeTables>, config: CqlConfig, sizes: &[u64]) -> CqlStore<FakeTables> {
    let store = CqlStore::new(tables.clone(), config);
    let opened = Log::open(&store, &key()).await.unwrap();
    let mut tip = opened.tip;
    for size in sizes {
        let mut append = append(opened.epoch, tip, *size);
        if tip == 0 {
            append.members = ["ann", "ben"].map(|user| MemberRow::join(user, Role::Member, 1)).to_vec();
        }
        assert_eq!(store.append(append).await, AppendOutcome::Applied);
        tip += size;
    }
    store
}

fn range(first: u64, last: u64, backwards: bool) -> ReadRange {
    ReadRange { first, last, backwards, max_entries: usize::MAX, max_bytes: usize::MAX }
}

fn seqs(entries: &[StoredEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn batches_that_reach_into_the_next_bucket_are_read_from_any_place() {
    // Buckets of 4 begin behind 0, 4, 8, 12; batches begin behind 0, 3, 7, 8, 12 and 15.
    let store = filled(&Arc::new(FakeTables::new(1)), config(), &[3, 4, 1, 4, 3, 3]).await;
    for backwards in [false, true] {
        for first in 1..=18 {
            for last in first..=18 {
                let entries = store.read(&key(), range(first, last, backwards)).await.unwrap();
                assert_eq!(
                    seqs(&entries),
                    (first..=last).collect::<Vec<_>>(),
                    "{first} to {last}, {backwards}"
                );
                assert!(entries.iter().all(|entry| entry.payload == entry.seq.to_string()));
                let few = ReadRange { max_entries: 2, ..range(first, last, backwards) };
                let few = seqs(&store.read(&key(), few).await.unwrap());
                let two: Vec<u64> = if backwards {
                    (first..=last).rev().take(2).collect()
                } else {
                    (first..=last).take(2).collect()
                };
                let two: Vec<u64> = if backwards { two.into_iter().rev().collect() } else { two };
                assert_eq!(few, two);
            }
        }
    }
}

#[tokio::test]
async fn a_hole_is_named() {
    let tables = Arc::new(FakeTables::new(1));
    let store = filled(&tables, config(), &[3, 4, 1, 4]).await;
    tables.write(vec![Write::Trim { bucket: bucket(1), at: tables.now() }]).await.unwrap();
    for backwards in [false, true] {
        let failed = store.read(&key(), range(1, 12, backwards)).await.unwrap_err();
        let StoreError::Corrupt(reason) = &failed else { panic!("{failed:?}") };
        assert!(reason.contains("tenant/c lacks entry 8"), "{reason}");
        assert_eq!(
            store.read(&key(), range(1, 7, backwards)).await.unwrap().len(),
            7,
            "what is there is read"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_outlived_its_time_is_read_without_content() {
    let tables = Arc::new(FakeTables::new(1));
    let config = CqlConfig { retention: Some(Duration::from_secs(100)), ..config() };
    filled(&tables, config.clone(), &[3, 4, 1]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let store = filled(&tables, config, &[2]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    for backwards in [false, true] {
        let entries = store.read(&key(), range(1, 10, backwards)).await.unwrap();
        assert_eq!(seqs(&entries), (1..=10).collect::<Vec<_>>());
        for entry in &entries[..8] {
            let message = Message::decode(entry.payload.clone()).unwrap();
            assert_eq!(
                (entry.fate.recalled, message),
                (true, Message { seq: entry.seq, ..Message::default() })
            );
        }
        assert_eq!((&entries[9].payload[..], entries[9].fate), (&b"10"[..], Fate::default()));
    }
    let opened = Log::open(&store, &key()).await.unwrap();
    assert_eq!((opened.tip, opened.members.len()), (10, 2));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        Log::open(&store, &key()).await.unwrap().tip,
        10,
        "a last batch that is gone brings nothing about"
    );
    let checked = check::conversation(&*tables, &store.config.format, &key(), 1, true).await.unwrap();
    assert_eq!(checked.findings, []);
}

#[tokio::test(start_paused = true)]
async fn what_an_append_costs() {
    let tables = Arc::new(FakeTables::new(1));
    let store = filled(&tables, CqlConfig::default(), &[2]).await;
    let epoch = tables.head(&bucket(0), Reading::Serial).await.unwrap().unwrap().epoch;
    let cost = async |tip| {
        let before = tables.operations();
        assert_eq!(store.append(append(epoch, tip, 1)).await, AppendOutcome::Applied);
        let after = tables.operations();
        (after.1 - before.1, after.0 - before.0)
    };
    // One conditional write; the conversation's partition and the sender's.
    assert_eq!(cost(3 - 1).await, (1, 3 + 2), "an edit: a count and a fate beside");
    assert_eq!(cost(3).await, (1, 3));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(cost(4).await, (1, 3 + 4), "a new period: two rows for each of two members");
    assert_eq!(cost(6 - 1).await, (1, 3 + 2));
}

#[tokio::test]
async fn what_follows_from_a_batch_follows_from_what_is_stored_of_it() {
    let before = End { tip: 4, silent: 2, shown: 3, version: 7, ..End::default() };
    let mut append = append(1, 4, 4);
    append.members = vec![MemberRow::join("ben", Role::Owner, 5)];
    append.entries.insert(0, entry(9, EntryKind::Recall(2)));
    let (batch, rows) = Batch::of(&append, &before, 8);
    let stored = Batch::stored(&key(), &batch.end, &rows).unwrap();
    let follows = |batch: &Batch| (batch.meanings(), batch.seats(9), batch.senders(), batch.conversation(9));
    assert_eq!(follows(&batch), follows(&stored));
    assert_eq!((batch.end.tip, batch.end.silent, batch.end.shown), (9, 4, 9));
}

#[tokio::test]
async fn too_large_a_batch_is_refused() {
    let store = filled(&Arc::new(FakeTables::new(1)), config(), &[4]).await;
    let outcome = store.append(append(1, 4, 5)).await;
    assert!(matches!(outcome, AppendOutcome::Refused(StoreError::Corrupt(_))), "{outcome:?}");
}

async fn found(tables: &FakeTables, from: u64) -> Vec<Finding> {
    check::conversation(tables, &config().format, &key(), from, false).await.unwrap().findings
}

#[tokio::test]
async fn a_check_of_what_is_sound_finds_nothing() {
    let tables = Arc::new(FakeTables::new(1));
    let store = filled(&tables, config(), &[3, 4, 1, 4, 3, 3]).await;
    store.raise_cursors(&key(), "ann", Cursors { read: 18, delivered: 3, sent: 0 }).await.unwrap();
    Log::open(&store, &key()).await.unwrap();
    for from in 0..=18 {
        let checked = check::conversation(&*tables, &config().format, &key(), from, false).await.unwrap();
        assert_eq!((checked.findings, checked.tip, checked.users), (Vec::new(), 18, 2), "from {from}");
    }
}

#[tokio::test]
async fn a_check_finds_what_is_not() {
    let tables = Arc::new(FakeTables::new(1));
    filled(&tables, config(), &[3, 4, 1, 4]).await;
    let end = tables.head(&bucket(3), Reading::Serial).await.unwrap();
    assert_eq!(end, None);
    tables.write(vec![Write::Trim { bucket: bucket(1), at: 1 }]).await.unwrap();
    assert!(found(&tables, 1).await.contains(&Finding::Tip { bucket: 1, tip: 8, last: 7 }));

    let tables = Arc::new(FakeTables::new(1));
    filled(&tables, config(), &[3]).await;
    let (user, garbage) = ("ann".to_owned(), Bytes::from_static(&[9]));
    let writes = vec![
        Write::Delivered { key: key(), user: user.clone(), seq: 9 },
        Write::Member { key: key(), user: "ben".into(), row: garbage, seq: 9 },
        Write::Silence { key: key(), seq: 3, silence: Silence { count: 9, shown: 1 } },
    ];
    tables.write(writes).await.unwrap();
    let expected = [
        Finding::Silence { seq: 3 },
        Finding::Cursor { user, cursor: 9, tip: 3 },
        Finding::Member { user: "ben".into() },
    ];
    assert_eq!(found(&tables, 1).await, expected);

    // A batch that nobody could have made: a hole, no mark, another count.
    let head = tables.head(&bucket(0), Reading::Serial).await.unwrap().unwrap();
    let row = |seq| EntryRow { seq, payload: Bytes::new(), meta: Bytes::new(), batch: None };
    let commit = Commit {
        bucket: bucket(0),
        expected: Expected { epoch: Some(head.epoch), tip: Some(3) },
        epoch: head.epoch,
        end: End { tip: 7, base: 3, ..End::default() },
        entries: vec![row(4), row(6)],
        ttl: None,
    };
    assert_eq!(tables.commit(commit).await, Ok(Cas::Applied));
    let found = found(&tables, 1).await;
    for finding in [
        Finding::Unmarked { seq: 4 },
        Finding::Undecodable { seq: 4 },
        Finding::Missing { first: 5, last: 5 },
        Finding::Tip { bucket: 0, tip: 7, last: 6 },
        Finding::LastBatch { bucket: 0 },
        Finding::CopyLags { copy: 3, tip: 7 },
    ] {
        assert!(found.contains(&finding), "{finding:?} of {found:?}");
    }
}
