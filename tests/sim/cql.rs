//! The store of some worlds: the real one on CQL, on tables in memory that all gateways of the world share.

use std::sync::Arc;
use std::time::Duration;

use storage::cql::fake::{FakeTables, Faults, Happened};
use storage::cql::tables::{LogName, Tables as _};
use storage::cql::{CqlConfig, CqlStore, Format, check};
use storage::inventory::{Inventory as _, MAX_ROWS};
use storage::log::{Log as _, ReadRange};
use storage::presence::{MAX_EVENTS, PresenceEvents as _};
use storage::{ConversationKey, StoreError};

use crate::data::{Data, LogState};
use crate::planted::{Bug, Planted};
use crate::rng::Rng;
use crate::store::Store;
use crate::support::history::Event;
use crate::world::{Ev, World};

/// From so many on of a thousand operations that fail, all do.
const DOWN_PERMILLE: u64 = 700;
/// A store operation of a gateway is a few of the tables, there and back.
const STEPS: u64 = 4;

/// Which store the gateways of a world have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Simulated,
    Cql,
}

impl Kind {
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "simulated" => Some(Kind::Simulated),
            "cql" => Some(Kind::Cql),
            _ => None,
        }
    }
}

/// The tables, and how a gateway stands on them.
#[derive(Clone)]
pub struct Tables {
    fake: Arc<FakeTables>,
    config: CqlConfig,
    bug: Option<Bug>,
    /// By how much clocks of processes are wrong at most, microseconds.
    skew_us: u64,
    /// That of the next process.
    next_skew_us: i64,
}

impl Tables {
    /// Empty ones.
    pub fn new(rng: &mut Rng, bug: Option<Bug>) -> Tables {
        let ledgers = *rng.pick(&[0, 0, 1, 8]);
        let fake = Arc::new(FakeTables::new(rng.next()).with_ledgers(ledgers));
        fake.keep_journal();
        // A batch of a gateway has up to 128 entries.
        let format = Format {
            bucket_seqs: *rng.pick(&[128, 256, 4_096]),
            bucket_events: *rng.pick(&[16, 16_384]),
            bucket_records: *rng.pick(&[128, 1_024]),
            period_us: *rng.pick(&[2_000_000, 60_000_000]),
        };
        // A tail that is forgotten is looked for.
        let remembered_logs = *rng.pick(&[2, 1_024]);
        let config = CqlConfig { format, remembered_logs, ..CqlConfig::default() };
        let skew_us = *rng.pick(&[0, 50_000, 4_000_000]);
        Tables { fake, config, bug, skew_us, next_skew_us: 0 }
    }

    /// The store of a process that starts now; its clock is that of the runtime it runs on.
    pub fn store(&self, now_ms: u64) -> CqlStore<Planted> {
        self.store_with(now_ms, self.next_skew_us, self.bug)
    }

    fn store_with(&self, now_ms: u64, skew_us: i64, bug: Option<Bug>) -> CqlStore<Planted> {
        let handle = self.fake.handle_after(Duration::from_millis(now_ms), skew_us);
        CqlStore::new(Arc::new(Planted::new(handle, bug)), self.config.clone())
    }
}

impl Store {
    /// The same weather as over a simulated store, as tables have it.
    fn faults(&self, now: u64) -> (Faults, bool) {
        let ground = self.unknown_permille as u32 / 4;
        let mut faults = Faults {
            delay: Duration::from_millis((self.commit_ms.1 / STEPS).max(1)),
            stalls: 10,
            refused: 0,
            lost: ground,
            late: ground,
            pending: ground,
            unanswered: ground,
            disguised: ground,
            write_fails: ground,
            read_fails: ground / 4,
        };
        if self.slow_until > now {
            (faults.delay, faults.stalls) = (Duration::from_millis(self.slow_ms / STEPS), 0);
        }
        let failing = self.failing_until > now;
        if failing {
            let fails = self.failing_permille as u32 / 2;
            (faults.refused, faults.write_fails, faults.read_fails) = (fails, fails, fails);
        }
        (faults, failing && self.failing_permille >= DOWN_PERMILLE)
    }
}

impl World {
    /// Says what store there is, and has it be as the weather is.
    pub fn begin_store(&mut self) {
        let said = match &self.setup.tables {
            Some(Tables { fake: tables, config, skew_us, .. }) => {
                let ledgers = tables.ledgers();
                format!(
                    "the store is on CQL, {ledgers} ledgers: {:?}, clocks wrong by up to {skew_us} us",
                    config.format
                )
            }
            None => "the store is simulated".to_owned(),
        };
        self.note_world(said);
        self.weather();
    }

