//! What the backend takes for granted of the server. The tables in memory do the same.

use std::time::Duration;

use bytes::Bytes;
use whimbrel_storage::cql::driver::Driver;
use whimbrel_storage::cql::tables::*;
use whimbrel_storage::key::ConversationKey;

use super::cluster::{driver, keyspace};

const ALL: EntryRange =
    EntryRange { first: 1, last: u64::MAX, backwards: false, limit: usize::MAX, max_bytes: usize::MAX };

/// A bucket that nobody has used.
fn bucket() -> Bucket {
    Bucket { log: LogName::Conversation(ConversationKey::new("facts", keyspace("c"))), number: 0 }
}

fn entry(seq: u64, bytes: usize) -> EntryRow {
    let batch = (seq == 1).then_some([1; 16]);
    EntryRow { seq, payload: Bytes::from(vec![7; bytes]), meta: Bytes::from_static(b"m"), batch }
}

/// The entries `1..=count`, on the condition that there is nothing but the epoch.
fn commit(bucket: &Bucket, epoch: Option<u64>, count: u64, bytes: usize) -> Commit {
    let end = End { tip: count, batch: [1; 16], at_ms: -1, version: u64::MAX / 4, ..End::default() };
    Commit {
        bucket: bucket.clone(),
        expected: Expected { epoch, tip: None },
        epoch: 5,
        end,
        entries: (1..=count).map(|seq| entry(seq, bytes)).collect(),
        ttl: None,
    }
}

async fn seqs(driver: &Driver, bucket: &Bucket, range: EntryRange) -> Vec<u64> {
    driver.entries(bucket, range).await.unwrap().into_iter().map(|row| row.seq).collect()
}

#[tokio::test]
async fn a_condition_of_null_holds_on_an_absent_partition() {
    let (driver, bucket) = (driver().await, bucket());
    assert_eq!(driver.head(&bucket, Reading::Serial).await, Ok(None));
    assert_eq!(driver.fence(&bucket, Some(1), 2).await, Ok(Cas::NotApplied));
    assert_eq!(driver.head(&bucket, Reading::Serial).await, Ok(None), "what was refused left nothing");
    assert_eq!(driver.fence(&bucket, None, 2).await, Ok(Cas::Applied));
    assert_eq!(driver.fence(&bucket, None, 3).await, Ok(Cas::NotApplied));
    let fenced = BucketHead { epoch: 2, end: None };
    assert_eq!(driver.head(&bucket, Reading::Quorum).await, Ok(Some(fenced)));
    assert_eq!(driver.commit(commit(&bucket, Some(2), 1, 1)).await, Ok(Cas::Applied));
}

#[tokio::test]
async fn a_conditional_batch_is_all_or_nothing() {
    let (driver, bucket) = (driver().await, bucket());
    assert_eq!(driver.commit(commit(&bucket, Some(9), 3, 1)).await, Ok(Cas::NotApplied));
    assert_eq!(seqs(&driver, &bucket, ALL).await, [0_u64; 0]);
    let first = commit(&bucket, None, 3, 1);
    assert_eq!(driver.commit(first.clone()).await, Ok(Cas::Applied));
    assert_eq!(driver.entries(&bucket, ALL).await.unwrap(), first.entries);
    let head = driver.head(&bucket, Reading::Serial).await.unwrap().unwrap();
    assert_eq!(head, BucketHead { epoch: 5, end: Some(first.end.clone()) });
    // The same once more: its condition is false now, and nothing is written twice.
    assert_eq!(driver.commit(first.clone()).await, Ok(Cas::NotApplied));
    assert_eq!(driver.entries(&bucket, ALL).await.unwrap(), first.entries);
}

