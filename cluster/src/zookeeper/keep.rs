//! The task that stays a member: one session with ZooKeeper after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use idgen::WorkerNumber;
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
/// How long changes are gathered before they are read: what a change costs grows with the nodes that read it, so that
/// many nodes look at it less often.
const SETTLE: Duration = Duration::from_millis(10);
const SETTLE_EACH: Duration = Duration::from_millis(2);
const LONGEST_SETTLE: Duration = Duration::from_millis(500);

/// One node's membership, as its task holds it.
pub(super) struct Member<C: Coordinator> {
    coordinator: C,
    config: ZooKeeperConfig,
    pub record: NodeRecord,
    pub lease: Arc<Lease>,
    pub view: watch::Sender<Arc<View>>,
    roster: Roster,
    /// What all nodes published when that was read last.
    records: BTreeMap<WorkerNumber, NodeRecord>,
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
            records: BTreeMap::new(),
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
        self.records = list.into_iter().map(|record| (record.node.number(), record)).collect();
        self.show();
        Ok(())
    }

    /// Reads what these nodes publish; whether all of them are still there.
    async fn reread(&mut self, tree: &C::Session, numbers: BTreeSet<WorkerNumber>) -> Result<bool, Trouble> {
        for number in numbers {
            match tree.read(number).await? {
                Some(record) if self.records.contains_key(&number) => _ = self.records.insert(number, record),
                _ => return Ok(false),
            }
        }
        self.show();
        Ok(true)
    }

    fn show(&mut self) {
        let records = self.records.values().cloned().collect();
        if let Some(view) = self.roster.listed(records, Instant::now()) {
            self.view.send_replace(Arc::new(view));
        }
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
        // The record may not be written as it should be.
        let (mut news, mut unwritten) = (News::default(), false);
        loop {
            let due = self.roster.due(rests_until).map_or(look_at, |due| due.min(look_at));
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Left,
                // Before what is heard: however much that is, the lease is renewed.
                () = tokio::time::sleep_until(due) => {
                    (look_at, rests_until) = (Instant::now() + every, Instant::now() + RETRY);
                    news.stale |= self.roster.due(rests_until).is_some() || !self.look(tree).await;
                }
                Ok(()) = published.changed() => {
                    self.record = published.borrow_and_update().clone();
                    unwritten = true;
                }
                event = watcher.next() => {
                    self.gather(event, &mut watcher, &mut news).await;
                    if news.over {
                        return End::Expired;
                    }
                }
            }
            if !tree.is_connected() {
                continue;
            }
            if unwritten {
                unwritten = tree.put(&self.record).await.is_err();
                news.stale |= unwritten;
            }
            let changed = std::mem::take(&mut news.changed);
            if !changed.is_empty() && !news.stale {
                news.stale = !self.reread(tree, changed).await.unwrap_or(false);
            }
            if news.stale {
                news.stale = match self.again(tree).await {
                    Ok(()) => false,
                    Err(Trouble::Away(_)) => true,
                    // Entering anew finds out whether that is final.
                    Err(Trouble::Final(_)) => return End::Expired,
                };
            }
        }
    }

    /// Takes an event and those that come soon after it.
    async fn gather(&mut self, first: Event, watcher: &mut Heard<C>, news: &mut News) {
        let settle = SETTLE + SETTLE_EACH * u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let until = Instant::now() + settle.min(LONGEST_SETTLE);
        self.heard(first, news);
        while !news.over
            && let Ok(event) = tokio::time::timeout_at(until, watcher.next()).await
        {
            self.heard(event, news);
        }
    }

    fn heard(&mut self, event: Event, news: &mut News) {
        match event {
            Event::Lost => tracing::warn!("the connection to ZooKeeper is lost; going on as before"),
            Event::Found => {
                tracing::info!("connected to ZooKeeper again");
                self.doubt_for_a_while();
                news.stale = true;
            }
            Event::Expired => news.over = true,
            Event::Other => {}
            Event::Nodes => news.stale = true,
            Event::Record(number) => _ = news.changed.insert(number),
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

/// What has been heard and is not done.
#[derive(Default)]
struct News {
    /// The session is over.
    over: bool,
    /// The list may be old.
    stale: bool,
    /// These nodes publish something else.
    changed: BTreeSet<WorkerNumber>,
}
