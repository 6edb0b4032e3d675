//! The file that says what a data directory is: read before the engine touches anything.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::open_error::OpenError;

pub(super) const IDENTITY_FILE: &str = "STORE";
const TEMPORARY_FILE: &str = "STORE.new";
/// The format this version writes, and the highest it reads. Each has longer rows than the one before, and reads those
/// of all before it.
pub(super) const FORMAT: u32 = 3;
const TITLE: &str = "whimbrel store";

/// A secret of this store: marks its commits in the journal, so that nobody can forge one inside a payload.
pub(super) type StoreId = [u8; 16];

/// What is known of a data directory before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: StoreId,
    /// False until the first commit is on disk: whatever lies there before was never acknowledged.
    pub(super) ready: bool,
    /// Whether all commits since the last open waited for the disk; if not, a lost tail is no damage.
    pub(super) synced: bool,
}

impl Identity {
    pub(super) fn new() -> Self {
        Self { id: rand::random(), ready: false, synced: true }
    }

    /// `None` if the directory has no such file.
    pub(super) fn read(dir: &Path) -> Result<Option<Identity>, OpenError> {
        let path = dir.join(IDENTITY_FILE);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io(&path, error)),
        };
        let damaged = || OpenError::corrupt(&path, "the file that identifies the store does not parse");
        let format: u32 = field(&text, "format ").and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
        if format > FORMAT && text.starts_with(TITLE) {
            return Err(OpenError::Newer { path: dir.to_path_buf(), found: format, known: FORMAT });
        }
        Self::parse(&text, format).map(Some).ok_or_else(damaged)
    }

    /// Replaces the file as a whole; on disk when it returns.
    pub(super) fn write(&self, dir: &Path) -> Result<(), OpenError> {
        let store = || -> io::Result<()> {
            let mut file = File::create(dir.join(TEMPORARY_FILE))?;
            file.write_all(self.text(FORMAT).as_bytes())?;
            file.sync_all()?;
            fs::rename(dir.join(TEMPORARY_FILE), dir.join(IDENTITY_FILE))?;
            sync_directory(dir)
        };
        store().map_err(|error| OpenError::io(dir, error))
    }

    fn body(&self, format: u32) -> String {
        format!(
            "{TITLE}\nformat {format}\nid {:032x}\nready {}\nsynced {}\n",
            u128::from_be_bytes(self.id),
            self.ready,
            self.synced
        )
    }

    fn text(&self, format: u32) -> String {
        let body = self.body(format);
        format!("{body}check {:016x}\n", xxh3_64(body.as_bytes()))
    }

    fn parse(text: &str, format: u32) -> Option<Identity> {
        let identity = Identity {
            id: u128::from_str_radix(field(text, "id ")?, 16).ok()?.to_be_bytes(),
            ready: field(text, "ready ")?.parse().ok()?,
            synced: field(text, "synced ")?.parse().ok()?,
        };
        (identity.text(format) == text).then_some(identity)
    }
}

/// True for the files this module leaves in the data directory.
pub(super) fn is_ours(name: &str) -> bool {
    name == IDENTITY_FILE || name == TEMPORARY_FILE
}

/// A new, renamed or removed name lasts once its directory is synced.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_no_flipped_bit() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::read(dir.path()).unwrap().is_none());
        let identity = Identity { ready: true, ..Identity::new() };
        identity.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity));

        let path = dir.path().join(IDENTITY_FILE);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(Identity::read(dir.path()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let newer = FORMAT + 1;
        let text = format!("whimbrel store\nformat {newer}\nwhatever\n");
        fs::write(dir.path().join(IDENTITY_FILE), text).unwrap();
        match Identity::read(dir.path()) {
            Err(OpenError::Newer { found, known: FORMAT, .. }) if found == newer => {}
            other => panic!("{other:?}"),
        }
    }
}
