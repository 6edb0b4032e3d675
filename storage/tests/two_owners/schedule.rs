//! One run: two owners and their readers on hostile tables, then an end at which all is well.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{sleep, timeout};
use whimbrel_storage::cql::fake::{FakeTables, Faults};
use whimbrel_storage::cql::{CqlConfig, CqlStore, Format};
use whimbrel_storage::directory::{Directory, Listing, Place};
use whimbrel_storage::log::{AppendOutcome, Log, ReadRange};
use whimbrel_storage::member::Cursors;

use crate::history::{Answer, History};
use crate::owner::Owner;
use crate::plan::{Owned, USERS, key};
use crate::planted::{Bug, Planted};
use crate::verdict;

/// Seqs of a bucket, and the most entries of a batch.
pub const BUCKET: u64 = 4;
/// By how much a clock is wrong at most.
const SKEW_US: i64 = 40_000;

pub fn config() -> CqlConfig {
    let format = Format { bucket_seqs: BUCKET, bucket_records: 3, period_us: 300_000, ..Format::default() };
    CqlConfig { overlap: Duration::from_millis(800), remembered_logs: 2, format, ..CqlConfig::default() }
}

#[derive(Debug, Default)]
pub struct Figures {
    pub entries: u64,
    pub applied: u64,
    pub unknown: u64,
    pub conflicts: u64,
    pub refused: u64,
    pub opens: u64,
    pub operations: u64,
}

impl Figures {
    pub fn add(&mut self, other: Figures) {
        self.entries += other.entries;
        self.applied += other.applied;
        self.unknown += other.unknown;
        self.conflicts += other.conflicts;
        self.refused += other.refused;
        self.opens += other.opens;
        self.operations += other.operations;
    }
}

/// What it came to, or what was violated.
pub fn run(seed: u64, ledgers: u16, bug: Option<Bug>) -> Result<Figures, Vec<String>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(play(seed, ledgers, bug))
}

async fn play(seed: u64, ledgers: u16, bug: Option<Bug>) -> Result<Figures, Vec<String>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (tables, history) =
        (FakeTables::new(rng.random()).with_ledgers(ledgers), Arc::new(History::default()));
    tables.set_faults(faults(&mut rng));
    let mut process = |bug| {
        let skew = rng.random_range(-SKEW_US..=SKEW_US);
        (Planted::new(tables.handle(skew), bug), rng.random::<u64>(), rng.random_range(1..4))
    };
    let ((one, seed, lives), (two, other_seed, other_lives)) = (process(bug), process(bug));
    let ((reading, read_seed, _), (polling, poll_seed, _)) = (process(bug), process(bug));
    let owners = futures::future::join(
        Owner::new(one, history.clone(), seed).run(lives),
        Owner::new(two, history.clone(), other_seed).run(other_lives),
    );
    let mut poller = Poller::new(polling, poll_seed);
    let readers = futures::future::join(read(reading, read_seed, history.clone()), poller.run(&history));
    futures::future::select(Box::pin(owners), Box::pin(readers)).await;

    tables.set_faults(Faults::default());
    let last = Planted::new(tables.handle(0), bug);
    let figures = timeout(Duration::from_secs(600), end(&tables, last, &history, &mut poller)).await;
    let figures = figures.unwrap_or_else(|_| {
        history.violation("the end is never reached".into());
        Figures::default()
    });
    let violations: Vec<String> = history.with(|inner| inner.violations.iter().cloned().collect());
    if violations.is_empty() { Ok(figures) } else { Err(violations) }
}

/// Some runs are hostile through and through, some have a few kinds of faults, one in sixteen has none.
pub fn faults(rng: &mut StdRng) -> Faults {
    let all = Faults::hostile();
    let mut some = |permille: u32| if rng.random_range(0..3) == 0 { 0 } else { permille };
    let faults = Faults {
        delay: all.delay,
        stalls: some(all.stalls),
        refused: some(all.refused),
        lost: some(all.lost),
        late: some(all.late),
        pending: some(all.pending),
        unanswered: some(all.unanswered),
        disguised: some(all.disguised),
        write_fails: some(all.write_fails),
        read_fails: some(all.read_fails),
    };
    if rng.random_range(0..16) == 0 { Faults { delay: all.delay, ..Faults::default() } } else { faults }
}

/// Reads whatever there is, and raises cursors.
async fn read(tables: Planted, seed: u64, history: Arc<History>) {
    let (store, mut rng) = (CqlStore::new(Arc::new(tables), config()), StdRng::seed_from_u64(seed));
    loop {
        sleep(Duration::from_millis(rng.random_range(0..60))).await;
        let Ok(tip) = store.tip(&key()).await else { continue };
        let range = ReadRange {
            first: rng.random_range(0..=tip + 1),
            last: if rng.random() { u64::MAX } else { tip },
            backwards: rng.random(),
            max_entries: rng.random_range(1..20),
            max_bytes: usize::MAX,
        };
        if let Err(error) = look(&store, range, tip, &history).await {
            history.hold(error.code() != protocol::code::Code::CORRUPT, || format!("a read says: {error}"));
        }
        if tip > 0 {
            stands(&store, &history).await;
        }
        let user = USERS[rng.random_range(0..4)];
        let to = Cursors { read: rng.random_range(0..=tip), delivered: rng.random_range(0..=tip), sent: 0 };
        history.with(|inner| {
            let asked = &mut inner.raised.entry(user.to_owned()).or_default().1;
            *asked = asked.max(to);
        });
        if let Ok(raised) = store.raise_cursors(&key(), user, to).await {
            history.with(|inner| {
                let answered = &mut inner.raised.get_mut(user).unwrap().0;
                *answered = answered.max(Cursors { sent: 0, ..raised });
            });
        }
    }
}

