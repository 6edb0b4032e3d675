//! Two writers of one presence stream on hostile tables.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{sleep, timeout};
use whimbrel_storage::cql::fake::{FakeTables, Faults};
use whimbrel_storage::cql::{CqlConfig, CqlStore, Format};
use whimbrel_storage::presence::*;

use crate::planted::{Bug, Planted};
use crate::schedule::faults;

type Store = CqlStore<Planted>;

/// Every record has a time of its own, so that its events are known by it.
#[derive(Default)]
struct Told {
    records: Cell<i64>,
    /// What was applied, by the tip that was answered.
    applied: RefCell<Vec<(u64, Vec<PresenceChange>)>>,
    outcomes: Cell<u64>,
}

fn config() -> CqlConfig {
    let format = Format { bucket_events: 4, ..Format::default() };
    CqlConfig { remembered_logs: 2, format, ..CqlConfig::default() }
}

/// How many records had an outcome, or what was violated.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<u64, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(play(seed, bug))
}

async fn play(seed: u64, bug: Option<Bug>) -> Result<u64, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (tables, told) = (FakeTables::new(rng.random()), Told::default());
    tables.set_faults(faults(&mut rng));
    let mut writer = |skew| write(Arc::new(Planted::new(tables.handle(skew), bug)), rng.random(), &told);
    let writers = futures::future::join(writer(-30_000), writer(30_000));
    _ = timeout(Duration::from_secs(8), writers).await;
    tables.set_faults(Faults::default());

    let store = CqlStore::new(Arc::new(Planted::new(tables.handle(0), bug)), config());
    let epoch = store.take("t").await.map_err(|error| format!("the last take says {error}"))?;
    tables.arrive_all();
    sound(&store, &told).await?;
    let all: Vec<PresenceChange> = (0..3).map(|user| change(user, PresenceState::Away, -1)).collect();
    let outcome = store.record("t", epoch, all).await;
    if !matches!(outcome, RecordOutcome::Applied { .. }) {
        return Err(format!("the last record: {outcome:?}"));
    }
    sound(&store, &told).await?;
    Ok(told.outcomes.get())
}

fn change(user: u32, state: PresenceState, at_ms: i64) -> PresenceChange {
    PresenceChange { user: format!("u{user}"), state, at_ms }
}

async fn write(tables: Arc<Planted>, seed: u64, told: &Told) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut store = CqlStore::new(tables.clone(), config());
    loop {
        sleep(Duration::from_millis(rng.random_range(0..100))).await;
        let Ok(mut epoch) = store.take("t").await else { continue };
        for _ in 0..rng.random_range(1..8) {
            let at_ms = told.records.get() + 1;
            told.records.set(at_ms);
            let states = [PresenceState::Offline, PresenceState::Away, PresenceState::Online];
            let count = rng.random_range(1..=3);
            let changes: Vec<_> = (0..count)
                .map(|_| change(rng.random_range(0..3), states[rng.random_range(0..3)], at_ms))
                .collect();
            let life = Duration::from_millis(rng.random_range(50..2_000));
            match timeout(life, store.record("t", epoch, changes.clone())).await {
                Ok(RecordOutcome::Applied { tip }) => told.applied.borrow_mut().push((tip, changes)),
                Ok(RecordOutcome::Conflict) => break,
                // Whoever goes on under the same epoch must do no harm either.
                Ok(RecordOutcome::Refused(_) | RecordOutcome::Unknown(_)) => {}
                Err(_) => {
                    store = CqlStore::new(tables.clone(), config());
                    epoch = store.take("t").await.unwrap_or(epoch);
                }
            }
            told.outcomes.set(told.outcomes.get() + 1);
        }
    }
}

/// The stream is one log, and everything else follows from it.
async fn sound(store: &Store, told: &Told) -> Result<(), String> {
    let page = store.events("t", 0, MAX_EVENTS).await.map_err(|error| format!("the stream says {error}"))?;
    if page.events.len() as u64 != page.tip {
        return Err(format!("{} events up to {}", page.events.len(), page.tip));
    }
    let mut known = BTreeMap::<String, &PresenceEvent>::new();
    let mut by_tip = BTreeMap::new();
    for (event, seq) in page.events.iter().zip(1..) {
        let was = known.insert(event.user.clone(), event).map_or_else(Default::default, |event| event.state);
        if event.seq != seq || was == event.state {
            return Err(format!("event {seq} is no change"));
        }
        by_tip.insert(seq, (event.at_ms, known.clone()));
    }
    if page.events.windows(2).any(|pair| pair[0].epoch > pair[1].epoch) {
        return Err("an epoch falls".into());
    }
    for (tip, changes) in told.applied.borrow().iter() {
        let Some((at_ms, known)) = by_tip.get(tip).filter(|_| !changes.is_empty()) else { continue };
        let own = *at_ms == changes[0].at_ms;
        let last: BTreeMap<&str, PresenceState> =
            changes.iter().map(|change| (change.user.as_str(), change.state)).collect();
        let state = |user: &str| known.get(user).map_or_else(Default::default, |event| event.state);
        if own && last.iter().any(|(user, last)| state(user) != *last) {
            return Err(format!("what was applied up to {tip} is not what was told"));
        }
    }
    let lost = told.applied.borrow().iter().any(|(tip, _)| *tip > page.tip);
    let users: Vec<String> = (0..3).map(|user| format!("u{user}")).collect();
    let standings = store.standings("t", &users).await.map_err(|error| error.to_string())?;
    for (user, standing) in users.iter().zip(standings) {
        let follows = known.get(user).map(|event| Standing {
            state: event.state,
            since_ms: event.at_ms,
            seq: event.seq,
        });
        if standing != follows {
            return Err(format!("{user} stands at {standing:?}, and the stream says {follows:?}"));
        }
    }
    if lost { Err("what was applied is lost".into()) } else { Ok(()) }
}
