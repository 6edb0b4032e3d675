//! Copies between two directories.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::check::{self, Scope};
use crate::contract::sample::{Act, Item, Picture, Sample, picture};
use crate::cql::fake::FakeTables;
use crate::cql::{CqlConfig, CqlStore, Format};
use crate::log::{Append, AppendOutcome, Entry, EntryKind, Log};
use crate::{ConversationKey, EmbeddedConfig, EmbeddedStore};

const TENANT: &str = "tenant";

/// Any tenant.
pub(crate) fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    let item = prop_oneof![
        6 => (0u16..2_000, prop::bool::weighted(0.2)).prop_map(|(bytes, hidden)| Item::Say { bytes, hidden }),
        1 => Just(Item::Bot),
        2 => any::<u8>().prop_map(|back| Item::Edit { back }),
        1 => any::<u8>().prop_map(|back| Item::Recall { back }),
        3 => any::<(u8, bool)>().prop_map(|(user, with_history)| Item::Join { user, with_history }),
        1 => any::<u8>().prop_map(|user| Item::Leave { user }),
        2 => (0u8..20).prop_map(|back| Item::Read { back }),
    ];
    let act = (any::<u8>(), any::<u8>(), prop::collection::vec(item, 0..12));
    prop::collection::vec(act.prop_map(|(room, user, items)| Act { room, user, items }), 0..most)
}

struct Two {
    _dirs: [TempDir; 2],
    source: EmbeddedStore,
    target: EmbeddedStore,
}

impl Two {
    fn new() -> Two {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let open = |dir: &TempDir| {
            EmbeddedStore::open(EmbeddedConfig { sync: false, ..EmbeddedConfig::new(dir.path()) }).unwrap()
        };
        Two { source: open(&dirs[0]), target: open(&dirs[1]), _dirs: dirs }
    }

    async fn copy(&self) -> Result<Copied, CopyError> {
        copied(&self.source, &self.target).await
    }

    async fn pictures(&self) -> (Picture, Picture) {
        (picture(&self.source, TENANT).await, picture(&self.target, TENANT).await)
    }
}

/// Copies; nothing must be found in the copy.
async fn copied(source: &dyn Store, target: &dyn Store) -> Result<Copied, CopyError> {
    let mut findings = Vec::new();
    let mut tell = |news| {
        if let News::Found(finding) = news {
            findings.push(finding.to_string());
        }
    };
    let copied = copy(source, target, TENANT, &mut tell).await;
    assert!(findings.is_empty(), "{findings:?}");
    copied
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Polls a future so often, and drops it.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_copy_is_what_it_is_a_copy_of(acts in acts(60)) {
        block_on(async {
            let stores = Two::new();
            Sample::new(&stores.source, TENANT).write(&acts).await;
            let copied = stores.copy().await.unwrap();
            let (source, target) = stores.pictures().await;
            prop_assert_eq!(&target, &source);
            prop_assert_eq!(copied.appended, copied.entries);
            // Again: nothing is left to do.
            let again = stores.copy().await.unwrap();
            prop_assert_eq!(again, Copied { appended: 0, ..copied });
            prop_assert_eq!(copied.conversations as usize, source.rooms.len());
            Ok(())
        })?;
    }

    #[test]
    fn a_copy_that_was_interrupted_is_taken_up(
        acts in acts(40),
        polls in prop::collection::vec(0usize..120, 1..8),
    ) {
        block_on(async {
            let stores = Two::new();
            let (first, second) = acts.split_at(acts.len() / 2);
            let mut sample = Sample::new(&stores.source, TENANT);
            sample.write(first).await;
            for polls in &polls {
                dropped_after(*polls, stores.copy()).await;
            }
            // The source goes on in between; its owner opens the logs again.
            let mut sample = sample.reopened().await;
            sample.write(second).await;
            for polls in &polls {
                dropped_after(*polls, stores.copy()).await;
            }
            stores.copy().await.unwrap();
            let (source, target) = stores.pictures().await;
            prop_assert_eq!(target, source);
            Ok(())
        })?;
    }

    /// By way of tables in memory, which are checked too.
    #[test]
    fn to_cql_and_back(acts in acts(40)) {
        block_on(async {
            let stores = Two::new();
            let tables = FakeTables::new(1);
            let format = Format { bucket_seqs: 130, period_us: 5_000, ..Format::default() };
            let config = CqlConfig { overlap: Duration::ZERO, format, ..CqlConfig::default() };
            let between = CqlStore::new(Arc::new(tables), config);
            Sample::new(&stores.source, TENANT).write(&acts).await;
            copied(&stores.source, &between).await.unwrap();
            prop_assert_eq!(picture(&between, TENANT).await, picture(&stores.source, TENANT).await);
            copied(&between, &stores.target).await.unwrap();
            let (source, target) = stores.pictures().await;
            prop_assert_eq!(target, source);
            Ok(())
        })?;
    }

    #[test]
    fn what_gateways_write_has_no_findings(acts in acts(60)) {
        block_on(async {
            let stores = Two::new();
            Sample::new(&stores.source, TENANT).write(&acts).await;
            let mut found = Vec::new();
            let scope = Scope::all();
            let mut tell = |news| {
                if let check::News::Found(finding) = news {
                    found.push(finding.to_string());
                }
            };
            let checked = check::check(&stores.source, &scope, &mut tell).await.unwrap();
            prop_assert!(found.is_empty(), "{:?}", found);
            let size = check::size(&stores.source, &scope).await.unwrap();
            prop_assert_eq!((checked.conversations, checked.entries), size);
            Ok(())
        })?;
    }
}

