//! Getting a number, and making sure that nobody is there who must not be.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use idgen::WorkerNumber;
use tokio::time::Instant;

use super::error::{JoinError, Trouble};
use super::session::{Claim, Session};
use crate::record::NodeRecord;

/// How often a node looks whether whoever is in its way has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Numbers there are.
const NUMBERS: u16 = 4_096;

/// Publishes the record: under its own number where that is fixed, else under any free one. A process before this one
/// in the same place may still hold a lease; it is waited for until `patience`.
pub(super) async fn claim(
    tree: &impl Session,
    record: &NodeRecord,
    fixed: Option<WorkerNumber>,
    patience: Instant,
) -> Result<NodeRecord, Trouble> {
    match fixed {
        Some(number) => claim_fixed(tree, &record.with_number(number), patience).await,
        None => claim_any(tree, record).await,
    }
}

async fn claim_fixed(
    tree: &impl Session,
    record: &NodeRecord,
    patience: Instant,
) -> Result<NodeRecord, Trouble> {
    let number = record.node.number();
    let mut told = false;
    loop {
        let holder = match tree.claim(record).await? {
            Claim::Made(zxid) => return Ok(made(record, zxid)),
            Claim::Taken(holder) => holder.node,
        };
        if Instant::now() >= patience {
            return Err(JoinError::Duplicate { number, holder }.into());
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!(%number, holder = format!("{holder:#}"), "the node's number is in use; waiting for its lease to end");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Numbers are tried from one on that is the place's own, so that a node that comes back is likely to have the number
/// that it had, and one that was given up is not soon another's.
async fn claim_any(tree: &impl Session, record: &NodeRecord) -> Result<NodeRecord, Trouble> {
    let taken: Vec<WorkerNumber> = tree.list().await?.0.iter().map(|other| other.node.number()).collect();
    let first = first_number(record);
    let numbers = (0..NUMBERS).map(|step| (first + step) % NUMBERS);
    for number in numbers.filter_map(|number| WorkerNumber::new(number).ok()) {
        if taken.contains(&number) {
            continue;
        }
        let record = record.with_number(number);
        if let Claim::Made(zxid) = tree.claim(&record).await? {
            return Ok(made(&record, zxid));
        }
    }
    Err(JoinError::Full.into())
}

fn first_number(record: &NodeRecord) -> u16 {
    let mut hash = xxhash_rust::xxh3::Xxh3Builder::new().build_hasher();
    hash.write_u8(record.node.node_type().code());
    hash.write(&record.node.ip().octets());
    hash.write_u16(record.node.port());
    (hash.finish() % u64::from(NUMBERS)) as u16
}

fn made(record: &NodeRecord, zxid: u64) -> NodeRecord {
    let incarnation = if record.incarnation == 0 { zxid } else { record.incarnation };
    NodeRecord { incarnation, ..record.clone() }
}

/// A channel node whose store is its own works with no second one beside it. One that is there may be dead, and is
/// waited for until `patience`.
pub(super) async fn is_alone(
    tree: &impl Session,
    record: &NodeRecord,
    patience: Instant,
) -> Result<(), Trouble> {
    let mut told = false;
    loop {
        let (others, _) = tree.list().await?;
        let conflict = |other: &&NodeRecord| {
            let both = record.is_channel() && other.is_channel() && other.process != record.process;
            both && (record.store_alone || other.store_alone)
        };
        let Some(other) = others.iter().find(conflict) else { return Ok(()) };
        if Instant::now() >= patience {
            let whose = if record.store_alone { "this node's" } else { "its" };
            return Err(JoinError::StoreAlone { other: other.node, whose }.into());
        }
        if !std::mem::replace(&mut told, true) {
            let other = format!("{:#}", other.node);
            tracing::info!(other, "another channel node is there; waiting for its lease to end");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
