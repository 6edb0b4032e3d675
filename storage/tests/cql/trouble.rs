//! Clusters of their own: refused users, stalls, crashes, lost nodes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use servers::{Cassandra, CassandraSettings};
use whimbrel_storage::cql::driver::{Credentials, Driver, DriverConfig, OpenError, migrate, open};
use whimbrel_storage::cql::{CqlConfig, CqlStore};
use whimbrel_storage::key::ConversationKey;
use whimbrel_storage::log::{Append, AppendOutcome, Entry, EntryKind, Log, ReadRange, Users};

use super::cluster::schema;

/// Long enough for the driver to find a node that is back, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn config(cluster: &Cassandra) -> DriverConfig {
    let points = cluster.addresses().iter().map(ToString::to_string).collect();
    DriverConfig {
        request_timeout: Duration::from_secs(3),
        conditional_timeout: Duration::from_secs(3),
        ..DriverConfig::new(points, "whimbrel")
    }
}

/// The owner of a log that goes on through everything, and remembers what it was told is stored.
struct Owner {
    store: CqlStore<Driver>,
    key: ConversationKey,
    epoch: u64,
    tip: u64,
    /// What a batch said, by its first seq.
    applied: Vec<(u64, u8)>,
    next: u8,
}

impl Owner {
    async fn new(config: &DriverConfig) -> Owner {
        let store = open(config, CqlConfig::default()).await.unwrap();
        let key = ConversationKey::new("t", "c");
        let opened = store.open(&key).await.unwrap();
        Owner { store, key, epoch: opened.epoch, tip: opened.tip, applied: Vec::new(), next: 1 }
    }

    /// One append of one entry, and `open` once its outcome is unknown.
    async fn append(&mut self) -> AppendOutcome {
        let word = self.next;
        self.next += 1;
        let entry = Entry {
            payload: Bytes::from(vec![word]),
            sender: String::new(),
            slot: None,
            kind: EntryKind::Shown,
        };
        let append = Append {
            key: self.key.clone(),
            epoch: self.epoch,
            expected_tip: self.tip,
            batch: [word; 16],
            at_ms: 1,
            entries: vec![entry],
            members: Vec::new(),
            active: Users::default(),
            info: None,
        };
        let outcome = self.store.append(append).await;
        match outcome {
            AppendOutcome::Applied => {
                self.tip += 1;
                self.applied.push((self.tip, word));
            }
            AppendOutcome::Unknown(_) => self.open_again(word).await,
            _ => {}
        }
        outcome
    }

    /// Settles an unknown outcome; takes as long as the store is out of reach.
    async fn open_again(&mut self, word: u8) {
        let begun = Instant::now();
        loop {
            match self.store.open(&self.key).await {
                Ok(opened) => {
                    if opened.tip > self.tip && opened.last_batch == [word; 16] {
                        self.applied.push((self.tip + 1, word));
                    }
                    (self.epoch, self.tip) = (opened.epoch, opened.tip);
                    return;
                }
                Err(_) => assert!(begun.elapsed() < PATIENCE, "the store does not come back"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn append_until_applied(&mut self) {
        let begun = Instant::now();
        while self.append().await != AppendOutcome::Applied {
            assert!(begun.elapsed() < PATIENCE, "no append gets through");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything that was told is stored, where it was told, and nothing else.
    async fn check(&self) {
        let range =
            ReadRange { first: 1, last: u64::MAX, backwards: false, max_entries: 999, max_bytes: 9_999 };
        let begun = Instant::now();
        let stored = loop {
            match self.store.read(&self.key, range).await {
                Ok(stored) => break stored,
                // The first reads may still ask a node that is gone.
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
        };
        let stored: Vec<(u64, u8)> = stored.iter().map(|entry| (entry.seq, entry.payload[0])).collect();
        assert_eq!(stored, self.applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_that_refuses_stalls_and_dies() {
    let cluster =
        Cassandra::start(CassandraSettings { passwords: true, ..Default::default() }).await.unwrap();
    let anonymous = config(&cluster);
    assert!(matches!(Driver::open(&anonymous).await.err(), Some(OpenError::Credentials)));
    let with = |password: &str| {
        let credentials = Credentials { user: "cassandra".into(), password: password.into() };
        DriverConfig { credentials: Some(credentials), ..anonymous.clone() }
    };
    assert!(matches!(migrate(&with("guess"), &schema(1)).await, Err(OpenError::Credentials)));
    let config = with("cassandra");
    migrate(&config, &schema(1)).await.unwrap();
    let mut owner = Owner::new(&config).await;
    owner.append_until_applied().await;

    // A stalled node: outcomes are unknown or refused, never applied, and in time.
    cluster.stall(1).unwrap();
    let begun = Instant::now();
    let range = ReadRange { first: 1, last: 9, backwards: false, max_entries: 9, max_bytes: 99 };
    owner.store.read(&owner.key, range).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let (outcome, ()) = tokio::join!(owner.append(), async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        cluster.resume(1).unwrap();
    });
    assert_ne!(outcome, AppendOutcome::Applied);
    owner.append_until_applied().await;
    owner.check().await;

    // A killed node that comes back on its data; this process stays.
    cluster.kill(1).unwrap();
    let error = Driver::open(&config).await.err();
    assert!(matches!(error, Some(OpenError::Unreachable { .. })), "{error:?}");
    let (outcome, restarted) = tokio::join!(owner.append(), cluster.restart(1));
    restarted.unwrap();
    assert_ne!(outcome, AppendOutcome::Applied);
    owner.append_until_applied().await;
    owner.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_of_which_one_is_lost_and_then_two() {
    let cluster = Cassandra::start(CassandraSettings { nodes: 3, ..Default::default() }).await.unwrap();
    let config = config(&cluster);
    migrate(&config, &schema(3)).await.unwrap();
    let mut owner = Owner::new(&config).await;
    owner.append_until_applied().await;
    cluster.kill(2).unwrap();
    for _ in 0..5 {
        owner.append_until_applied().await;
    }
    owner.check().await;
    cluster.stall(3).unwrap();
    let (outcome, ()) = tokio::join!(owner.append(), async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        cluster.resume(3).unwrap();
    });
    assert_ne!(outcome, AppendOutcome::Applied, "one of three nodes is no quorum");
    owner.append_until_applied().await;
    owner.check().await;
    cluster.restart(2).await.unwrap();
    cluster.kill(1).unwrap();
    owner.append_until_applied().await;
    owner.check().await;
}