    /// The next process has a clock of its own.
    pub fn next_clock(&mut self) {
        if let Some(tables) = &mut self.setup.tables {
            let skew = self.rng.range(0, 2 * tables.skew_us);
            tables.next_skew_us = skew.cast_signed() - tables.skew_us.cast_signed();
        }
    }

    /// The store's trouble begins or ends.
    pub fn weather(&mut self) {
        let Some(tables) = &self.setup.tables else { return };
        let (faults, is_down) = self.store.faults(self.now);
        tables.fake.set_faults(faults);
        tables.fake.set_down(is_down);
        let next = [self.store.slow_until, self.store.failing_until].into_iter().filter(|at| *at > self.now);
        if let Some(at) = next.min() {
            self.at(at, Ev::Weather);
        }
    }

    /// All is well with the store, and what was on its way arrives.
    pub fn heal_store(&mut self) {
        (self.store.slow_until, self.store.failing_until, self.store.unknown_permille) = (0, 0, 0);
        self.weather();
        if let Some(tables) = &self.setup.tables {
            tables.fake.arrive_all();
        }
    }

    /// Takes in what became of logs on the tables. A commit counts from when somebody was answered: what its owner left
    /// behind half done is nobody's before a takeover.
    pub fn look_at_tables(&mut self) {
        let Some(tables) = &self.setup.tables else { return };
        for step in tables.fake.take_journal() {
            let at = step.at.as_millis() as u64;
            self.trace.note(at, "store", &format!("{} #{}: {:?}", step.log, step.tip, step.what));
            if let (LogName::Conversation(key), Happened::Answered) = (step.log, step.what) {
                let conversation = format!("{}/{}", key.tenant, key.conversation);
                self.history.push(Event::Committed { conversation, tip: step.tip, at });
            }
        }
    }

    /// Everything is at rest: reads what the tables hold.
    pub fn read_tables(&mut self) {
        let Some(tables) = self.setup.tables.clone() else { return };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let read = runtime.block_on(async {
            let store = tables.store_with(self.now, 0, None);
            read(&store, &tables.config.format).await
        });
        // A store that cannot be read is a violation: whoever runs the world hears it.
        self.store.data = read.unwrap();
    }
}

async fn read(store: &CqlStore<Planted>, format: &Format) -> Result<Data, StoreError> {
    let mut data = Data::default();
    let mut after = None;
    loop {
        let page = store.all_conversations(None, after, MAX_ROWS).await?;
        assert_eq!(page.broken, Vec::<String>::new());
        for held in page.rows {
            read_log(store, format, held.key, &mut data).await?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for ((tenant, user), standing) in store.tables().all_standings(None, usize::MAX).await? {
        data.streams.stand(tenant, user, standing);
    }
    for tenant in data.streams.tenants() {
        let mut after = 0;
        loop {
            let page = store.events(&tenant, after, MAX_EVENTS).await?;
            let Some(last) = page.events.last() else { break };
            after = last.seq;
            data.streams.tell(&tenant, page.events);
        }
    }
    Ok(data)
}

async fn read_log(
    store: &CqlStore<Planted>,
    format: &Format,
    key: ConversationKey,
    data: &mut Data,
) -> Result<(), StoreError> {
    let all = ReadRange {
        first: 1,
        last: u64::MAX,
        backwards: false,
        max_entries: usize::MAX,
        max_bytes: usize::MAX,
    };
    let entries = store.read(&key, all).await?.into_iter().map(|entry| entry.payload).collect();
    let mut log = LogState::read(entries);
    let page = store.seats(&key, None, MAX_ROWS).await?;
    assert_eq!((page.broken, page.next), (Vec::new(), None));
    for seat in page.rows {
        data.cursors.insert((key.clone(), seat.user.clone()), seat.cursors);
        log.members.extend(seat.member.map(|row| (seat.user, row)));
    }
    let found = check::conversation(store.tables(), format, &key, 1, false).await?.findings;
    // What nobody was answered may wait for a takeover.
    let wrong: Vec<_> =
        found.iter().filter(|finding| !matches!(finding, check::Finding::CopyLags { .. })).collect();
    assert!(wrong.is_empty(), "{key}: {wrong:?}");
    let active = log.members.values().filter(|row| row.is_active());
    let users: Vec<String> = active.map(|row| row.user.clone()).collect();
    assert_eq!(store.unlisted(&key, &users).await?, Vec::<String>::new(), "{key} is not listed");
    data.logs.insert(key, log);
    Ok(())
}
