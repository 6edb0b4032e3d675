//! The presence stream of a node: what it records, and what a restart makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use idgen::ManualClock;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::{self};
use storage::PresenceEvents as _;
use storage::presence::PresenceState::{self, Away, Offline, Online};
use support::*;

const START: i64 = 1_800_000_000_000;

/// The events of the tenant, once there are `count`.
async fn events(world: &World, count: usize) -> Vec<(String, PresenceState, i64)> {
    let found = async {
        loop {
            let page = world.node.presence_events(TENANT, 0, 1_000).await.unwrap();
            assert!(page.events.len() <= count, "{:?}", page.events);
            if page.events.len() == count {
                let seqs: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
                assert!(seqs.iter().copied().eq(1..=count as u64));
                assert!(page.events.is_sorted_by_key(|event| event.epoch));
                return page.events.into_iter().map(|event| (event.user, event.state, event.at_ms)).collect();
            }
            // The stream has no reader that is woken; it is polled.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the events come")
}

#[tokio::test]
async fn who_comes_and_goes_is_recorded_in_order() {
    let clock = Arc::new(ManualClock::new(START));
    let world = World::with_clock(clock.clone()).await;
    let mut at = world.connector(1);
    let phone = at.login("bob", "phone").await;
    events(&world, 1).await;
    at.login("bob", "tablet").await;
    at.detach(&phone);
    clock.advance(1_000);
    let carol = at.login("carol", "phone").await;
    events(&world, 2).await;
    at.ask(&carol, Ask::SetPresence(v1::SetPresence { away: true })).await;
    let expected = [("bob", Online, START), ("carol", Online, START + 1_000), ("carol", Away, START + 1_000)];
    let found = events(&world, 3).await;
    assert_eq!(found, expected.map(|(user, state, at)| (user.to_owned(), state, at)));
    assert!(world.node.presence_events("other", 0, 10).await.unwrap().events.is_empty());
}

#[tokio::test]
async fn nobody_is_a_ghost_after_a_restart() {
    let clock = Arc::new(ManualClock::new(START));
    let first = World::with_clock(clock.clone()).await;
    let mut at = first.connector(1);
    for user in ["ann", "bob", "carol"] {
        at.login(user, "phone").await;
    }
    events(&first, 3).await;
    // A node that ends without a word: what it had in memory is gone. It was last alive at its beat.
    clock.set(START + 60_000);
    let store = first.store.clone();
    store.beat(first.node.id().as_u64(), START + 50_000).await.unwrap();
    let second = World::over(store, clock.clone()).await;
    let mut at = second.connector(1);
    // Ann is back within the grace: nothing has happened to her.
    at.login("ann", "phone").await;
    let found = events(&second, 5).await;
    let gone = |user: &str| (user.to_owned(), Offline, START + 50_000);
    assert_eq!(found[3..], [gone("bob"), gone("carol")]);
    // And it is settled once.
    let ann = at.login("bob", "phone").await;
    assert_eq!(events(&second, 6).await[5].1, Online);
    at.detach(&ann);
    assert_eq!(events(&second, 7).await[6], ("bob".into(), Offline, START + 60_000));
}

#[tokio::test]
async fn a_drain_records_what_it_knows() {
    let world = World::new().await;
    let mut at = world.connector(1);
    for n in 0..50 {
        at.login(&format!("u{n:02}"), "phone").await;
    }
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    let page = world.node.presence_events(TENANT, 0, 1_000).await.unwrap();
    // Whom the teller had come to is in it, once each.
    let mut users: Vec<_> = page.events.iter().map(|event| event.user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    assert_eq!(users.len(), page.events.len());
    assert_eq!(world.node.metrics().presence_recorded, page.events.len() as u64);
}