#[tokio::test]
async fn of_many_at_once_one_is_applied() {
    let (driver, bucket) = (driver().await, bucket());
    let tries = (0..16).map(|number| {
        let mut commit = commit(&bucket, None, 2, 1);
        commit.end.batch = [number; 16];
        driver.commit(commit)
    });
    let outcomes = futures::future::join_all(tries).await;
    let applied: Vec<usize> = (0..16).filter(|&at| outcomes[at] == Ok(Cas::Applied)).collect();
    let winner = driver.head(&bucket, Reading::Serial).await.unwrap().unwrap().end.unwrap().batch[0];
    assert!(applied.len() <= 1 && applied.iter().all(|&at| at == usize::from(winner)), "{outcomes:?}");
    assert_eq!(seqs(&driver, &bucket, ALL).await, [1, 2]);
}

#[tokio::test]
async fn the_largest_batch_fits() {
    let (driver, bucket) = (driver().await, bucket());
    assert_eq!(driver.commit(commit(&bucket, None, 128, 2_048)).await, Ok(Cas::Applied));
    let rows = driver.entries(&bucket, ALL).await.unwrap();
    assert_eq!(rows.len(), 128);
    assert!(rows.iter().all(|row| row.payload.len() == 2_048));
}

#[tokio::test]
async fn ranges_are_bounded_and_read_from_both_ends() {
    let (driver, bucket) = (driver().await, bucket());
    driver.commit(commit(&bucket, None, 100, 10)).await.unwrap();
    let some = EntryRange { first: 10, last: 90, limit: 3, ..ALL };
    assert_eq!(seqs(&driver, &bucket, some).await, [10, 11, 12]);
    assert_eq!(seqs(&driver, &bucket, EntryRange { backwards: true, ..some }).await, [88, 89, 90]);
    // Over several pages.
    assert_eq!(seqs(&driver, &bucket, ALL).await, (1..=100).collect::<Vec<_>>());
    let backwards = EntryRange { backwards: true, last: 99, ..ALL };
    assert_eq!(seqs(&driver, &bucket, backwards).await, (1..=99).collect::<Vec<_>>());
    let few = seqs(&driver, &bucket, EntryRange { max_bytes: 25, ..ALL }).await;
    assert!((3..100).contains(&few.len()), "about 25 bytes: {few:?}");
    assert_eq!(seqs(&driver, &bucket, EntryRange { last: 0, ..ALL }).await, [0_u64; 0]);
}

#[tokio::test]
async fn entries_end_with_their_time_and_the_head_stays() {
    let (driver, bucket) = (driver().await, bucket());
    driver.commit(Commit { ttl: Some(2), ..commit(&bucket, None, 3, 1) }).await.unwrap();
    assert_eq!(seqs(&driver, &bucket, ALL).await, [1, 2, 3]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seqs(&driver, &bucket, ALL).await, [0_u64; 0]);
    let head = driver.head(&bucket, Reading::Serial).await.unwrap().unwrap();
    assert_eq!((head.epoch, head.end.unwrap().tip), (5, 3));
}

#[tokio::test]
async fn a_trim_takes_the_entries_and_leaves_the_head() {
    let (driver, bucket) = (driver().await, bucket());
    driver.commit(commit(&bucket, None, 3, 1)).await.unwrap();
    let at = driver.now() + 1_000_000;
    driver.write(vec![Write::Trim { bucket: bucket.clone(), at }]).await.unwrap();
    assert_eq!(seqs(&driver, &bucket, ALL).await, [0_u64; 0]);
    let head = driver.head(&bucket, Reading::Serial).await.unwrap().unwrap();
    assert_eq!((head.epoch, head.end.unwrap().tip), (5, 3));
    assert_eq!(driver.fence(&bucket, Some(5), 6).await, Ok(Cas::Applied));
}

