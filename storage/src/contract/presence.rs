//! The presence stream: only changes, in order, under one writer, and for long.

use std::collections::BTreeMap;

use super::fixture::Fixture;
use crate::Store;
use crate::presence::*;

use PresenceState::{Away, Offline, Online};

fn change(user: &str, state: PresenceState, at_ms: i64) -> PresenceChange {
    PresenceChange { user: user.into(), state, at_ms }
}

fn stream(store: &dyn Store) -> &dyn PresenceEvents {
    store.presence().unwrap()
}

async fn texts(store: &dyn Store, tenant: &str, after: u64) -> Vec<(u64, String, PresenceState, i64)> {
    let page = stream(store).events(tenant, after, usize::MAX).await.unwrap();
    page.events.into_iter().map(|event| (event.seq, event.user, event.state, event.at_ms)).collect()
}

/// Whether the backend has a presence stream at all.
fn kept(store: &dyn Store) -> bool {
    store.presence().is_some()
}

pub async fn only_changes_are_recorded(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    if !kept(&*store) {
        return;
    }
    let presence = stream(&*store);
    assert_eq!(presence.events("t", 0, 10).await.unwrap(), EventPage { first_kept: 1, ..Default::default() });
    assert_eq!(presence.standings("t", &["ann".into()]).await.unwrap(), [None]);
    let epoch = presence.take("t").await.unwrap();
    let changes = vec![
        change("bob", Offline, 1),
        change("ann", Online, 2),
        change("ann", Online, 3),
        change("ann", Away, 4),
    ];
    assert_eq!(presence.record("t", epoch, changes.clone()).await, RecordOutcome::Applied { tip: 2 });
    assert_eq!(presence.record("t", epoch, changes[3..].to_vec()).await, RecordOutcome::Applied { tip: 2 });
    assert_eq!(presence.record("t", epoch, Vec::new()).await, RecordOutcome::Applied { tip: 2 });
    assert_eq!(texts(&*store, "t", 0).await, [(1, "ann".into(), Online, 2), (2, "ann".into(), Away, 4)]);
    assert_eq!(texts(&*store, "t", 1).await.len(), 1);
    assert_eq!(texts(&*store, "t", u64::MAX).await, []);
    assert_eq!(texts(&*store, "tt", 0).await, []);
    let standing = Standing { state: Away, since_ms: 4, seq: 2 };
    let asked = ["bob".to_owned(), "ann".to_owned()];
    assert_eq!(presence.standings("t", &asked).await.unwrap(), [None, Some(standing)]);
}

pub async fn whoever_took_the_log_last_writes(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    if !kept(&*store) {
        return;
    }
    let presence = stream(&*store);
    assert_eq!(presence.record("t", 0, vec![change("ann", Online, 1)]).await, RecordOutcome::Conflict);
    let old = presence.take("t").await.unwrap();
    assert_eq!(
        presence.record("t", old, vec![change("ann", Online, 1)]).await,
        RecordOutcome::Applied { tip: 1 }
    );
    let new = presence.take("t").await.unwrap();
    assert!(new > old);
    assert_eq!(presence.record("t", old, vec![change("ann", Offline, 2)]).await, RecordOutcome::Conflict);
    assert_eq!(presence.record("u", new, vec![change("ann", Offline, 2)]).await, RecordOutcome::Conflict);
    assert_eq!(
        presence.record("t", new, vec![change("ann", Away, 3)]).await,
        RecordOutcome::Applied { tip: 2 }
    );
    let epochs: Vec<u64> =
        presence.events("t", 0, 9).await.unwrap().events.iter().map(|event| event.epoch).collect();
    assert_eq!(epochs, [old, new]);
}

pub async fn standings_and_events_outlast_a_reopen(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    if !kept(&*store) {
        return;
    }
    let before = stream(&*store).take("t").await.unwrap();
    stream(&*store).record("t", before, vec![change("ann", Online, 5), change("bob", Away, 6)]).await;
    assert_eq!(stream(&*store).last_beat(7).await, Ok(None));
    stream(&*store).beat(7, 100).await.unwrap();
    stream(&*store).beat(7, 200).await.unwrap();
    let store = fixture.reopen(store).await;
    assert_eq!(texts(&*store, "t", 0).await, [(1, "ann".into(), Online, 5), (2, "bob".into(), Away, 6)]);
    assert_eq!(stream(&*store).last_beat(7).await, Ok(Some(200)));
    assert_eq!(stream(&*store).last_beat(8).await, Ok(None));
    if !fixture.is_shared() {
        let late = stream(&*store).record("t", before, vec![change("ann", Offline, 7)]).await;
        assert_eq!(late, RecordOutcome::Conflict);
    }
    let epoch = stream(&*store).take("t").await.unwrap();
    assert!(epoch > before);
    let again = stream(&*store).record("t", epoch, vec![change("ann", Online, 8)]).await;
    assert_eq!(again, RecordOutcome::Applied { tip: 2 });
}

