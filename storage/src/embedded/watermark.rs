//! The number of the latest acknowledged commit, kept outside the engine's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::identity::StoreId;

pub(super) const WATERMARK_FILE: &str = "COMMITTED";

/// Written after every commit and before its answers, without a sync of its own: it never runs ahead of what is on
/// disk. After a crash of the process it is exact; after a power loss it may lag by what the system had not yet
/// written back.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    seed: u64,
}

impl Watermark {
    pub(super) fn open(dir: &Path, id: StoreId) -> io::Result<Watermark> {
        let path = dir.join(WATERMARK_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        Ok(Watermark { file, seed: seed(id) })
    }

    pub(super) fn record(&self, commit: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(commit, self.seed), 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The commit recorded last. A missing or damaged file is no loss of data: it reads as 0, which asks nothing.
pub(super) fn read(dir: &Path, id: StoreId) -> u64 {
    let bytes = fs::read(dir.join(WATERMARK_FILE)).unwrap_or_default();
    let commit = bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    if bytes == encode(commit, seed(id)) {
        return commit;
    }
    tracing::warn!(
        file = WATERMARK_FILE,
        "damaged or missing; lost commits at the journal's end go unnoticed"
    );
    0
}

fn encode(commit: u64, seed: u64) -> [u8; 16] {
    let commit = commit.to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&commit);
    bytes[8..].copy_from_slice(&xxh3_64_with_seed(&commit, seed).to_be_bytes());
    bytes
}

fn seed(id: StoreId) -> u64 {
    xxh3_64_with_seed(&id, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_read_back_and_damage_asks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let id = [7; 16];
        assert_eq!(read(dir.path(), id), 0);
        let watermark = Watermark::open(dir.path(), id).unwrap();
        watermark.record(41).unwrap();
        watermark.record(42).unwrap();
        assert_eq!(read(dir.path(), id), 42);
        assert_eq!(read(dir.path(), [8; 16]), 0, "of another store");
        fs::write(dir.path().join(WATERMARK_FILE), [9; 16]).unwrap();
        assert_eq!(read(dir.path(), id), 0);
    }
}
