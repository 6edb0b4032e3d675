//! One process at a time, by a lock on a file of our own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::open_error::OpenError;

pub(super) const LOCK_FILE: &str = "LOCK";
/// More than a process number needs.
const MAX_PID_BYTES: u64 = 16;

/// Holds the data directory. The system lets go when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DirLock(#[expect(dead_code, reason = "held, not used")] File);

impl DirLock {
    /// Takes `dir`, which must exist, and writes the process number for whoever comes second.
    pub(super) fn take(dir: &Path) -> Result<DirLock, OpenError> {
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| OpenError::io(dir, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { path: dir.to_path_buf(), pid: read_pid(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::io(&path, error)),
        }
        write_pid(&mut file).map_err(|error| OpenError::io(dir, error))?;
        Ok(DirLock(file))
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::take(dir.path()).unwrap();
        match DirLock::take(dir.path()) {
            Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        DirLock::take(dir.path()).unwrap();
    }
}