pub async fn the_oldest_events_go(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    if !kept(&*store) {
        return;
    }
    let presence = stream(&*store);
    let epoch = presence.take("t").await.unwrap();
    let total = EVENTS_KEPT + 10;
    let mut seqs = 1..=total;
    while !seqs.is_empty() {
        let state = |seq: u64| if seq % 2 == 1 { Online } else { Away };
        let part = seqs.by_ref().take(8_192).map(|seq| change("ann", state(seq), seq as i64)).collect();
        assert!(matches!(presence.record("t", epoch, part).await, RecordOutcome::Applied { .. }));
    }
    let page = presence.events("t", 0, usize::MAX).await.unwrap();
    assert_eq!((page.first_kept, page.tip, page.events.len()), (11, total, MAX_EVENTS));
    assert_eq!((page.events[0].seq, page.events[0].at_ms), (11, 11));
    let last = presence.events("t", total - 1, 5).await.unwrap();
    assert_eq!(last.events.iter().map(|event| event.at_ms).collect::<Vec<_>>(), [total as i64]);
}

pub async fn who_is_present_in_pages(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    if !kept(&*store) {
        return;
    }
    let presence = stream(&*store);
    for tenant in ["a", "bb", "c"] {
        let epoch = presence.take(tenant).await.unwrap();
        let users = ["ann", "bob", "carol", "dan"];
        presence.record(tenant, epoch, users.map(|user| change(user, Online, 1)).to_vec()).await;
        presence.record(tenant, epoch, vec![change("bob", Offline, 2), change("dan", Away, 2)]).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = presence.present(after, 5).await.unwrap();
        found.extend(page.users.into_iter().map(|((tenant, user), at)| (tenant, user, at.state)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected = Vec::new();
    // Shorter names of tenants come first.
    for tenant in ["a", "c", "bb"] {
        let users = [("ann", Online), ("carol", Online), ("dan", Away)];
        expected.extend(users.map(|(user, state)| (tenant.to_owned(), user.to_owned(), state)));
    }
    if fixture.is_shared() {
        // A cluster has an order of its own.
        found.sort_unstable();
        expected.sort_unstable();
    }
    assert_eq!(found, expected);
}

/// Any changes, recorded in batches by writers that take the log from each other.
pub async fn any_changes_give_what_the_model_says(fixture: &dyn Fixture) {
    let mut store = fixture.open().await;
    if !kept(&*store) {
        return;
    }
    // A small generator of its own: the same steps on every backend and in every run.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut model, mut log) = (BTreeMap::<String, PresenceState>::new(), Vec::new());
    let mut epochs = vec![stream(&*store).take("t").await.unwrap()];
    for step in 0..300i64 {
        match next(20) {
            0 => store = fixture.reopen(store).await,
            1 | 2 => epochs.push(stream(&*store).take("t").await.unwrap()),
            _ => {}
        }
        let states = [Offline, Away, Online];
        let changes: Vec<_> =
            (0..next(4)).map(|_| change(&format!("u{}", next(5)), states[next(3) as usize], step)).collect();
        let epoch = epochs[epochs.len() - 1 - next(2).min(epochs.len() as u64 - 1) as usize];
        match stream(&*store).record("t", epoch, changes.clone()).await {
            RecordOutcome::Applied { tip } => {
                assert_eq!(epochs.last(), Some(&epoch), "only the latest writer writes");
                for PresenceChange { user, state, at_ms } in changes {
                    let known = model.entry(user.clone()).or_default();
                    if std::mem::replace(known, state) != state {
                        log.push((log.len() as u64 + 1, user, state, at_ms));
                    }
                }
                assert_eq!(tip, log.len() as u64);
            }
            RecordOutcome::Conflict => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(log.len() > 50, "{} events", log.len());
    assert_eq!(texts(&*store, "t", 0).await, log);
}
