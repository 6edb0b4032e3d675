//! The task that stays a member: one session with ZooKeeper after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim::{claim, is_alone};
use super::error::{JoinError, Trouble};
use super::roster::Roster;
use super::session::{Coordinator, Event, Events as _, Session};
use super::{ZooKeeperConfig, never};
use crate::lease::Lease;
use crate::membership::View;
use crate::record::NodeRecord;

/// Wait between attempts to reach ZooKeeper.
const RETRY: Duration = Duration::from_millis(500);
/// How long changes are gathered before the nodes are listed again.
const SETTLE: Duration = Duration::from_millis(10);

/// One node's membership, as its task holds it.
pub(super) struct Member<C: Coordinator> {
    coordinator: C,
    config: ZooKeeperConfig,
    pub record: NodeRecord,
    pub lease: Arc<Lease>,
    pub view: watch::Sender<Arc<View>>,
    roster: Roster,
    /// The transaction in which a node had come or gone last when they were listed.
    listed_as_of: u64,
    joined: Option<(C::Session, Heard<C>)>,
}

/// Why a session is served no more.
enum End {
    Left,
    Expired,
}

/// The events of a session.
type Heard<C> = <<C as Coordinator>::Session as Session>::Events;

impl<C: Coordinator> Member<C> {
    /// Joins for the first time.
    pub async fn join(
        coordinator: C,
        config: ZooKeeperConfig,
        record: NodeRecord,
    ) -> Result<Member<C>, JoinError> {
        let record = NodeRecord { process: rand::random(), incarnation: 0, ..record };
        let mut said = String::new();
        let mut member = Member {
            coordinator,
            config,
            record,
            lease: Arc::new(Lease::until(Instant::now())),
            view: watch::Sender::new(Arc::new(View::new(0, Vec::new()))),
            roster: Roster::default(),
            listed_as_of: 0,
            joined: None,
        };
        loop {
            match member.enter().await {
                Ok(()) => return Ok(member),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Away(error)) => {
                    if said != error {
                        let servers = &member.config.servers;
                        tracing::warn!(servers, error, "ZooKeeper is out of reach; waiting for it");
                        said = error;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// One session, up to a view of the cluster that has this node in it.
    async fn enter(&mut self) -> Result<(), Trouble> {
        let asked = Instant::now();
        let tree = self.coordinator.connect().await?;
        tree.check_identity().await?;
        // Before anything is listed, so that no change is missed.
        let watcher = tree.watch().await?;
        let patience = Instant::now() + 2 * tree.timeout();
        let is_new = self.record.incarnation == 0;
        if is_new {
            is_alone(&tree, &self.record, patience).await?;
        }
        let number = if is_new { self.config.number } else { Some(self.record.node.number()) };
        self.record = claim(&tree, &self.record, number, patience).await?;
        if is_new && let Err(conflict) = is_alone(&tree, &self.record, Instant::now()).await {
            _ = tree.remove(self.record.node.number()).await;
            self.record.incarnation = 0;
            return Err(conflict);
        }
        self.lease.renew(asked, tree.timeout());
        self.refresh(&tree).await?;
        self.joined = Some((tree, watcher));
        Ok(())
    }

    async fn refresh(&mut self, tree: &C::Session) -> Result<(), Trouble> {
        let (list, as_of) = tree.list().await?;
        self.listed_as_of = as_of;
        if let Some(view) = self.roster.listed(list, Instant::now()) {
            self.view.send_replace(Arc::new(view));
        }
        Ok(())
    }

    /// Stays a member until told to leave, or until that is not possible any more.
    pub async fn keep(
        mut self,
        mut published: watch::Receiver<NodeRecord>,
        lost: watch::Sender<Option<JoinError>>,
        stop: CancellationToken,
    ) {
        let mut said = String::new();
        loop {
            if let Some((tree, watcher)) = self.joined.take() {
                said.clear();
                match self.serve(&tree, watcher, &mut published, &stop).await {
                    End::Left => {
                        if let Err(error) = tree.remove(self.record.node.number()).await {
                            tracing::debug!(%error, "the node's record ends with its lease");
                        }
                        return;
                    }
                    End::Expired => tracing::warn!("the lease in ZooKeeper has ended; beginning another"),
                }
            }
            self.record = published.borrow_and_update().clone();
            // Others may have lost theirs too.
            self.roster.doubt(never());
            match stop.run_until_cancelled(self.enter()).await {
                None => return,
                Some(Ok(())) => {
                    tracing::info!(node = %self.record.node, "known in ZooKeeper again");
                    self.doubt_for_a_while();
                }
                Some(Err(Trouble::Final(error))) => {
                    tracing::error!(%error, "this node is no member any more");
                    self.lease.end();
                    lost.send_replace(Some(error));
                    return;
                }
                Some(Err(Trouble::Away(error))) => {
                    if said != error {
                        tracing::warn!(error, "ZooKeeper is out of reach; going on as before");
                        said = error;
                    }
                    _ = stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
                }
            }
        }
    }

    fn doubt_for_a_while(&mut self) {
        // Others find out at 1.4 timeouts at the latest that their session has ended, and need a moment more.
        self.roster.doubt(Instant::now() + 2 * self.config.session_timeout + RETRY);
    }

    async fn serve(
        &mut self,
        tree: &C::Session,
        mut watcher: Heard<C>,
        published: &mut watch::Receiver<NodeRecord>,
        stop: &CancellationToken,
    ) -> End {
        let every = tree.timeout() / 3;
        let mut look_at = Instant::now() + every;
        // While nobody answers, what is overdue stays so: it is looked at from time to time.
        let mut rests_until = Instant::now();
        // The list may be old; the record may not be written as it should be.
        let (mut stale, mut unwritten) = (false, false);
        loop {
            let due = self.roster.due(rests_until).map_or(look_at, |due| due.min(look_at));
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Left,
                event = watcher.next() => match self.heard(event) {
                    Asked::Renewal => return End::Expired,
                    Asked::List => {
                        tokio::time::sleep(SETTLE).await;
                        stale = true;
                    }
                    Asked::Nothing => {}
                },
                Ok(()) = published.changed() => {
                    self.record = published.borrow_and_update().clone();
                    unwritten = true;
                }
                () = tokio::time::sleep_until(due) => {
                    (look_at, rests_until) = (Instant::now() + every, Instant::now() + RETRY);
                    stale |= self.roster.due(rests_until).is_some() || !self.look(tree).await;
                }
            }
            if !tree.is_connected() {
                continue;
            }
            if unwritten {
                unwritten = tree.put(&self.record).await.is_err();
                stale |= unwritten;
            }
            if stale {
                stale = match self.again(tree).await {
                    Ok(()) => false,
                    Err(Trouble::Away(_)) => true,
                    // Entering anew finds out whether that is final.
                    Err(Trouble::Final(_)) => return End::Expired,
                };
            }
        }
    }

    fn heard(&mut self, event: Event) -> Asked {
        match event {
            Event::Lost => {
                tracing::warn!("the connection to ZooKeeper is lost; going on as before");
                Asked::Nothing
            }
            Event::Found => {
                tracing::info!("connected to ZooKeeper again");
                self.doubt_for_a_while();
                Asked::List
            }
            Event::Expired => Asked::Renewal,
            Event::Other => Asked::Nothing,
            Event::Nodes => Asked::List,
        }
    }

    /// Renews the lease; whether all is well. A watch may have lost a change when a server died.
    async fn look(&self, tree: &C::Session) -> bool {
        match tree.holds(self.record.node.number(), &self.lease).await {
            Ok(holds) => holds && tree.changed().await.is_ok_and(|changed| changed == self.listed_as_of),
            Err(error) => {
                tracing::debug!(%error, "the lease was not renewed");
                false
            }
        }
    }

    /// Lists again. A record of this node that somebody has removed is published once more.
    async fn again(&mut self, tree: &C::Session) -> Result<(), Trouble> {
        if !tree.holds(self.record.node.number(), &self.lease).await? {
            claim(tree, &self.record, Some(self.record.node.number()), Instant::now()).await?;
        }
        self.refresh(tree).await
    }
}

/// What an event asks for.
enum Asked {
    Nothing,
    /// To list again.
    List,
    /// To begin another session.
    Renewal,
}