/// Whoever has seen that there is a conversation finds it in a member's list, whatever is appended meanwhile.
async fn stands(store: &CqlStore<Planted>, history: &History) {
    if let Ok(listed) = store.listed("tenant", "u0", Listing::Latest { before: None }, 9).await {
        history.hold(listed.rows.len() == 1, || "the conversation is not in the list of u0".into());
    }
}

async fn look(
    store: &CqlStore<Planted>,
    range: ReadRange,
    tip: u64,
    history: &History,
) -> Result<(), whimbrel_storage::StoreError> {
    let entries = store.read(&key(), range).await?;
    history.saw(&entries);
    let wanted = range.first.max(1) <= tip;
    history.hold(!wanted || !entries.is_empty(), || format!("{range:?} of {tip} is empty"));
    if let (false, Some(first)) = (range.backwards, entries.first()) {
        history.hold(first.seq == range.first.max(1), || format!("{range:?} begins at {}", first.seq));
    }
    let after = store.tip(&key()).await?;
    let last = entries.last().map_or(0, |entry| entry.seq);
    history.hold(last <= after, || format!("a read passed the tip: {last} of {after}"));
    Ok(())
}

/// A client of `u0` that only ever asks what has changed.
pub struct Poller {
    store: CqlStore<Planted>,
    rng: StdRng,
    version: u64,
    pub tip: u64,
    pub read: u64,
}

impl Poller {
    fn new(tables: Planted, seed: u64) -> Poller {
        let store = CqlStore::new(Arc::new(tables), config());
        Poller { store, rng: StdRng::seed_from_u64(seed), version: 0, tip: 0, read: 0 }
    }

    async fn run(&mut self, history: &History) {
        loop {
            sleep(Duration::from_millis(self.rng.random_range(0..400))).await;
            let (tip, read) = history.with(|inner| (inner.applied_tip(), inner.answered_read("u0")));
            if self.poll().await.is_err() {
                continue;
            }
            let known = self.tip;
            history.hold(known >= tip, || format!("{tip} was applied, and who asks knows {known}"));
            self.knows_read(history, read).await;
        }
    }

    /// What nobody was told of may have come late, and hide what was answered.
    async fn knows_read(&self, history: &History, read: u64) {
        let Ok(cursors) = self.store.cursors(&key(), &["u0".into()]).await else { return };
        let is_told = self.read >= read || cursors[0].read > history.with(|inner| inner.answered_read("u0"));
        history.hold(is_told, || format!("read to {read}, and who asks knows {}", self.read));
    }

    pub async fn poll(&mut self) -> Result<(), whimbrel_storage::StoreError> {
        let mut after = Place { version: self.version + 1, conversation: String::new() };
        loop {
            let listed = self.store.listed("tenant", "u0", Listing::Changed { after }, 1).await?;
            for (_, row) in &listed.rows {
                self.tip = self.tip.max(row.tip);
                self.read = self.read.max(row.cursors.read);
            }
            match listed.next {
                Some(next) => after = next,
                None => {
                    self.version = listed.version;
                    return Ok(());
                }
            }
        }
    }
}

/// The faults are over. What was underway arrives before, between and behind the last takeover.
async fn end(tables: &FakeTables, last: Planted, history: &History, poller: &mut Poller) -> Figures {
    let store = CqlStore::new(Arc::new(last), config());
    let opened = loop {
        let before = history.epoch();
        match Log::open(&store, &key()).await {
            Ok(opened) => {
                history.opened(before, &opened);
                break opened;
            }
            Err(error) => history.violation(format!("the last takeover says: {error}")),
        }
        sleep(Duration::from_secs(1)).await;
    };
    tables.arrive_all();
    verdict::of(&store, history).await;
    history.hold(poller.poll().await.is_ok() && poller.tip == opened.tip, || {
        format!("whoever asks what has changed knows {} of {}", poller.tip, opened.tip)
    });
    poller.knows_read(history, history.with(|inner| inner.answered_read("u0"))).await;
    let mut owned = Owned::new(opened);
    let append = owned.plan(&mut StdRng::seed_from_u64(1), BUCKET as usize);
    history.trying(&append);
    let outcome = store.append(append.clone()).await;
    history.hold(outcome == AppendOutcome::Applied, || format!("the last append: {outcome:?}"));
    history.answered(append.batch, Answer::Applied);
    owned.applied(&append);
    verdict::of(&store, history).await;
    raises_alone(&store, history, poller, owned.tip).await;
    let applied = |inner: &mut crate::history::Inner| {
        inner.tried.values().filter(|tried| tried.answer == Answer::Applied).count() as u64
    };
    history.with(|inner| Figures {
        entries: owned.tip,
        applied: applied(inner),
        unknown: inner.unknown,
        conflicts: inner.conflicts,
        refused: inner.refused,
        opens: inner.opened.len() as u64,
        operations: tables.operations().0,
    })
}

/// A read cursor that rises when nothing else has happened for long is all that whoever asks can be told of.
async fn raises_alone(store: &CqlStore<Planted>, history: &History, poller: &mut Poller, tip: u64) {
    sleep(Duration::from_secs(60)).await;
    history.hold(poller.poll().await.is_ok() && poller.tip == tip, || {
        format!("whoever asks what has changed knows {} of {tip}", poller.tip)
    });
    let to = Cursors { read: tip, ..Cursors::default() };
    let raised = store.raise_cursors(&key(), "u0", to).await;
    history.hold(raised.is_ok(), || format!("raising a cursor says: {raised:?}"));
    history.hold(poller.poll().await.is_ok() && poller.read == tip, || {
        format!("read to {tip}, and who asks knows {}", poller.read)
    });
}
