//! How many connections the process has file descriptors for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept back for the store's files, listeners, logs and the HTTP port.
const RESERVED: u64 = 1024;

/// Raises the soft limit on open files to the hard one and says how many sockets that leaves for connections: all
/// but 1,024, or half of a limit that is small itself.
pub fn for_connections() -> usize {
    let now = getrlimit(Resource::Nofile);
    // It may stay as it is; what counts is what the limit is afterwards.
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }) {
        tracing::debug!(%error, "the limit on open files stays");
    }
    match getrlimit(Resource::Nofile).current {
        None => usize::MAX,
        Some(limit) => usize::try_from(limit - RESERVED.min(limit / 2)).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_back() {
        let left = for_connections() as u64;
        let limit = getrlimit(Resource::Nofile).current;
        assert!(limit.is_none_or(|limit| left > 0 && left < limit), "{left} of {limit:?}");
    }
}
