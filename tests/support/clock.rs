//! A wall clock that is wrong: a small library loaded in front of the program's C library (`clock.c`).

use std::path::Path;

use tempfile::TempDir;

use super::preload;
use super::process::Gateway;

/// A gateway's clock; its library goes with it.
pub struct WrongClock {
    _directory: TempDir,
}

impl WrongClock {
    /// Sets the clock of a gateway that has not started so many seconds ahead.
    pub fn under(gateway: &mut Gateway, ahead_s: i64) -> WrongClock {
        let directory = TempDir::with_prefix("whimbrel-clock-").unwrap();
        let library = preload::build(directory.path(), "clock", include_str!("clock.c"));
        gateway.set_env("LD_PRELOAD", &library);
        gateway.set_env("WHIMBREL_CLOCK_AHEAD", Path::new(&ahead_s.to_string()));
        WrongClock { _directory: directory }
    }
}
