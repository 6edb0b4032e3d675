//! The servers' program files.

use std::path::{Path, PathBuf};

use crate::error::ServerError;

/// Where `./test servers` puts them.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers");

/// The directory of the jar files.
pub fn jars() -> Result<PathBuf, ServerError> {
    let directory = Path::new(DIRECTORY);
    // Written when everything is there.
    if !directory.join("fetched").exists() {
        return Err(ServerError::NotFetched);
    }
    Ok(directory.canonicalize()?.join("lib"))
}

/// The jar file whose name begins so.
pub fn jar(beginning: &str) -> Result<PathBuf, ServerError> {
    let entries = std::fs::read_dir(jars()?)?.filter_map(Result::ok);
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
    found.next().map(|entry| entry.path()).ok_or(ServerError::NotFetched)
}
