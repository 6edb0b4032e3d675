//! What the rows about channel nodes of one cluster have in common: two connectors in front of channel nodes that share a
//! store, and a load through both.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::nodes::{LEASE_MS, Nodes};
use crate::prober::Answer;
use crate::report::Report;
use crate::stored;
use crate::support::metrics::Metrics;
use crate::support::process::Gateway;
use crate::support::soon;
use crate::writers::Writers;

/// How long a sender waits for an answer: longer than a connector holds a request.
pub const ANSWER: Duration = Duration::from_secs(15);
/// After the death of a node: its lease, and some seconds.
pub const BACK: Duration = Duration::from_millis(LEASE_MS + 5_000);
/// Sends that are under way when something is done to a node.
const UNDER_WAY: usize = 4;

/// Begins to write to rooms through both connectors.
pub async fn start(nodes: &Nodes, rooms: usize) -> Writers {
    let doors: Vec<_> = nodes.connectors.iter().collect();
    Writers::start(&doors, rooms, ANSWER).await
}

/// Waits until requests are under way.
pub async fn under_way(load: &Writers) {
    soon("requests are under way", async {
        while load.under_way(0) + load.under_way(1) < UNDER_WAY {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Every room is written to through both connectors again, by what was sent after `since`.
pub async fn writes(report: &mut Report, load: &Writers, since: Instant, limit: Duration, name: &str) {
    for door in 0..2 {
        let back = load.acks(door, since, limit * 3).await.unwrap_or(limit * 3).as_secs_f64();
        let what = format!("{name}: every room is written to through connector {door} after");
        report.at_most(what, back, "s", limit.as_secs_f64());
    }
}

/// Attempts in a time that were not acknowledged; what came of them is noted.
pub fn failed(report: &mut Report, load: &Writers, from: Instant, to: Instant) -> usize {
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for door in 0..2 {
        load.within(door, from, to, |attempts| {
            for attempt in attempts {
                let what = match &attempt.answer {
                    Answer::Acked => continue,
                    Answer::Error(error) => format!("{} {}", error.code, error.message),
                    Answer::Silent => "no answer".to_owned(),
                };
                *said.entry(what).or_default() += 1;
            }
        });
    }
    said.iter().for_each(|(what, count)| report.note(format!("{count} times: {what}")));
    said.values().sum()
}

/// What a channel node counts.
pub async fn counted(nodes: &Nodes, channel: usize, name: &str) -> u64 {
    Metrics::of(nodes.channels[channel].http).await.get(name)
}

/// Devices that are logged in at a connector, or expected back.
pub async fn sessions(connector: &Gateway) -> usize {
    Metrics::of(connector.http).await.get("whimbrel_connector_sessions") as usize
}

/// Ends the load; holds the history and what is stored against the invariants.
pub async fn finish(report: &mut Report, load: Writers, nodes: &Nodes) {
    let room = load.rooms[0].clone();
    let doors: Vec<_> = nodes.connectors.iter().collect();
    let history = load.finish(report, &doors).await;
    report.history(&history);
    let (keyspace, points) = nodes.store();
    stored::check(report, keyspace, &nodes.channels[0], points, &room).await;
}
