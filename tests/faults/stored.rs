//! What a round over a real cluster has stored, held against itself.

use std::net::SocketAddr;

use crate::report::Report;
use crate::support::keyspace::{Keyspace, findings};
use crate::support::process::Gateway;
use crate::writers::Writers;

/// Lines of a check that are shown.
const SHOWN: usize = 20;

/// The end of a round that one gateway has lived through: what was acknowledged is stored, and nothing else.
pub async fn lived_through(
    report: &mut Report,
    load: Writers,
    keyspace: &Keyspace,
    gateway: &mut Gateway,
    points: &[SocketAddr],
) {
    report.exactly("the gateway is still the same process", gateway.is_alive().into(), 1);
    let room = load.rooms[0].clone();
    let history = load.finish(report, &[gateway]).await;
    report.history(&history);
    check(report, keyspace, gateway, points, &room).await;
}

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