fn say(room: u8, user: u8, count: usize) -> Act {
    Act { room, user, items: vec![Item::Say { bytes: 10, hidden: false }; count] }
}

fn room(number: u8) -> ConversationKey {
    ConversationKey::new(TENANT, format!("room {number}"))
}

/// Longer than a window of slots and than one append, which ends by bytes as well as by count.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_goes_in_appends_of_bounded_size() {
    let stores = Two::new();
    let mut acts: Vec<Act> = (0..5).map(|_| say(0, 1, 100)).collect();
    acts.push(Act { items: vec![Item::Say { bytes: 30_000, hidden: false }; 8], ..say(0, 1, 0) });
    Sample::new(&stores.source, TENANT).write(&acts).await;
    let copied = stores.copy().await.unwrap();
    let (source, target) = stores.pictures().await;
    assert!(source == target);
    assert_eq!((copied.conversations, copied.entries, source.rooms[0].slots.len()), (1, 509, 128));
    let stats = stores.target.stats();
    assert_eq!((stats.entries, stats.appends), (509, 3 + 1 + 4), "128 entries or 64 KiB each");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_conversation_is_never_overwritten() {
    let stores = Two::new();
    Sample::new(&stores.source, TENANT).write(&[say(0, 1, 3)]).await;
    Sample::new(&stores.target, TENANT).write(&[say(0, 1, 1), say(0, 1, 1)]).await;
    let before = picture(&stores.target, TENANT).await;
    assert_eq!(stores.copy().await, Err(CopyError::Differs { key: room(0), seq: 3 }), "of another time");
    assert!(picture(&stores.target, TENANT).await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_went_on_is_refused() {
    let stores = Two::new();
    Sample::new(&stores.source, TENANT).write(&[say(0, 1, 3)]).await;
    stores.copy().await.unwrap();
    let opened = Log::open(&stores.target, &room(0)).await.unwrap();
    let append = Append {
        key: room(0),
        epoch: opened.epoch,
        expected_tip: opened.tip,
        batch: [7; 16],
        at_ms: 1,
        entries: vec![Entry::new("x".into(), "", EntryKind::Shown, None)],
        members: Vec::new(),
        active: Default::default(),
        info: None,
    };
    assert_eq!(stores.target.append(append).await, AppendOutcome::Applied);
    let ahead = CopyError::Ahead { key: room(0), source_tip: 4, target: 5 };
    assert_eq!(stores.copy().await, Err(ahead));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_another_id_is_refused() {
    use crate::Directory;
    use crate::directory::DeviceKey;
    use idgen::DeviceId;
    let stores = Two::new();
    Sample::new(&stores.source, TENANT).write(&[]).await;
    let key = DeviceKey {
        tenant: TENANT.into(),
        user: "user 0".into(),
        device_type: 1,
        installation: "phone".into(),
    };
    let other = DeviceId::from_u64(crate::contract::sample::device(200)).unwrap();
    stores.target.device(&key, Some(other)).await.unwrap();
    assert!(matches!(stores.copy().await, Err(CopyError::Device { theirs, .. }) if theirs == other));
}

/// An owner that goes on while its log is copied is cut off, and whoever opens the log again is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_on_is_noticed() {
    let stores = Two::new();
    let mut sample = Sample::new(&stores.source, TENANT);
    sample.write(&[say(0, 1, 3)]).await;
    let held = crate::inventory::Held { key: room(0), tip: 4, tip_at_ms: 1_005 };
    let pair = conversation::Stores { source: &stores.source, target: &stores.target };
    conversation::copy(pair, &held, &mut Copied::default(), &mut |_| ()).await.unwrap();
    sample.reopened().await.write(&[say(0, 1, 1)]).await;
    let verified = verify::verify(pair, TENANT, &mut |_| ()).await;
    assert_eq!(verified, Err(CopyError::Moved { key: room(0), tip: 5 }));
}
