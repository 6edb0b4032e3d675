//! What a cluster can do by itself, and what the store makes of it, in one run:
//! `cargo run --release -p whimbrel-storage --example cql_rate -- [seconds] [payload bytes] [conversations] [ledgers]`
//! Without a number of ledgers: the bare cluster, then a store without and one with 64.
//!
//! `... --example cql_rate -- takeover [conversations] [ledgers]`: how long a process that comes anew takes for the first
//! message of each conversation of many, and what it keeps of them.
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

/// Conversations that append at once.
const WORKERS: usize = 256;
/// Slow answers count as slow, not as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Attempts to store one message.
const ATTEMPTS: usize = 5;

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
    if args.get(1).is_some_and(|verb| verb == "takeover") {
        return Box::pin(takeover(&args[2..])).await;
    }
    let number = |at: usize| args.get(at).map(|text| text.parse::<usize>().unwrap());
    let (bytes, conversations) = (number(2).unwrap_or(200), number(3).unwrap_or(10_000));
    let time = Duration::from_secs(number(1).unwrap_or(5) as u64);
    let (points, _own) = cluster().await;
    let kinds = number(4).map_or(vec![0, 64], |ledgers| vec![ledgers]);
    for ledgers in &kinds {
        made(&points, *ledgers, bytes).await;
    }
    if number(4).is_none() {
        bare(&config(&points, 0), time, bytes).await;
    }
    for ledgers in kinds {
        let store = Arc::new(open(&config(&points, ledgers), CqlConfig::default()).await.unwrap());
        for (count, entries) in
            [(1, 1), (1, 16), (1, 128), (100, 1), (100, 16), (conversations, 1), (conversations, 16)]
        {
            appends(&store, time, bytes, count, entries).await;
        }
    }
}

/// A keyspace of this run.
fn config(points: &[String], ledgers: usize) -> DriverConfig {
    DriverConfig {
        conditional_timeout: PATIENCE,
        request_timeout: PATIENCE,
        ..DriverConfig::new(points.to_vec(), format!("rate_{}_{ledgers}", std::process::id()))
    }
}

async fn made(points: &[String], ledgers: usize, bytes: usize) {
    let replication = Replication::Simple(points.len().min(3) as u8);
    let schema = SchemaConfig { replication, ledgers: ledgers as u16, ..SchemaConfig::default() };
    let report = migrate(&config(points, ledgers), &schema).await.unwrap();
    println!("{}, {} nodes, payloads of {bytes} B, {ledgers} ledgers", report.server, points.len());
}

/// Every conversation has one message; then a process that knows nothing of them sends each a second one.
async fn takeover(args: &[String]) {
    let number = |at: usize| args.get(at).map(|text| text.parse::<usize>().unwrap());
    let (count, ledgers) = (number(0).unwrap_or(100_000), number(1).unwrap_or(0));
    let (points, _own) = cluster().await;
    made(&points, ledgers, 200).await;
    let mut before = 0;
    for (what, tip) in [("made", 0), ("taken over", 1)] {
        let started = Instant::now();
        let store = Arc::new(open(&config(&points, ledgers), CqlConfig::default()).await.unwrap());
        let ready = started.elapsed();
        let mut tasks = JoinSet::new();
        for worker in 0..WORKERS.min(count) {
            let store = store.clone();
            tasks.spawn(async move {
                let mut waits = Vec::new();
                for number in (worker..count).step_by(WORKERS) {
                    let begun = Instant::now();
                    let key = ConversationKey::new("takeover", number.to_string());
                    first_message(&store, &key, tip).await;
                    waits.push((begun.duration_since(started), begun.elapsed()));
                }
                waits
            });
        }
        let waits: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        let took = started.elapsed();
        let first = waits.iter().map(|(begun, wait)| *begun + *wait).min().unwrap();
        let mut waits: Vec<Duration> = waits.into_iter().map(|(_, wait)| wait).collect();
        waits.sort_unstable();
        let resident = resident_bytes();
        println!(
            "{what}: {count} conversations in {took:.1?}, {:.0}/s; ready after {ready:.1?}, the first message {first:.1?} after the start; open and append p50 {:.1?}, p99 {:.1?}; {:.0} B resident for each",
            count as f64 / took.as_secs_f64(),
            waits[waits.len() / 2],
            waits[waits.len() * 99 / 100],
            (resident - before) as f64 / count as f64,
        );
        before = resident;
    }
}

