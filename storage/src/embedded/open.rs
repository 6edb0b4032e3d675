//! From a directory to an engine that is known to hold every acknowledged commit, or a typed refusal.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::EmbeddedConfig;
use super::engine::Engine;
use super::identity::{self, Identity};
use super::journal::{self, Journal};
use super::keys;
use super::listing;
use super::lock::{DirLock, LOCK_FILE};
use super::manifest;
use super::open_error::OpenError;
use super::rows::{Commit, Row};
use super::watermark::{self, WATERMARK_FILE, Watermark};

/// The engine's directory within the data directory.
const ENGINE_DIR: &str = "db";

/// An open store, before its writer runs.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) watermark: Watermark,
    pub(super) commit: Commit,
}

/// Opens or creates the store in `config.path`.
pub(super) fn open(config: &EmbeddedConfig) -> Result<Opened, OpenError> {
    let dir = config.path.as_path();
    fs::create_dir_all(dir).map_err(|error| OpenError::io(dir, error))?;
    let lock = Arc::new(DirLock::take(dir)?);
    let (identity, engine, last) = match Identity::read(dir)? {
        Some(identity) if identity.ready => reopen(config, lock, identity)?,
        Some(identity) => create(config, lock, identity)?,
        None => {
            refuse_strangers(dir)?;
            create(config, lock, Identity::new())?
        }
    };
    let commit = begin(&engine, &identity, last, dir)?;
    Identity { ready: true, synced: config.sync, ..identity }.write(dir)?;
    let watermark = Watermark::open(dir, identity.id).map_err(|error| OpenError::io(dir, error))?;
    watermark.record(commit.number).map_err(|error| OpenError::io(dir, error))?;
    Ok(Opened { engine, watermark, commit })
}

/// The first commit of this incarnation: its number is in every epoch it gives out.
fn begin(
    engine: &Engine,
    identity: &Identity,
    last: Option<Commit>,
    dir: &Path,
) -> Result<Commit, OpenError> {
    let (number, incarnation) = last.map_or((0, 0), |last| (last.number, last.incarnation));
    let commit = Commit { store: identity.id, number: number + 1, incarnation: incarnation + 1 };
    let mut rows = vec![(keys::commit(), Some(commit.encode().into()))];
    rows.extend(listing::begin(engine).map_err(|error| OpenError::corrupt(dir, error.to_string()))?);
    engine.commit(rows, true).map_err(|error| OpenError::engine(dir, error))?;
    Ok(commit)
}

type Found = (Identity, Engine, Option<Commit>);

/// Whatever lies in the engine's directory is from a creation that was cut short: nothing there was acknowledged.
fn create(config: &EmbeddedConfig, lock: Arc<DirLock>, identity: Identity) -> Result<Found, OpenError> {
    let dir = engine_dir(config);
    identity.write(&config.path)?;
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|error| OpenError::io(&dir, error))?;
    }
    fs::create_dir(&dir).map_err(|error| OpenError::io(&dir, error))?;
    identity::sync_directory(&config.path).map_err(|error| OpenError::io(&config.path, error))?;
    let engine = Engine::open(&dir, config, lock, true)?;
    Ok((identity, engine, None))
}

fn reopen(config: &EmbeddedConfig, lock: Arc<DirLock>, identity: Identity) -> Result<Found, OpenError> {
    let dir = engine_dir(config);
    let acknowledged = if identity.synced { watermark::read(&config.path, identity.id) } else { 0 };
    check_keyspaces(&dir)?;
    let journal = check_journals(&dir, &identity, acknowledged)?;
    let engine = Engine::open(&dir, config, lock, false)?;
    let commit: Option<Commit> =
        engine.row(&keys::commit()).map_err(|error| OpenError::corrupt(&dir, error.to_string()))?;
    let number = commit.map_or(0, |commit| commit.number);
    if number < acknowledged || journal.last.is_some_and(|last| number != last) || commit.is_none() {
        let expected = acknowledged.max(journal.last.unwrap_or(1));
        return Err(OpenError::corrupt(&dir, format!("commit {expected} is missing, the last is {number}")));
    }
    Ok((identity, engine, commit))
}

/// A directory without our file must be empty: we neither mix with nor delete what others put there.
fn refuse_strangers(dir: &Path) -> Result<(), OpenError> {
    for found in fs::read_dir(dir).map_err(|error| OpenError::io(dir, error))? {
        let found = found.map_err(|error| OpenError::io(dir, error))?.file_name();
        let name = found.to_string_lossy();
        if name == ENGINE_DIR || name == WATERMARK_FILE {
            return Err(OpenError::corrupt(&dir.join(identity::IDENTITY_FILE), "the file is missing"));
        }
        if name != LOCK_FILE && !identity::is_ours(&name) && name != "lost+found" {
            return Err(OpenError::NotAStore { path: dir.to_path_buf(), found: name.into_owned() });
        }
    }
    Ok(())
}

/// Every keyspace's manifest is whole; the engine's own keyspace is the one numbered 0.
fn check_keyspaces(dir: &Path) -> Result<(), OpenError> {
    for needed in [dir.join("version"), dir.join("keyspaces").join("0")] {
        if !needed.exists() {
            return Err(OpenError::corrupt(&needed, "it is missing"));
        }
    }
    let keyspaces = list(&dir.join("keyspaces"))?;
    keyspaces.iter().filter(|path| path.is_dir()).try_for_each(|path| manifest::check(path))
}

/// Every journal is read, oldest first; a torn tail of the last is cut off.
fn check_journals(dir: &Path, identity: &Identity, acknowledged: u64) -> Result<Journal, OpenError> {
    let files = journal_files(dir)?;
    let Some(newest) = files.last() else {
        return Err(OpenError::corrupt(dir, "there is no journal"));
    };
    let mut found = Journal::default();
    for (_, path) in &files {
        // One file at a time, of about 64 MiB; the memory goes back before the engine is opened.
        let bytes = fs::read(path).map_err(|error| OpenError::io(path, error))?;
        let sealed = path != &newest.1;
        match journal::scan(&bytes, &identity.id, found, sealed) {
            Ok(journal) => found = journal,
            Err(damage) if identity.synced || sealed => {
                return Err(OpenError::corrupt(path, damage.to_string()));
            }
            Err(damage) => {
                tracing::warn!(%damage, "commits that never waited for the disk are lost");
                (found.last, found.torn_at) = (None, Some(damage.at));
            }
        }
    }
    if found.last.is_some_and(|last| last < acknowledged) {
        let what = format!("commit {acknowledged} was acknowledged, the last whole one is {:?}", found.last);
        return Err(OpenError::corrupt(&newest.1, what));
    }
    if let Some(at) = found.torn_at {
        tracing::info!(file = %newest.1.display(), at, "cut a torn tail");
        cut(&newest.1, at)?;
    }
    Ok(found)
}

fn journal_files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".jnl")?.parse().ok();
    let mut files: Vec<_> = list(dir)?.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    files.sort();
    Ok(files)
}

/// The engine would cut most torn tails by itself, but takes a few kinds for an error.
fn cut(path: &Path, at: u64) -> Result<(), OpenError> {
    let cut = || -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(at)?;
        file.sync_all()
    };
    cut().map_err(|error| OpenError::io(path, error))
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let names = fs::read_dir(dir).and_then(|found| found.map(|entry| Ok(entry?.path())).collect());
    names.map_err(|error| OpenError::io(dir, error))
}

fn engine_dir(config: &EmbeddedConfig) -> PathBuf {
    config.path.join(ENGINE_DIR)
}
