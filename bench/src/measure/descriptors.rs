//! Open files: a socket is one, and a process may have only so many.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::crew::PER_PROCESS;

/// What a generator process needs beside those of its devices.
const GENERATOR_SPARE: u64 = 100;
/// What a server needs beside those of its devices: the gateway keeps 1,024 back.
pub const SERVER_SPARE: u64 = 1_100;

/// How many this process may have: now, and at most.
pub fn limits() -> (u64, u64) {
    let limit = getrlimit(Resource::Nofile);
    (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

/// Takes as many as may be had; what is started inherits that.
pub fn raise() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where the system refuses, what there is has to do; the check before a run tells if it does not.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// What to do for a server with so many connections.
pub fn advice(connections: u64) -> String {
    let wanted = connections + SERVER_SPARE;
    format!(
        "a server with {connections} connections needs {wanted} file descriptors: `ulimit -n {wanted}` as root, or \
         `* hard nofile {wanted}` in /etc/security/limits.conf; or take fewer connections"
    )
}

/// Whether the servers that are started here, so many, and the generator processes can have so many connections.
///
/// # Errors
/// What to change, if not.
pub fn ensure_room(connections: u32, servers: Option<u32>) -> anyhow::Result<()> {
    let (most, each) = (limits().1, connections.div_ceil(servers.unwrap_or(1).max(1)));
    let connections = u64::from(connections);
    let server = servers.map_or(0, |_| u64::from(each) + SERVER_SPARE);
    let generator = connections.min(PER_PROCESS.into()) + GENERATOR_SPARE;
    ensure!(
        most >= server.max(generator),
        "too few file descriptors, at most {most} here: {}. `bench doctor --connections {connections}` looks at the rest",
        advice(connections)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_held_is_told_before() {
        let (_, most) = limits();
        assert!(ensure_room(1, Some(1)).is_ok());
        if let Ok(most) = u32::try_from(most) {
            let error = ensure_room(most, Some(1)).unwrap_err().to_string();
            assert!(error.contains("ulimit -n"), "{error}");
        }
    }
}