/// Opens a log that ends at `tip` and appends to it. What is unknown or refused, as on a busy machine, is tried again.
async fn first_message(store: &CqlStore<Driver>, key: &ConversationKey, tip: u64) {
    for _ in 0..ATTEMPTS {
        let Ok(opened) = store.open(key).await else { continue };
        assert!((tip..=tip + 1).contains(&opened.tip), "{key} ends at {}", opened.tip);
        let append = batch(key, opened.epoch, opened.tip, 1, 200);
        if opened.tip > tip || store.append(append).await == AppendOutcome::Applied {
            return;
        }
        println!("{key}: once more");
    }
    panic!("{key}: nothing is stored in {ATTEMPTS} attempts");
}

fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 4_096
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
async fn bare(config: &DriverConfig, time: Duration, bytes: usize) {
    let driver = Arc::new(Driver::open(config).await.unwrap());
    for workers in [1, 16, 64, 256] {
        for rows in [1, 16, 128] {
            let driver = driver.clone();
            let turn: Turn = Arc::new(move |worker, turn| {
                let (driver, commit) = (driver.clone(), commit(worker, turn, workers, rows, bytes));
                Box::pin(async move { assert_eq!(driver.commit(commit).await, Ok(Cas::Applied)) })
            });
            let Rate { per_second, p50, p99 } = rate(time, workers, turn).await;
            let entries = per_second * rows as f64;
            println!(
                "bare: {workers:>3} x conditional batches of {rows:>3}: {per_second:>6.0}/s, {entries:>6.0} rows/s, p50 {p50:.1?}, p99 {p99:.1?}"
            );
        }
    }
    for (partitions, most) in [(1, 0), (10, 4_096), (64, 32_768)] {
        let config = DriverConfig { gathered_partitions: partitions, gathered_bytes: most, ..config.clone() };
        let driver = Arc::new(Driver::open(&config).await.unwrap());
        for workers in [64, 512] {
            plain(&driver, time, bytes, workers, partitions).await;
        }
    }
}

/// Writes of one row to partitions of their own, of which one request takes so many at most.
async fn plain(driver: &Arc<Driver>, time: Duration, bytes: usize, workers: u64, partitions: usize) {
    let driver = driver.clone();
    let turn: Turn = Arc::new(move |worker, turn| {
        let key = ConversationKey::new("plain", format!("{partitions} {workers} {worker}"));
        let row = Bytes::from(vec![7; bytes]);
        let (driver, write) = (driver.clone(), Write::Member { key, user: turn.to_string(), row, seq: 1 });
        Box::pin(async move { driver.write(vec![write]).await.unwrap() })
    });
    let Rate { per_second, p50, p99 } = rate(time, workers, turn).await;
    println!(
        "bare: {workers:>3} x plain writes, up to {partitions:>2} in a request: {per_second:>6.0}/s, p50 {p50:.1?}, p99 {p99:.1?}"
    );
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

/// Conversations that each append batches, one in flight each, as their owner does. Where there are many,
/// each worker goes round its share of them.
async fn appends(store: &Arc<CqlStore<Driver>>, time: Duration, bytes: usize, count: usize, entries: usize) {
    let workers = count.min(WORKERS);
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
    let before = store.stats();
    let Rate { per_second, p50, p99 } = rate(time, workers as u64, turn).await;
    let after = store.stats();
    let stored = (after.entries - before.entries) as f64;
    // Without ledgers every append is a round.
    let rounds =
        if after.rounds == 0 { after.appends - before.appends } else { after.rounds - before.rounds };
    println!(
        "store: {count:>5} conversations, batches of {entries:>3}: {:>6.0} messages/s, {:.3} rounds each, p50 {p50:.1?}, p99 {p99:.1?}; {opens:.0} opens/s",
        per_second * entries as f64,
        rounds as f64 / stored,
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
