//! Plain writes of many callers in one request. What a node does for a request it then does once for many.
//!
//! Each goes by itself while few are under way. What comes while there are many waits for the first of them to end, and
//! goes together. Where every node has every row it makes no difference to a node whose rows they are; in a larger cluster
//! each goes by itself always, to a node that has the row.

use std::collections::VecDeque;
use std::sync::Arc;

use scylla::cluster::ClusterState;
use scylla::cluster::metadata::Strategy;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Found;
use super::config::DriverConfig;
use super::error::unavailable;
use super::request::Requests;
use super::statement::Statements;
use super::write::write_all;
use crate::cql::tables::Write;

/// Requests under way at once; what comes meanwhile is gathered.
const UNDER_WAY: usize = 16;
/// Writes that wait to be taken up; whoever comes then waits for its turn to wait.
const TAKEN_UP: usize = 1_024;
/// What a write has beside its payload, about.
const BYTES_EACH: usize = 100;

/// Where to hand in writes.
pub(super) struct Gatherer {
    parts: mpsc::Sender<Part>,
}

/// Writes of one partition, and who waits for them.
struct Part {
    writes: Vec<Write>,
    answer: oneshot::Sender<Found<()>>,
}

/// What one request takes.
#[derive(Clone, Copy)]
struct Bounds {
    partitions: usize,
    bytes: usize,
}

impl Gatherer {
    /// `None` where nothing is gathered.
    pub(super) fn start(
        config: &DriverConfig,
        requests: &Arc<Requests>,
        statements: &Arc<Statements>,
        tasks: &mut JoinSet<()>,
    ) -> Option<Gatherer> {
        let state = requests.session.get_cluster_state();
        if config.gathered_partitions < 2 || !has_every_row(&state, &config.keyspace) {
            return None;
        }
        let bounds = Bounds { partitions: config.gathered_partitions, bytes: config.gathered_bytes };
        let (sender, receiver) = mpsc::channel(TAKEN_UP);
        tasks.spawn(gather(receiver, bounds, requests.clone(), statements.clone()));
        Some(Gatherer { parts: sender })
    }

    pub(super) async fn write(&self, writes: Vec<Write>) -> Found<()> {
        let (answer, done) = oneshot::channel();
        self.parts.send(Part { writes, answer }).await.map_err(unavailable)?;
        done.await.map_err(unavailable)?
    }
}

/// Whether each node has a copy of every row.
fn has_every_row(state: &ClusterState, keyspace: &str) -> bool {
    let Some(keyspace) = state.get_keyspace(keyspace) else { return false };
    let nodes = state.get_nodes_info();
    match &keyspace.strategy {
        Strategy::SimpleStrategy { replication_factor } => nodes.len() <= *replication_factor,
        Strategy::NetworkTopologyStrategy { datacenter_repfactors } => {
            let within =
                |name: &String| nodes.iter().filter(|node| node.datacenter.as_ref() == Some(name)).count();
            let all: usize = datacenter_repfactors.keys().map(within).sum();
            all == nodes.len() && datacenter_repfactors.iter().all(|(name, copies)| within(name) <= *copies)
        }
        Strategy::LocalStrategy | Strategy::Other { .. } => false,
        _ => false,
    }
}

async fn gather(
    mut parts: mpsc::Receiver<Part>,
    bounds: Bounds,
    requests: Arc<Requests>,
    statements: Arc<Statements>,
) {
    let mut under_way = JoinSet::new();
    let (mut taken, mut waiting) = (Vec::new(), VecDeque::new());
    loop {
        if waiting.is_empty() && parts.recv_many(&mut taken, bounds.partitions).await == 0 {
            break;
        }
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= UNDER_WAY {
            under_way.join_next().await;
        }
        while taken.len() + waiting.len() < bounds.partitions
            && let Ok(part) = parts.try_recv()
        {
            taken.push(part);
        }
        waiting.extend(taken.drain(..));
        let together = next(&mut waiting, bounds);
        let (requests, statements) = (requests.clone(), statements.clone());
        under_way.spawn(async move { write_together(&requests, &statements, together).await });
    }
    under_way.join_all().await;
}

/// The first that are still waited for, as many as go into one request.
fn next(waiting: &mut VecDeque<Part>, bounds: Bounds) -> Vec<Part> {
    let (mut together, mut bytes) = (Vec::new(), 0);
    while let Some(part) = waiting.pop_front() {
        let size: usize = part.writes.iter().map(size).sum();
        if !together.is_empty() && (together.len() >= bounds.partitions || bytes + size > bounds.bytes) {
            waiting.push_front(part);
            break;
        }
        if !part.answer.is_closed() {
            bytes += size;
            together.push(part);
        }
    }
    together
}

async fn write_together(requests: &Requests, statements: &Statements, parts: Vec<Part>) {
    if parts.is_empty() {
        return;
    }
    let (writes, answers): (Vec<_>, Vec<_>) =
        parts.into_iter().map(|part| (part.writes, part.answer)).unzip();
    let done = write_all(requests, statements, &writes.concat()).await;
    answers.into_iter().for_each(|answer| drop(answer.send(done.clone())));
}

fn size(write: &Write) -> usize {
    BYTES_EACH
        + match write {
            Write::Committed { commit, .. } => {
                let rows = commit.entries.iter();
                let rows: usize = rows.map(|row| row.payload.len() + row.meta.len() + BYTES_EACH).sum();
                rows + commit.end.changes.len()
            }
            Write::Conversation { info, .. } => info.as_ref().map_or(0, bytes::Bytes::len),
            Write::Member { row, .. } => row.len(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_bounded_and_leaves_out_whom_nobody_waits_for() {
        let (mut waiting, mut receivers) = (VecDeque::new(), Vec::new());
        for node in 0..7 {
            let (answer, done) = oneshot::channel();
            waiting.push_back(Part { writes: vec![Write::Beat { node, at_ms: 1 }], answer });
            receivers.push(done);
        }
        receivers.remove(1);
        let mut count = |partitions, bytes| next(&mut waiting, Bounds { partitions, bytes }).len();
        assert_eq!(count(3, 9_999), 3);
        assert_eq!(count(9, 2 * BYTES_EACH), 2);
        assert_eq!(count(9, 1), 1, "the first goes whatever its size");
        assert_eq!(count(9, 1), 0);
    }
}
