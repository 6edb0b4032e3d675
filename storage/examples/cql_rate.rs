//! What a cluster can do by itself, and what the store makes of it, in one run:
//! `cargo run --release -p whimbrel-storage --example cql_rate -- [seconds] [payload bytes] [conversations]`
//!
//! The cluster is the one that `WHIMBREL_TEST_CQL` names, or one node that is started for the run.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that prints or fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use servers::shared::CQL_VARIABLE;
use servers::{Cassandra, CassandraSettings};
use tokio::task::JoinSet;
use whimbrel_storage::ConversationKey;
use whimbrel_storage::cql::driver::{Driver, DriverConfig, Replication, SchemaConfig, migrate, open};
use whimbrel_storage::cql::tables::*;
use whimbrel_storage::cql::{CqlConfig, CqlStore};
use whimbrel_storage::log::{Append, AppendOutcome, Entry, EntryKind, Log, SenderSlotOf, Users};

/// Slow answers count as slow, not as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes a turn; which turn of which worker.
type Turn = Arc<dyn Fn(u64, u64) -> BoxFuture<'static, ()> + Send + Sync>;

struct Rate {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| args.get(at).map_or(default, |text| text.parse().unwrap());
    let (seconds, bytes, conversations) = (number(1, 5), number(2, 200), number(3, 10_000));
    let time = Duration::from_secs(seconds as u64);
    let (points, _own) = cluster().await;
    let config = DriverConfig {
        conditional_timeout: PATIENCE,
        request_timeout: PATIENCE,
        ..DriverConfig::new(points.clone(), format!("rate_{}", std::process::id()))
    };
    let replication = Replication::Simple(points.len().min(3) as u8);
    let report = migrate(&config, &SchemaConfig { replication, ..SchemaConfig::default() }).await.unwrap();
    println!("{}, {} nodes, payloads of {bytes} B", report.server, points.len());
    let driver = Arc::new(Driver::open(&config).await.unwrap());
    bare(&driver, time, bytes).await;
    let store = Arc::new(open(&config, CqlConfig::default()).await.unwrap());
    for (count, entries) in
        [(1, 1), (1, 16), (1, 128), (100, 1), (100, 16), (conversations, 1), (conversations, 16)]
    {
        appends(&store, time, bytes, count, entries).await;
    }
}

async fn cluster() -> (Vec<String>, Option<Cassandra>) {
    if let Ok(named) = std::env::var(CQL_VARIABLE) {
        return (named.split(',').map(str::to_owned).collect(), None);
    }
    let settings =
        CassandraSettings { optimise: true, timeout_ms: PATIENCE.as_millis() as u32, ..Default::default() };
    let own = Cassandra::start(settings).await.unwrap();
    (own.addresses().iter().map(ToString::to_string).collect(), Some(own))
}

/// Turns of so many workers, one after the other for each.
async fn rate(time: Duration, workers: u64, turn: Turn) -> Rate {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for worker in 0..workers {
        let turn = turn.clone();
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < end {
                let begun = Instant::now();
                turn(worker, waits.len() as u64).await;
                waits.push(begun.elapsed());
            }
            waits
        });
    }
    let begun = Instant::now();
    let mut waits: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    waits.sort_unstable();
    let per_second = waits.len() as f64 / begun.elapsed().as_secs_f64();
    Rate { per_second, p50: waits[waits.len() / 2], p99: waits[waits.len() * 99 / 100] }
}

/// The driver alone: conditional batches on partitions of their own, and plain writes.
async fn bare(driver: &Arc<Driver>, time: Duration, bytes: usize) {
    for workers in [1, 16, 64] {
        for rows in [1, 16, 128] {
            let driver = driver.clone();
            let turn: Turn = Arc::new(move |worker, turn| {
                let (driver, commit) = (driver.clone(), commit(worker, turn, workers, rows, bytes));
                Box::pin(async move { assert_eq!(driver.commit(commit).await, Ok(Cas::Applied)) })
            });
            let Rate { per_second, p50, p99 } = rate(time, workers, turn).await;
            let entries = per_second * rows as f64;
            println!(
                "bare: {workers:>2} x conditional batches of {rows:>3}: {per_second:>6.0}/s, {entries:>6.0} rows/s, p50 {p50:.1?}, p99 {p99:.1?}"
            );
        }
    }
    let driver = driver.clone();
    let turn: Turn = Arc::new(move |worker, turn| {
        let (driver, key) = (driver.clone(), ConversationKey::new("plain", worker.to_string()));
        let row = Bytes::from(vec![7; bytes]);
        let write = Write::Member { key, user: turn.to_string(), row, seq: 1 };
        Box::pin(async move { driver.write(vec![write]).await.unwrap() })
    });
    let Rate { per_second, p50, p99 } = rate(time, 64, turn).await;
    println!("bare: 64 x plain writes: {per_second:.0}/s, p50 {p50:.1?}, p99 {p99:.1?}");
}

