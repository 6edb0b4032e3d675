//! Holds a keyspace's manifest against the checksum that the engine writes beside it and does not read.
//!
//! The engine trusts the counts in a manifest so far that a flipped bit ends the process for want of memory. A
//! keyspace without its `current` file it takes for one that was never finished, and deletes.

use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::open_error::OpenError;

/// Names the manifest in force: its number (`u64`), its XXH3 checksum (`u128`) and a zero, little endian.
const CURRENT_FILE: &str = "current";

/// Checks the keyspace in `dir`.
pub(super) fn check(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(CURRENT_FILE);
    let current = read(&path)?;
    let Some((number, checksum)) = parse(&current) else {
        return Err(OpenError::corrupt(&path, "it does not parse"));
    };
    let path = dir.join(format!("v{number}"));
    if xxh3_128(&read(&path)?) != checksum {
        return Err(OpenError::corrupt(&path, "its checksum does not match"));
    }
    Ok(())
}

fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = current.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then_some((u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => OpenError::corrupt(path, "the file is missing"),
        _ => OpenError::io(path, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_must_match_its_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let current = [&3u64.to_le_bytes()[..], &xxh3_128(b"manifest").to_le_bytes(), &[0]].concat();
        fs::write(dir.path().join(CURRENT_FILE), &current).unwrap();
        assert!(check(dir.path()).unwrap_err().to_string().contains("v3: the file is missing"));
        fs::write(dir.path().join("v3"), b"manifest").unwrap();
        check(dir.path()).unwrap();
        fs::write(dir.path().join("v3"), b"mAnifest").unwrap();
        assert!(matches!(check(dir.path()), Err(OpenError::Corrupt { .. })));
        for length in 0..current.len() {
            fs::write(dir.path().join(CURRENT_FILE), &current[..length]).unwrap();
            assert!(matches!(check(dir.path()), Err(OpenError::Corrupt { .. })), "{length}");
        }
    }
}
