//! A wall clock that is wrong and steps: a small library loaded in front of the program's C library (`clock.c`).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use tempfile::TempDir;

use super::preload;
use super::process::Gateway;

/// A gateway's clock; its library goes with it.
pub struct WrongClock {
    _directory: TempDir,
    /// By how many seconds it is ahead. The gateway has it mapped, so it must not be replaced.
    ahead: File,
}

impl WrongClock {
    /// Sets the clock of a gateway that has not started so many seconds ahead.
    pub fn under(gateway: &mut Gateway, ahead_s: i64) -> WrongClock {
        let directory = TempDir::with_prefix("whimbrel-clock-").unwrap();
        let library = preload::build(directory.path(), "clock", include_str!("clock.c"));
        let path = directory.path().join("ahead");
        let clock = WrongClock { ahead: File::create(&path).unwrap(), _directory: directory };
        clock.step(ahead_s);
        gateway.set_env("LD_PRELOAD", &library);
        gateway.set_env("WHIMBREL_CLOCK_AHEAD", &path);
        clock
    }

    /// Steps the clock, of a running gateway too, to so many seconds ahead.
    pub fn step(&self, ahead_s: i64) {
        self.ahead.write_all_at(&ahead_s.to_ne_bytes(), 0).unwrap();
    }
}