fn commit(worker: u64, turn: u64, workers: u64, rows: u64, bytes: usize) -> Commit {
    let key = ConversationKey::new("bare", format!("{workers} {rows} {worker}"));
    let tip = turn * rows;
    let entries = (1..=rows).map(|at| EntryRow {
        seq: tip + at,
        payload: Bytes::from(vec![7; bytes]),
        meta: Bytes::from_static(&[7; 24]),
        batch: (at == 1).then_some([7; 16]),
    });
    Commit {
        bucket: Bucket { log: LogName::Conversation(key), number: 0 },
        expected: Expected { epoch: (turn > 0).then_some(1), tip: (turn > 0).then_some(tip) },
        epoch: 1,
        end: End { tip: tip + rows, base: tip, ..End::default() },
        entries: entries.collect(),
        ttl: None,
    }
}

/// Conversations that each append batches, one in flight each, as their owner does. At most 64 at once for many: each
/// worker goes round its conversations.
async fn appends(store: &Arc<CqlStore<Driver>>, time: Duration, bytes: usize, count: usize, entries: usize) {
    let workers = count.min(64);
    let begun = Instant::now();
    let mut opening = JoinSet::new();
    for worker in 0..workers {
        let (store, numbers) = (store.clone(), worker..count);
        opening.spawn(async move {
            let mut own = Vec::new();
            for number in numbers.step_by(workers) {
                let key = ConversationKey::new("store", format!("{count} {entries} {number}"));
                let opened = store.open(&key).await.unwrap();
                own.push((key, opened.epoch, opened.tip));
            }
            (worker, own)
        });
    }
    let mut owned = opening.join_all().await;
    let opens = count as f64 / begun.elapsed().as_secs_f64();
    owned.sort_by_key(|(worker, _)| *worker);
    let owned: Arc<Vec<_>> =
        Arc::new(owned.into_iter().map(|(_, own)| tokio::sync::Mutex::new(own)).collect());
    let turn: Turn = {
        let (store, owned) = (store.clone(), owned.clone());
        Arc::new(move |worker, turn| {
            let (store, owned) = (store.clone(), owned.clone());
            Box::pin(async move {
                let mut own = owned[worker as usize].lock().await;
                let at = turn as usize % own.len();
                let (key, epoch, tip) = &mut own[at];
                let append = batch(key, *epoch, *tip, entries, bytes);
                assert_eq!(store.append(append).await, AppendOutcome::Applied);
                *tip += entries as u64;
            })
        })
    };
    let Rate { per_second, p50, p99 } = rate(time, workers as u64, turn).await;
    println!(
        "store: {count:>5} conversations, batches of {entries:>3}: {:>6.0} messages/s, {:.3} rounds each, p50 {p50:.1?}, p99 {p99:.1?}; {opens:.0} opens/s",
        per_second * entries as f64,
        1.0 / entries as f64,
    );
}

fn batch(key: &ConversationKey, epoch: u64, tip: u64, entries: usize, bytes: usize) -> Append {
    let active: Users = ["ann".into(), "ben".into()].into();
    let entry = |at: u64| Entry {
        payload: Bytes::from(vec![7; bytes]),
        sender: "ann".into(),
        slot: Some(SenderSlotOf { device: 1, slot: ((tip + at) % 128) as u8, client_msg_id: [7; 16] }),
        kind: EntryKind::Shown,
    };
    Append {
        key: key.clone(),
        epoch,
        expected_tip: tip,
        batch: rand::random(),
        at_ms: 1,
        entries: (0..entries as u64).map(entry).collect(),
        members: Vec::new(),
        active,
        info: None,
    }
}
