//! Durable appends per second of the embedded store:
//! `cargo run --release -p whimbrel-storage --example append_rate -- [writers] [seconds] [payload bytes] [directory]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that prints or fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use whimbrel_storage::log::{Append, AppendOutcome, Entry, EntryKind, Log, SenderSlotOf, Users};
use whimbrel_storage::{ConversationKey, EmbeddedConfig, EmbeddedStore};

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| args.get(at).map_or(default, |text| text.parse().unwrap());
    let (writers, seconds, bytes) = (number(1, 100), number(2, 5), number(3, 200));
    let path = args.get(4).cloned().unwrap_or_else(|| format!("append-rate-{}", std::process::id()));
    let store = Arc::new(EmbeddedStore::open(EmbeddedConfig::new(&path)).unwrap());

    let end = Instant::now() + Duration::from_secs(seconds as u64);
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        tasks.spawn(write(store.clone(), writer as u64, bytes, end));
    }
    let mut waits: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    waits.sort_unstable();
    let (stats, count) = (store.stats(), waits.len());
    println!(
        "{writers} writers, {bytes} B: {} appends/s, {} fsyncs/s, p50 {:?}, p99 {:?}",
        count / seconds,
        stats.fsyncs / seconds as u64,
        waits[count / 2],
        waits[count * 99 / 100],
    );
    store.close().await;
    drop(store);
    std::fs::remove_dir_all(path).unwrap();
}

/// Appends one entry after the other to a conversation of its own; how long each took.
async fn write(store: Arc<EmbeddedStore>, writer: u64, bytes: usize, end: Instant) -> Vec<Duration> {
    let key = ConversationKey::new("tenant", format!("conversation {writer}"));
    let opened = store.open(&key).await.unwrap();
    let active: Users = ["ann".into(), "ben".into()].into();
    let (mut waits, mut tip) = (Vec::new(), opened.tip);
    while Instant::now() < end {
        let begun = Instant::now();
        let slot = SenderSlotOf { device: writer, slot: (tip % 128) as u8, client_msg_id: [7; 16] };
        let entry = Entry {
            payload: vec![7; bytes].into(),
            sender: "ann".into(),
            slot: Some(slot),
            kind: EntryKind::Shown,
        };
        let append = Append {
            key: key.clone(),
            epoch: opened.epoch,
            expected_tip: tip,
            batch: [0; 16],
            at_ms: 0,
            entries: vec![entry],
            members: Vec::new(),
            active: active.clone(),
            info: None,
        };
        assert_eq!(store.append(append).await, AppendOutcome::Applied);
        waits.push(begun.elapsed());
        tip += 1;
    }
    waits
}
