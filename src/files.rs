//! File descriptors: as many as the system allows, and enough of them kept for what is no connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the store's tables and journals, listeners and timers: a store that cannot open a file takes no more
/// writes. Where there are few, half of them.
const RESERVE: usize = 1_024;

/// How many connections there may be. Raises this process's limit on file descriptors as far as it may itself.
pub fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.map_or(usize::MAX, |files| without_reserve(usize::try_from(files).unwrap_or(usize::MAX)))
}

fn without_reserve(files: usize) -> usize {
    files - (files / 2).min(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_always_kept() {
        assert_eq!(without_reserve(128), 64);
        assert_eq!(without_reserve(20_000), 18_976);
        assert_eq!(without_reserve(0), 0);
        assert!(connections() > 0);
    }
}
