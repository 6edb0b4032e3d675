//! Damaged files: a torn tail is cut in silence, everything else is a typed error, and no message is missing in
//! silence.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use std::fs;
use std::path::Path;

use support::{append, check, copy, files, fill, journals, key, tight, written};
use whimbrel_storage::log::{AppendOutcome, Log, ReadRange};
use whimbrel_storage::{EmbeddedConfig, EmbeddedStore, OpenError, StoreError};

const TIP: u64 = 60;
/// Bytes tried in each file, beside the first and the last ones.
const FLIPS: usize = 6;

/// A closed store with tables and a journal, without the zeros at the journal's end.
async fn sound() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(tight(dir.path())).unwrap();
    fill(&store, TIP).await;
    store.close().await;
    drop(store);
    for journal in journals(dir.path()) {
        fs::write(&journal, written(&journal)).unwrap();
    }
    dir
}

/// What became of a damaged copy.
#[derive(Debug, PartialEq)]
enum Found {
    Whole,
    NotOpened,
    NotRead,
}

async fn look(dir: &Path) -> Found {
    let store = match EmbeddedStore::open(tight(dir)) {
        Ok(store) => store,
        Err(OpenError::Corrupt { .. } | OpenError::Newer { .. } | OpenError::NotAStore { .. }) => {
            return Found::NotOpened;
        }
        Err(other) => panic!("{other}"),
    };
    match check(&store, TIP).await {
        Ok(()) => Found::Whole,
        Err(StoreError::Corrupt(_)) => Found::NotRead,
        Err(other) => panic!("{other}"),
    }
}

/// Applies `damage` to a file of a copy and looks at that.
async fn damaged(sound: &Path, file: &Path, damage: impl FnOnce(&Path)) -> Found {
    let dir = tempfile::tempdir().unwrap();
    copy(sound, dir.path());
    damage(&dir.path().join(file.strip_prefix(sound).unwrap()));
    look(dir.path()).await
}

/// Where to flip: both ends and places in between.
fn places(length: usize) -> Vec<usize> {
    let ends = (0..length.min(3)).chain(length.saturating_sub(3)..length);
    let mut places: Vec<usize> = ends.chain((1..FLIPS).map(|part| length * part / FLIPS)).collect();
    places.sort_unstable();
    places.dedup();
    places.retain(|&at| at < length);
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_any_file_is_harmless_or_named() {
    let sound = sound().await;
    let (mut whole, mut named) = (0, 0);
    for file in files(sound.path()) {
        for at in places(fs::metadata(&file).unwrap().len() as usize) {
            let flip = |path: &Path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[at] ^= 0x55;
                fs::write(path, bytes).unwrap();
            };
            let found = damaged(sound.path(), &file, flip).await;
            let count = if found == Found::Whole { &mut whole } else { &mut named };
            *count += 1;
            let in_journal = file.extension().is_some_and(|name| name == "jnl");
            assert!(!in_journal || found == Found::NotOpened, "{} at {at}: {found:?}", file.display());
        }
    }
    assert!(named > 60 && whole > 0, "{named} named, {whole} harmless");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_cut_file_is_harmless_or_named() {
    let sound = sound().await;
    for file in files(sound.path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let missing = damaged(sound.path(), &file, |path| fs::remove_file(path).unwrap()).await;
        let cut = damaged(sound.path(), &file, |path| {
            let length = fs::metadata(path).unwrap().len();
            fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
        });
        let cut = cut.await;
        if name.ends_with(".jnl") || name == "current" || name == "STORE" {
            assert_eq!(missing, Found::NotOpened, "{}", file.display());
        }
        assert!(!name.ends_with(".jnl") || cut == Found::NotOpened, "{}", file.display());
    }
}

/// The last commit cut at any byte. It was never acknowledged, as far as the watermark of the time before it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_appends_go_on() {
    let dir = sound().await;
    let whole = written(&journals(dir.path())[0]);
    let store = EmbeddedStore::open(tight(dir.path())).unwrap();
    drop(store);
    let watermark = fs::read(dir.path().join("COMMITTED")).unwrap();
    let store = EmbeddedStore::open(tight(dir.path())).unwrap();
    drop(store);
    let longer = written(&journals(dir.path())[0]);
    let length = longer.len();
    assert!(length > whole.len());
    fs::write(dir.path().join("COMMITTED"), watermark).unwrap();

    for cut in [1, 2, 5, 11, 17, 30] {
        let torn = tempfile::tempdir().unwrap();
        copy(dir.path(), torn.path());
        // The tail lacks its end, and garbage follows as a disk may leave it.
        let bytes = [&longer[..length - cut], &[0xA5; 7]].concat();
        fs::write(&journals(torn.path())[0], bytes).unwrap();
        let store = EmbeddedStore::open(tight(torn.path())).unwrap();
        check(&store, TIP).await.unwrap();
        fill(&store, TIP + 7).await;
        drop(store);
        check(&EmbeddedStore::open(tight(torn.path())).unwrap(), TIP + 7).await.unwrap();
    }
}

/// The same cut, where the watermark says that the commit was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_commit_that_is_cut_off_is_named_at_every_open() {
    let dir = sound().await;
    let journal = &journals(dir.path())[0];
    let bytes = fs::read(journal).unwrap();
    fs::write(journal, &bytes[..bytes.len() - 1]).unwrap();
    for _ in 0..2 {
        let error = EmbeddedStore::open(tight(dir.path())).err().unwrap();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert_eq!(fs::read(journal).unwrap(), bytes[..bytes.len() - 1], "nothing was changed");
    }
    fs::write(journal, bytes).unwrap();
    assert_eq!(look(dir.path()).await, Found::Whole);
}

/// More than one journal file: the older ones must be whole, and none may be missing.
#[tokio::test(flavor = "multi_thread")]
async fn sealed_journals_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    // Only entries fill their memtable: the other keyspaces hold the sealed journals back.
    let config = EmbeddedConfig { memtable_bytes: 8 << 20, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(config.clone()).unwrap();
    let opened = Log::open(&store, &key(0)).await.unwrap();
    let mut tip = 0;
    while journals(dir.path()).len() < 2 {
        let mut append = append(0, opened.epoch, tip, 100);
        append.entries.iter_mut().for_each(|entry| entry.payload = vec![7; 32 << 10].into());
        assert_eq!(store.append(append).await, AppendOutcome::Applied);
        tip += 100;
    }
    drop(store);
    let sealed = journals(dir.path()).remove(0);
    let mut bytes = fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&sealed, &bytes).unwrap();
    let error = EmbeddedStore::open(config.clone()).err().unwrap().to_string();
    assert!(error.contains(".jnl: damaged at byte"), "{error}");
    bytes[middle] ^= 1;
    fs::write(&sealed, &bytes).unwrap();
    let store = EmbeddedStore::open(config).unwrap();
    let last = ReadRange { first: tip - 5, max_entries: 100, ..support::all() };
    assert_eq!(store.read(&key(0), last).await.unwrap().len(), 6);
}
