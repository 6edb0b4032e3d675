//! Lists over many periods, with people who leave and come back, are those of a model.

use std::collections::BTreeMap;

use protocol::v1::Role;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::directory::{Directory, Listing, Place};
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, Entry, EntryKind, Log, Users};
use crate::member::MemberRow;

/// What ann's list must say of a conversation.
struct Told {
    /// The commit of the latest entry that she may see.
    version: u64,
    ann: MemberRow,
}

struct World {
    store: EmbeddedStore,
    commits: u64,
    conversations: BTreeMap<String, Told>,
}

impl World {
    /// Opening the store is a commit, too.
    async fn open(config: &EmbeddedConfig, conversations: BTreeMap<String, Told>) -> World {
        let store = EmbeddedStore::open(config.clone()).unwrap();
        let listed = store.listed("t", "ann", Listing::Latest { before: None }, 1).await.unwrap();
        World { store, commits: listed.version, conversations }
    }

    async fn append(&mut self, name: &str, tell: impl FnOnce(u64, &mut MemberRow) -> bool) {
        let key = ConversationKey::new("t", name);
        let opened = Log::open(&self.store, &key).await.unwrap();
        self.commits += 1;
        let created = || Told { version: 0, ann: MemberRow::join("ann", Role::Member, 1) };
        let new = !self.conversations.contains_key(name);
        let told = self.conversations.entry(name.to_owned()).or_insert_with(created);
        let was_in = told.ann.is_active();
        let changed = tell(opened.tip + 1, &mut told.ann) || new;
        if was_in || told.ann.is_active() {
            told.version = self.commits;
        }
        let active: Vec<&str> = if told.ann.is_active() { vec!["ann", "ben"] } else { vec!["ben"] };
        let append = Append {
            key,
            epoch: opened.epoch,
            expected_tip: opened.tip,
            batch: [1; 16],
            at_ms: 0,
            entries: vec![Entry::new("x".into(), "ben", EntryKind::Shown, None)],
            members: if changed { vec![told.ann.clone()] } else { Vec::new() },
            active: active.into_iter().map(Into::into).collect::<Users>(),
            info: None,
        };
        assert_eq!(self.store.append(append).await, AppendOutcome::Applied);
    }

    async fn step(&mut self, random: &mut SmallRng) {
        let name = format!("{:02}", random.random_range(0..14_u32).min(random.random_range(0..14)));
        match random.random_range(0..10) {
            0 => {
                self.append(&name, |seq, ann| {
                    if ann.is_active() {
                        ann.leave(seq)
                    } else {
                        ann.rejoin(Role::Member, seq)
                    }
                    true
                })
                .await;
            }
            _ => self.append(&name, |_, _| false).await,
        }
    }

    /// All parts of a list, and the version they say.
    async fn listed(&self, mut listing: Listing, limit: usize) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        loop {
            let latest = matches!(listing, Listing::Latest { .. });
            let part = self.store.listed("t", "ann", listing, limit).await.unwrap();
            assert_eq!(part.version, self.commits);
            found.extend(part.rows.into_iter().map(|(place, _)| (place.version, place.conversation)));
            let Some(next) = part.next else { return found };
            listing = if latest {
                Listing::Latest { before: Some(next) }
            } else {
                Listing::Changed { after: next }
            };
        }
    }

    async fn check(&self, random: &mut SmallRng) {
        let rows = self.conversations.iter().map(|(name, told)| (told.version, name.clone()));
        let mut expected: Vec<(u64, String)> = rows.collect();
        expected.sort_unstable();
        let since = self.commits - random.random_range(0..self.commits.min(700));
        let after = Place { version: since + 1, conversation: String::new() };
        let changed: Vec<_> = expected.iter().filter(|(version, _)| *version > since).cloned().collect();
        for limit in [1, 3, 100] {
            let listing = Listing::Changed { after: after.clone() };
            assert_eq!(self.listed(listing, limit).await, changed, "{since} of {}", self.commits);
        }
        expected.reverse();
        for limit in [1, 3, 100] {
            assert_eq!(self.listed(Listing::Latest { before: None }, limit).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_over_many_periods_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { sync: false, ..EmbeddedConfig::new(dir.path()) };
    let mut random = SmallRng::seed_from_u64(7);
    let mut world = World::open(&config, BTreeMap::new()).await;
    for step in 1..=2_000 {
        world.step(&mut random).await;
        if step % 41 == 0 {
            world.check(&mut random).await;
        }
        if step % 450 == 0 {
            world.store.close().await;
            drop(world.store);
            world = World::open(&config, world.conversations).await;
            world.check(&mut random).await;
        }
    }
}