/// Timestamps are numbers like any other to the server, also small ones, far from its clock.
#[tokio::test]
async fn the_larger_timestamp_stays_and_of_two_equal_ones_the_larger_value() {
    let driver = driver().await;
    let key = ConversationKey::new("facts", keyspace("c"));
    let user = || "ann".to_owned();
    let read = |seq, moved| Write::Read { key: key.clone(), user: user(), seq, moved };
    for write in [read(0, 1), read(7, 70), read(3, 30), read(7, 69), read(7, 71)] {
        driver.write(vec![write]).await.unwrap();
    }
    let seat = driver.seat(&key, "ann").await.unwrap().unwrap();
    assert_eq!((seat.read, seat.moved), (7, 71));
    let row = |row: &'static [u8], seq| Write::Member {
        key: key.clone(),
        user: user(),
        row: Bytes::from_static(row),
        seq,
    };
    for write in [row(b"b", 2), row(b"z", 1), row(b"a", 2)] {
        driver.write(vec![write]).await.unwrap();
    }
    assert_eq!(driver.seat(&key, "ann").await.unwrap().unwrap().row, Some(Bytes::from_static(b"b")));
    assert_eq!(driver.conversation(&key).await, Ok(None), "there are rows, but no end");
}

#[tokio::test]
async fn of_a_removal_and_a_value_at_one_timestamp_the_removal_stays() {
    let driver = driver().await;
    let (tenant, user) = (keyspace("t"), "ann".to_owned());
    let row = ListRow { kind: ListKind::Entry, period: 4, conversation: "c".into() };
    let list = |at| Write::List { tenant: tenant.clone(), user: user.clone(), row: row.clone(), at };
    let unlist = |at| Write::Unlist { tenant: tenant.clone(), user: user.clone(), row: row.clone(), at };
    let all = || ListRange::Rising { kind: ListKind::Entry, first: (0, String::new()) };
    for (write, is_there) in
        [(list(5), true), (unlist(4), true), (unlist(5), false), (list(5), false), (list(6), true)]
    {
        driver.write(vec![write.clone()]).await.unwrap();
        let found = driver.listed(&tenant, &user, all(), 10).await.unwrap();
        assert_eq!(found.len() == 1, is_there, "{write:?}");
    }
}

/// By period, then by the bytes of the name; the exclusive end is exclusive.
#[tokio::test]
async fn lists_are_in_the_order_of_bytes() {
    let driver = driver().await;
    let (tenant, user) = (keyspace("t"), "ann".to_owned());
    let mut rows: Vec<(u64, &str)> =
        vec![(1, "z"), (2, ""), (2, "B"), (2, "a"), (2, "a\u{0}"), (2, "é"), (2, "\u{10000}"), (3, "a")];
    let list = |&(period, conversation): &(u64, &str)| Write::List {
        tenant: tenant.clone(),
        user: user.clone(),
        row: ListRow { kind: ListKind::Moved, period, conversation: conversation.into() },
        at: 1,
    };
    driver.write(rows.iter().map(list).collect()).await.unwrap();
    let kind = ListKind::Moved;
    let texts = |found: Vec<ListRow>| -> Vec<(u64, String)> {
        found.into_iter().map(|row| (row.period, row.conversation)).collect()
    };
    let expected = |rows: &[(u64, &str)]| -> Vec<(u64, String)> {
        rows.iter().map(|(period, name)| (*period, (*name).to_owned())).collect()
    };
    rows.sort_by(|one, other| (one.0, one.1.as_bytes()).cmp(&(other.0, other.1.as_bytes())));
    let first = (2, "a".to_owned());
    let rising = driver.listed(&tenant, &user, ListRange::Rising { kind, first: first.clone() }, 99).await;
    assert_eq!(texts(rising.unwrap()), expected(&rows[3..]));
    let falling = driver.listed(&tenant, &user, ListRange::Falling { kind, before: first }, 2).await;
    assert_eq!(texts(falling.unwrap()), expected(&[rows[2], rows[1]]));
    let other = ListRange::Rising { kind: ListKind::Entry, first: (0, String::new()) };
    assert_eq!(driver.listed(&tenant, &user, other, 99).await, Ok(Vec::new()));
}

#[tokio::test]
async fn the_stores_clock_is_near_and_rises() {
    let driver = driver().await;
    let own = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    let first = driver.now();
    assert!(first.abs_diff(own) < 2_000_000, "on one machine: {first} and {own}");
    assert!(driver.now() > first);
}
