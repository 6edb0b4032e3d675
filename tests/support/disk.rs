//! A disk that misbehaves on command: a small library loaded in front of the program's C library (`disk.c`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::preload;
use super::process::Gateway;

/// What the disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Works,
    /// Syncs of a journal do not come back.
    Stalls,
    /// The next sync of a journal fails, once.
    FailsOneSync,
    /// Writes fail for want of room.
    Full,
}

/// One sync of a journal, as the library saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// `synced`, `stalled`, `failed`, or `after` a failure.
    pub what: String,
    /// Everything before it had been written to the file.
    pub offset: u64,
    pub journal: PathBuf,
}

/// The control over a gateway's disk.
pub struct Disk {
    directory: TempDir,
}

impl Disk {
    /// Puts the library in front of a gateway that has not started. Needs `cc`.
    pub fn under(gateway: &mut Gateway) -> Disk {
        let disk = Disk { directory: TempDir::with_prefix("whimbrel-disk-").unwrap() };
        let library = preload::build(disk.directory.path(), "disk", include_str!("disk.c"));
        fs::write(disk.path("control"), "o").unwrap();
        gateway.set_env("LD_PRELOAD", &library);
        gateway.set_env("WHIMBREL_DISK_CONTROL", &disk.path("control"));
        gateway.set_env("WHIMBREL_DISK_LOG", &disk.path("log"));
        disk
    }

    pub fn set(&self, mode: Mode) {
        let letter = match mode {
            Mode::Works => "o",
            Mode::Stalls => "s",
            Mode::FailsOneSync => "e",
            Mode::Full => "f",
        };
        // A reader sees the old letter or the new one, never none.
        fs::write(self.path("next"), letter).unwrap();
        fs::rename(self.path("next"), self.path("control")).unwrap();
    }

    /// Every sync of a journal so far.
    pub fn syncs(&self) -> Vec<Synced> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let parse = |line: &str| {
            let (what, rest) = line.split_once(' ')?;
            let (offset, journal) = rest.split_once(' ')?;
            Some(Synced { what: what.into(), offset: offset.parse().ok()?, journal: journal.into() })
        };
        log.lines().filter_map(parse).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A small file system of its own, unmounted when it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one on an empty directory; `Err` says why that is not possible here.
    pub fn mount(directory: &Path, mebibytes: u32) -> Result<SmallDisk, String> {
        mount(&format!("size={mebibytes}m"), directory).map(|()| SmallDisk(directory.into()))
    }

    /// Takes all the room that is left, as somebody else's file does.
    #[allow(dead_code, reason = "not every test has such a neighbour")]
    pub fn fill(&self) -> io::Result<()> {
        let mut neighbour = File::options().create(true).append(true).open(self.0.join("neighbour"))?;
        loop {
            match neighbour.write_all(&[1; 4_096]) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                written => written?,
            }
        }
    }

    /// Gives it more room.
    pub fn grow(&self, mebibytes: u32) {
        mount(&format!("remount,size={mebibytes}m"), &self.0).expect("it is mounted");
    }
}

fn mount(options: &str, directory: &Path) -> Result<(), String> {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory);
    let output = command.output().map_err(|error| format!("mount: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have it open.
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
