//! What a member needs of whoever coordinates the cluster: sessions, and the records that are held by them. ZooKeeper has
//! that ([`super::tree`]); so may a simulation of it.

use std::time::Duration;

use idgen::WorkerNumber;

use super::error::Trouble;
use crate::lease::Lease;
use crate::record::NodeRecord;

/// Where sessions are begun.
pub trait Coordinator: Send + Sync + 'static {
    type Session: Session;

    /// Begins a session. Fails after about a session timeout if nobody answers.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, Trouble>> + Send;
}

/// One session. It ends when nothing is heard of this process for its timeout, and what it holds goes with it.
pub trait Session: Send + Sync + 'static {
    type Events: Events;

    /// How long the session outlasts silence.
    fn timeout(&self) -> Duration;

    /// Whether somebody answers now.
    fn is_connected(&self) -> bool;

    /// Holds the cluster's identity against this program's. Where there is none it is written.
    fn check_identity(&self) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Watches all nodes; events may be lost while the connection is.
    fn watch(&self) -> impl Future<Output = Result<Self::Events, Trouble>> + Send;

    /// In which transaction a node came or went last.
    fn changed(&self) -> impl Future<Output = Result<u64, Trouble>> + Send;

    /// Every record, with the transaction in which a node had come or gone last.
    fn list(&self) -> impl Future<Output = Result<(Vec<NodeRecord>, u64), Trouble>> + Send;

    /// The record of that number; None if there is none.
    fn read(&self, number: WorkerNumber) -> impl Future<Output = Result<Option<NodeRecord>, Trouble>> + Send;

    /// Publishes a record under its number, unless another process has that. What an earlier session of this process has
    /// left is replaced in one step, so that nobody sees the node go.
    fn claim(&self, record: &NodeRecord) -> impl Future<Output = Result<Claim, Trouble>> + Send;

    /// Writes this node's record again. What an operator has noted there meanwhile stays.
    fn put(&self, record: &NodeRecord) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Whether this session holds the record of that number; if so, that renews the lease.
    fn holds(
        &self,
        number: WorkerNumber,
        lease: &Lease,
    ) -> impl Future<Output = Result<bool, Trouble>> + Send;

    /// Takes the record back.
    fn remove(&self, number: WorkerNumber) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// What a session hears, in order.
pub trait Events: Send + Sync + 'static {
    fn next(&mut self) -> impl Future<Output = Event> + Send;
}

/// Something that a session hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nobody answers any more. The session may go on.
    Lost,
    /// Somebody answers again, and the session has gone on.
    Found,
    /// The session is over.
    Expired,
    /// Nodes have come or gone.
    Nodes,
    /// What the node with this number publishes has changed.
    Record(WorkerNumber),
    /// Nothing that matters.
    Other,
}

/// What became of a claim to a number.
#[derive(Debug)]
pub enum Claim {
    /// It is ours; in which transaction it was made.
    Made(u64),
    Taken(Box<NodeRecord>),
}
