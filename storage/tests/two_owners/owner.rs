//! A process that believes the log is its own: it appends, loses it, takes it back, dies, and comes back.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};
use whimbrel_storage::cql::CqlStore;
use whimbrel_storage::log::{Append, AppendOutcome, Log, Opened, ReadRange};

use crate::history::{Answer, History};
use crate::plan::{Owned, key};
use crate::planted::Planted;
use crate::schedule::{BUCKET, config};

/// How often a batch of unknown outcome is appended again.
const MAX_UNKNOWNS: u32 = 3;

pub struct Owner {
    tables: Arc<Planted>,
    store: CqlStore<Planted>,
    history: Arc<History>,
    rng: StdRng,
}

impl Owner {
    pub fn new(tables: Planted, history: Arc<History>, seed: u64) -> Owner {
        let tables = Arc::new(tables);
        let store = CqlStore::new(tables.clone(), config());
        Owner { tables, store, history, rng: StdRng::seed_from_u64(seed) }
    }

    /// Lives several lives; each ends wherever it happens to be.
    pub async fn run(mut self, lives: u32) {
        for _ in 0..lives {
            let life = Duration::from_millis(self.rng.random_range(100..3_000));
            _ = timeout(life, self.live()).await;
            self.store = CqlStore::new(self.tables.clone(), config());
            self.pause(200).await;
        }
    }

    async fn live(&mut self) {
        loop {
            if let Some(opened) = self.open().await {
                self.hold(Owned::new(opened)).await;
            }
            self.pause(100).await;
        }
    }

    async fn open(&mut self) -> Option<Opened> {
        let before = self.history.epoch();
        let opened = Log::open(&self.store, &key()).await.ok()?;
        self.history.opened(before, &opened);
        Some(opened)
    }

    /// Appends until the log is lost.
    async fn hold(&mut self, mut owned: Owned) {
        let (mut append, mut unknowns) = (owned.plan(&mut self.rng, BUCKET as usize), 0);
        loop {
            self.history.trying(&append);
            match self.store.append(append.clone()).await {
                AppendOutcome::Applied => self.applied(&mut owned, &append).await,
                AppendOutcome::Conflict { .. } => {
                    self.history.with(|inner| inner.conflicts += 1);
                    return self.history.answered(append.batch, Answer::Never);
                }
                AppendOutcome::Refused(_) => {
                    self.history.with(|inner| inner.refused += 1);
                    self.history.answered(append.batch, Answer::Never);
                }
                AppendOutcome::Unknown(_) => {
                    self.history.with(|inner| inner.unknown += 1);
                    unknowns += 1;
                    let Some(opened) = self.open().await else { return };
                    owned.epoch = opened.epoch;
                    let tip = owned.tip + append.entries.len() as u64;
                    if opened.last_batch == append.batch && opened.tip == tip {
                        self.applied(&mut owned, &append).await;
                    } else if opened.tip != owned.tip {
                        return;
                    } else if unknowns < MAX_UNKNOWNS && self.rng.random() {
                        // The same again, as one who owes an answer does.
                        append.epoch = owned.epoch;
                        continue;
                    } else {
                        self.history.answered(append.batch, Answer::Never);
                    }
                }
            }
            self.pause(30).await;
            unknowns = 0;
            append = owned.plan(&mut self.rng, BUCKET as usize);
        }
    }

    /// Whoever reads from now on sees it.
    async fn applied(&mut self, owned: &mut Owned, append: &Append) {
        self.history.answered(append.batch, Answer::Applied);
        owned.applied(append);
        let range = ReadRange {
            first: append.expected_tip + 1,
            last: owned.tip,
            backwards: self.rng.random(),
            max_entries: usize::MAX,
            max_bytes: usize::MAX,
        };
        let Ok(entries) = self.store.read(&key(), range).await else { return };
        self.history.saw(&entries);
        let payloads = entries.iter().map(|entry| &entry.payload);
        let same = payloads.eq(append.entries.iter().map(|entry| &entry.payload));
        self.history.hold(same, || format!("what was applied behind {} is not read", append.expected_tip));
    }

    async fn pause(&mut self, most_ms: u64) {
        sleep(Duration::from_millis(self.rng.random_range(0..=most_ms))).await;
    }
}
