//! A process that is killed while it appends loses nothing that it acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use support::{CONVERSATIONS, append, check_log, key, tight};
use whimbrel_storage::log::{AppendOutcome, Log};
use whimbrel_storage::{EmbeddedStore, OpenError};

/// Tells [`the_victim`] to work in this directory until it is killed.
const VICTIM_DIR: &str = "WHIMBREL_VICTIM_DIR";
const ROUNDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: HashMap<usize, u64> = HashMap::new();
    for round in 0..ROUNDS {
        let acks = rand::random_range(1..600);
        for (conversation, tip) in victim(dir.path()).kill_after(acks) {
            let known = acked.entry(conversation).or_default();
            *known = tip.max(*known);
        }
        let store = EmbeddedStore::open(tight(dir.path())).unwrap();
        for conversation in 0..CONVERSATIONS {
            let known = acked.entry(conversation).or_default();
            let tip = check_log(&store, conversation).await.unwrap();
            assert!(tip >= *known, "round {round}, {}: {tip} of {known}", key(conversation));
            assert!(tip <= *known + 3, "one append at most was underway");
            *known = tip;
        }
    }
    assert!(acked.values().all(|&tip| tip > 0), "{acked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut victim = victim(dir.path());
    victim.line();
    match EmbeddedStore::open(tight(dir.path())).err().unwrap() {
        OpenError::Locked { pid, .. } => assert_eq!(pid, Some(victim.0.id())),
        other => panic!("{other}"),
    }
    victim.line();
    victim.kill_after(0);
    EmbeddedStore::open(tight(dir.path())).unwrap();
}

/// As a test of its own it makes a few appends. As a child it goes on until it is killed, and says after each
/// which conversation has been acknowledged up to where.
#[tokio::test(flavor = "multi_thread")]
async fn the_victim() {
    let (own, dir) = (tempfile::tempdir().unwrap(), std::env::var_os(VICTIM_DIR).map(PathBuf::from));
    let limit = if dir.is_some() { u64::MAX } else { 30 };
    let store = EmbeddedStore::open(tight(dir.as_deref().unwrap_or(own.path()))).unwrap();
    let store = Arc::new(store);
    let mut writers = tokio::task::JoinSet::new();
    for conversation in 0..CONVERSATIONS {
        writers.spawn(write(store.clone(), conversation, limit, dir.is_some()));
    }
    while let Some(tip) = writers.join_next().await {
        assert!(tip.unwrap() >= limit);
    }
}

async fn write(store: Arc<EmbeddedStore>, conversation: usize, limit: u64, aloud: bool) -> u64 {
    let opened = store.open(&key(conversation)).await.unwrap();
    let mut tip = opened.tip;
    while tip < limit {
        let count = 1 + tip % 3;
        let outcome = store.append(append(conversation, opened.epoch, tip, count)).await;
        assert_eq!(outcome, AppendOutcome::Applied);
        tip += count;
        if aloud {
            std::io::stderr().write_all(format!("{conversation} {tip}\n").as_bytes()).unwrap();
        }
    }
    tip
}

struct Victim(Child, BufReader<std::process::ChildStderr>);

fn victim(dir: &Path) -> Victim {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_victim", "--nocapture"])
        .env(VICTIM_DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    Victim(child, said)
}

impl Victim {
    /// The next acknowledgement; `None` at the end.
    fn line(&mut self) -> Option<(usize, u64)> {
        let mut line = String::new();
        if self.1.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            return None;
        }
        let parsed = line.trim().split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        Some(parsed.unwrap_or_else(|| panic!("the victim said: {line}")))
    }

    /// Kills it after so many acknowledgements, and returns all that it gave.
    fn kill_after(mut self, acks: usize) -> Vec<(usize, u64)> {
        let mut said: Vec<_> = (0..acks).map(|_| self.line().expect("it runs until it is killed")).collect();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        while let Some(ack) = self.line() {
            said.push(ack);
        }
        said
    }
}
