//! What a round over a real cluster has stored, held against itself.

use std::net::SocketAddr;

use crate::report::Report;
use crate::support::keyspace::{Keyspace, findings};
use crate::support::process::Gateway;

/// Lines of a check that are shown.
const SHOWN: usize = 20;

/// `whimbrel store check` finds nothing, and would have found a bad entry.
pub async fn check(
    report: &mut Report,
    keyspace: &Keyspace,
    gateway: &Gateway,
    points: &[SocketAddr],
    room: &str,
) {
    let (found, said) = findings(gateway).await;
    report.exactly("store check: findings", found, 0);
    if found > 0 {
        said.lines().take(SHOWN).for_each(|line| report.note(line));
    }
    keyspace.plant(points, room).await;
    let (planted, _) = findings(gateway).await;
    report.exactly("planted: a bad entry is found", planted, found + 1);
}
