//! Why a store does not open.

use std::io;
use std::path::{Path, PathBuf};

/// A store that did not open. Nothing was changed on disk, and each message is one line for an operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} is in use by {}; only one process may hold it", path.display(), holder(*pid))]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("the data directory {} cannot be written: {source}; check the disk, the mount and the owner", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} holds {found:?} and is not a data directory; name an empty or a new directory", path.display())]
    NotAStore { path: PathBuf, found: String },
    #[error("the data directory {} has format {found}, this version knows up to {known}; run the newer version", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("the data is corrupt: {}: {what}; nothing was changed: restore the directory from a backup", path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl OpenError {
    /// What an I/O error at `path` means to whoever wants to write there.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => Self::NotWritable { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// What an error of the engine means at an open.
    pub(super) fn engine(path: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked { path: path.to_path_buf(), pid: None },
            fjall::Error::Io(error) if !is_damage(&error) => Self::io(path, error),
            fjall::Error::Storage(fjall::LsmError::Io(error)) if !is_damage(&error) => Self::io(path, error),
            error => Self::corrupt(path, error.to_string()),
        }
    }

    pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), what: what.into() }
    }
}

/// I/O errors that say that a file is not what it was, rather than that the disk refuses.
pub(super) fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotFound
            | io::ErrorKind::Other
    )
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: io::ErrorKind) -> String {
        OpenError::io(Path::new("/data"), kind.into()).to_string()
    }

    #[test]
    fn a_disk_that_refuses_is_named() {
        for kind in
            [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::StorageFull]
        {
            let error = OpenError::io(Path::new("/data"), kind.into());
            assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
            assert!(said(kind).starts_with("the data directory /data cannot be written: "), "{error}");
        }
        assert!(matches!(
            OpenError::io(Path::new("/data"), io::ErrorKind::TimedOut.into()),
            OpenError::Io { .. }
        ));
    }

    #[test]
    fn every_message_is_one_line() {
        let path = PathBuf::from("/data");
        for error in [
            OpenError::Locked { path: path.clone(), pid: Some(7) },
            OpenError::NotAStore { path: path.clone(), found: "notes.txt".into() },
            OpenError::Newer { path: path.clone(), found: 2, known: 1 },
            OpenError::corrupt(&path, "bad"),
        ] {
            assert!(!error.to_string().contains('\n'));
            assert!(error.to_string().contains("/data"));
        }
    }
}
