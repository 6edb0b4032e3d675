//! The membership of several processes: each publishes itself in ZooKeeper and watches the others.
//!
//! ZooKeeper says who is alive and thereby who owns what, and nothing hangs on its answer being fresh: a channel node
//! that is taken for dead while it lives does no harm, because the store refuses it; and while ZooKeeper is out of
//! reach everybody goes on by the list they have. What ends with the lease is the making of new DeviceIds.
//!
//! | file | noun |
//! |---|---|
//! | [`session`] | what a member needs of ZooKeeper, or of whatever stands in its place |
//! | `tree` | what is kept in ZooKeeper, and one session with it |
//! | [`roster`] | pure: lists into views |
//! | `keep` | the task that stays a member, session after session |
//! | [`error`] | why a node does not join |

use std::sync::Arc;
use std::time::Duration;

use idgen::{NodeId, WorkerNumber};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lease::Lease;
use crate::link::hello::MAX_CLUSTER_BYTES;
use crate::membership::{Membership, View};
use crate::record::{NodeRecord, Rebalance};

mod claim;
pub mod error;
mod keep;
pub mod roster;
pub mod session;
mod tree;

pub use error::{JoinError, Trouble};
use session::{Coordinator, Session as _};

/// How a node becomes a member.
#[derive(Clone)]
pub struct ZooKeeperConfig {
    /// `host:port` of each server, with commas between them.
    pub servers: String,
    /// The cluster's name: 1 to 64 letters, digits, dots, dashes and underscores.
    pub cluster: String,
    /// Where the cluster's part of the tree begins, such as `/whimbrel`.
    pub path: String,
    /// `user:password` (scheme digest); then only that user may read and write there.
    pub user: Option<String>,
    /// How long ZooKeeper waits for a node that is silent before it is taken for dead.
    pub session_timeout: Duration,
    /// The node's number; any that is free without.
    pub number: Option<WorkerNumber>,
}

impl std::fmt::Debug for ZooKeeperConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ZooKeeperConfig({}{} of {})", self.servers, self.path, self.cluster)
    }
}

/// This node's membership. It ends with [`ZooKeeperMembership::leave`], or when the process does.
pub struct ZooKeeperMembership {
    me: NodeRecord,
    lease: Arc<Lease>,
    view: watch::Sender<Arc<View>>,
    record: watch::Sender<NodeRecord>,
    lost: watch::Receiver<Option<JoinError>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ZooKeeperMembership {
    /// Publishes `record`, under a number of its own, and reads who else is there. Waits for ZooKeeper as long as it
    /// is out of reach, and for an earlier process in the same place until its lease has ended.
    ///
    /// # Errors
    /// What waiting does not help against.
    pub async fn join(
        config: ZooKeeperConfig,
        record: NodeRecord,
    ) -> Result<Arc<ZooKeeperMembership>, JoinError> {
        check(&config)?;
        ZooKeeperMembership::join_at(config.clone(), config, record).await
    }

    /// As [`ZooKeeperMembership::join`], at whatever coordinates the cluster in ZooKeeper's place.
    ///
    /// # Errors
    /// As [`ZooKeeperMembership::join`].
    pub async fn join_at(
        coordinator: impl Coordinator,
        config: ZooKeeperConfig,
        record: NodeRecord,
    ) -> Result<Arc<ZooKeeperMembership>, JoinError> {
        let member = keep::Member::join(coordinator, config, record).await?;
        let (me, lease) = (member.record.clone(), member.lease.clone());
        let (view, record) = (member.view.clone(), watch::Sender::new(me.clone()));
        let (told, lost) = watch::channel(None);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(member.keep(record.subscribe(), told, stop.clone()));
        Ok(Arc::new(ZooKeeperMembership { me, lease, view, record, lost, stop, tasks }))
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.me.node
    }

    /// The transaction that made it known: later processes in its place have higher ones.
    pub fn incarnation(&self) -> u64 {
        self.me.incarnation
    }

    /// The lease of its number.
    pub fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    /// Changes what is published of this node. Id, incarnation and process stay.
    pub fn publish(&self, change: impl FnOnce(&mut NodeRecord)) {
        self.record.send_if_modified(|record| {
            let before = record.clone();
            change(record);
            (record.node, record.incarnation) = (before.node, before.incarnation);
            record.process = before.process;
            *record != before
        });
    }

    /// Resolves when this node is no member any more and cannot become one again: somebody else has its number.
    pub async fn lost(&self) -> JoinError {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(JoinError::Full),
            // It has left by itself.
            Err(_) => std::future::pending().await,
        }
    }

    /// Resolves when an operator has asked this node to go, or it says itself that it goes.
    pub async fn asked_to_drain(&self) {
        let node = self.me.node;
        let mut views = self.view.subscribe();
        let asked = |view: &Arc<View>| view.node(node).is_some_and(|record| record.draining);
        if views.wait_for(asked).await.is_err() {
            std::future::pending().await
        }
    }

    /// What an operator asks of this node now; `None` before anything was.
    pub fn rebalance(&self) -> Option<Rebalance> {
        self.view.borrow().node(self.me.node).and_then(|record| record.rebalance)
    }

    /// Takes the node out, at once for all others.
    pub async fn leave(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.lease.end();
    }
}

/// Who is in a cluster, for somebody who is not.
///
/// # Errors
/// Also where there is no such cluster, and where ZooKeeper is out of reach.
pub async fn look(config: &ZooKeeperConfig) -> Result<View, JoinError> {
    let tree = visit(config).await?;
    Ok(View::new(1, tree.list().await?.0))
}

/// Asks a node to go: it hands over what it has and ends.
///
/// # Errors
/// As [`look`].
pub async fn ask_to_drain(config: &ZooKeeperConfig, number: WorkerNumber) -> Result<(), JoinError> {
    let tree = visit(config).await?;
    Ok(tree.change(number, |record| NodeRecord { draining: true, ..record }).await?)
}

/// Asks a connector to hand devices on. It says in its record how far it is.
///
/// # Errors
/// As [`look`].
pub async fn ask_to_rebalance(
    config: &ZooKeeperConfig,
    number: WorkerNumber,
    asked: Rebalance,
) -> Result<(), JoinError> {
    let tree = visit(config).await?;
    Ok(tree.change(number, |record| NodeRecord { rebalance: Some(asked), ..record }).await?)
}

async fn visit(config: &ZooKeeperConfig) -> Result<tree::Tree, JoinError> {
    check(config)?;
    let tree = tree::Tree::connect(config).await?;
    tree.compare_identity(false).await?;
    Ok(tree)
}

impl Membership for ZooKeeperMembership {
    fn snapshot(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }
}

fn check(config: &ZooKeeperConfig) -> Result<(), JoinError> {
    let allowed = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
    let name = &config.cluster;
    if name.is_empty() || name.len() > MAX_CLUSTER_BYTES || !name.chars().all(allowed) {
        return Err(JoinError::Name);
    }
    let parts: Vec<&str> = config.path.split('/').collect();
    let wrong =
        |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains(char::is_control);
    if parts.len() < 2 || !parts[0].is_empty() || parts[1..].iter().any(wrong) {
        return Err(JoinError::Path(config.path.clone()));
    }
    Ok(())
}

/// Far enough that it never comes.
fn never() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365)
}
