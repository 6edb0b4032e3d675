//! The channel node: starts, takes links, sorts what arrives, drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::LinkError;
use idgen::{Clock, FloorError, NodeId};
use parking_lot::RwLock;
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::limit::CLIENT_MSG_ID_BYTES;
use protocol::node::v1::{Identity, Request, ToChannel, to_channel};
use protocol::v1::server_frame::Body;
use protocol::v1::{CreateConversation, NewMember, Timeline};
use storage::presence::EventPage;
use storage::{ConversationKey, Store, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ChannelConfig;
use crate::conversation::event::{self, ReplyTo};
use crate::creations::Creations;
use crate::dispatch::{self, Job, Read};
use crate::fanout::Fanout;
use crate::heads::Heads;
use crate::links::Links;
use crate::login::{self, Login};
use crate::metrics::{Metrics, Snapshot};
use crate::owners::{Inbox, Owners};
use crate::peers::Peers;
use crate::presence_log::PresenceLog;
use crate::presence_tasks::PresenceTasks;
use crate::readers::Readers;
use crate::reply::{Asker, Replies};
use crate::resend::Resender;
use crate::rounds::Rounds;
use crate::routes::Routes;
use crate::samples::Samples;
use crate::slot::SlotTask;
use crate::tally::{Holdings, Tally};
use crate::teller::Teller;
use crate::tickets::Tickets;
use crate::timeline::Timelines;
use crate::watch::Watches;

mod announce;
mod host;
mod peers;
mod sessions;

pub use host::Host;
use peers::PeerLinks;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Floor(#[from] FloorError),
}

/// Not everything in flight was finished by the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("requests were still in flight at the deadline")]
pub struct DrainTimeout;

/// One channel node.
pub struct ChannelNode {
    node: NodeId,
    routes: Arc<Routes>,
    links: Arc<Links>,
    /// `None` where it is the only one.
    peers: Option<Arc<Peers>>,
    watches: Arc<Watches>,
    login: Arc<Login>,
    readers: Readers,
    resender: Arc<Resender>,
    presence: Arc<PresenceLog>,
    timelines: Arc<Timelines>,
    heads: Arc<Heads>,
    rounds: Arc<Rounds>,
    replies: Replies,
    tickets: Arc<Tickets>,
    /// `None` once the node drains: dropping it ends the slot tasks.
    owners: RwLock<Option<Owners>>,
    metrics: Arc<Metrics>,
    /// Of each slot task.
    tallies: Vec<Arc<Tally>>,
    draining: AtomicBool,
    /// Logins, reads and slot tasks.
    work: TaskTracker,
    /// They stop after the work.
    presence_tasks: PresenceTasks,
    /// They stop last.
    peer_links: PeerLinks,
    /// Ends the rounds, and whatever else only waits.
    stop: CancellationToken,
}

impl ChannelNode {
    /// Starts a node over an open store, which owns everything. Must be called on a tokio runtime.
    pub async fn start(
        config: ChannelConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<ChannelNode>, StartError> {
        ChannelNode::start_among(config, store, clock, None).await
    }

    async fn start_among(
        config: ChannelConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        peers: Option<Arc<Peers>>,
    ) -> Result<Arc<ChannelNode>, StartError> {
        let generator = login::generator(&*store, config.worker).await?;
        let (routes, links) = (Arc::new(Routes::default()), Arc::new(Links::default()));
        let (metrics, tickets) = (Arc::new(Metrics::default()), Arc::new(Tickets::default()));
        let replies = Replies::new(links.clone());
        let watches = Watches::new(store.clone(), routes.clone(), links.clone(), peers.clone());
        let watches = Arc::new(watches);
        let presence =
            PresenceLog::new(store.clone(), config.node, clock.clone(), metrics.clone(), peers.clone());
        let timelines = Arc::new(Timelines::new(store.clone(), config.slot_tasks, clock.unix_millis()));
        let login = Login::new(
            store.clone(),
            routes.clone(),
            links.clone(),
            watches.clone(),
            clock.clone(),
            metrics.clone(),
            generator,
        )
        .limited(config.device_limit)
        .leased(config.lease.clone());
        let readers =
            Readers::new(store.clone(), watches.clone(), timelines.clone(), replies.clone(), metrics.clone());
        let resender = Resender::new(store.clone(), links.clone());
        let (owners, inboxes) = Owners::new(config.slot_tasks);
        let presence = Arc::new(presence);
        let fanout = Fanout::new(routes.clone(), links.clone(), None, Arc::new(Samples::new(0)));
        let rounds = Rounds::new(
            store.clone(),
            routes.clone(),
            watches.clone(),
            presence.clone(),
            fanout,
            config.sole_owner,
        );
        let node = Arc::new(ChannelNode {
            node: config.node,
            routes,
            peers,
            links: links.clone(),
            watches: watches.clone(),
            login: Arc::new(login),
            readers,
            resender: Arc::new(resender),
            presence,
            timelines,
            heads: Arc::new(Heads::new(store.clone(), links)),
            rounds: Arc::new(rounds),
            replies,
            tickets,
            owners: RwLock::new(Some(owners)),
            metrics,
            tallies: inboxes.iter().map(|_| Arc::default()).collect(),
            draining: AtomicBool::new(false),
            work: TaskTracker::new(),
            presence_tasks: PresenceTasks::default(),
            peer_links: PeerLinks::default(),
            stop: CancellationToken::new(),
        });
        node.start_rounds(&config).await?;
        node.start_tasks(inboxes, &store, &clock, &config);
        Ok(node)
    }

    /// Creates a conversation with a chosen id, for seeding and back-ends. One that is there already stays as it is.
    ///
    /// # Errors
    /// INVALID_REQUEST and TOO_MANY for what the arguments say; retryable ones from the store and the queues.
    pub async fn create_conversation(
        &self,
        tenant: &str,
        conversation: &str,
        title: &str,
        members: Vec<NewMember>,
    ) -> Result<(), Refused> {
        check::tenant(tenant)?;
        check::conversation(conversation)?;
        check::title(title)?;
        check::member_change(&members, &[])?;
        let client_msg_id = vec![0; CLIENT_MSG_ID_BYTES].into();
        let create = CreateConversation { client_msg_id, title: title.to_owned(), members };
        let ticket = self.tickets.take();
        let request = event::Request {
            to: ReplyTo::Node(ticket.number()),
            user: String::new(),
            body: event::Body::Create(create),
        };
        self.submit(ConversationKey::new(tenant, conversation), request)?;
        match ticket.answered().await {
            Some(Body::SendAck(_)) => Ok(()),
            Some(Body::Error(error)) => {
                let code = Code::from_number(error.code).unwrap_or(Code::INTERNAL);
                Err(Refused::new(code, error.message))
            }
            _ => Err(Code::INTERNAL.into()),
        }
    }

    /// Takes no more requests, finishes what is in flight and stops the tasks.
    ///
    /// # Errors
    /// [`DrainTimeout`] if that takes longer than `within`; what is left is cut off when the runtime ends, and its
    /// devices were not told that anything is stored.
    pub async fn drain(&self, within: Duration) -> Result<(), DrainTimeout> {
        self.draining.store(true, Ordering::Release);
        self.stop.cancel();
        // The inboxes end; each slot task handles what is in its own and then goes.
        drop(self.owners.write().take());
        self.work.close();
        let finished = tokio::time::timeout(within, self.work.wait()).await;
        self.presence_tasks.stop(within).await;
        self.peer_links.stop().await;
        finished.map_err(|_| DrainTimeout)
    }

    /// Slots have changed hands, here or elsewhere: what an owner before has not told is looked for. Nothing happens on
    /// a node that was told that it owns all of the store.
    pub fn owners_changed(&self) {
        self.rounds.begin();
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.node
    }

    /// What this node has done since it started.
    pub fn metrics(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    /// The conversations that this node holds now.
    pub fn holdings(&self) -> Holdings {
        Tally::sum(&self.tallies)
    }

    /// Devices that watch the presence of others.
    pub fn watcher_count(&self) -> usize {
        self.watches.watcher_count()
    }

    /// A tenant's presence stream after the seq `after`. Fails as the store does, and where it keeps none.
    pub async fn presence_events(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        self.presence.events(tenant, after, limit).await
    }

    /// What became of one message, for the operator: members after the user id `after`.
    pub async fn timeline(
        &self,
        tenant: &str,
        conversation: &str,
        seq: u64,
        after: &str,
    ) -> Result<Timeline, Refused> {
        self.timelines.for_operator(tenant, conversation, seq, after).await
    }

    /// Who is connected.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// A start is a change of owners too. What was committed before it everybody sees who logs in.
    async fn start_rounds(&self, config: &ChannelConfig) -> Result<(), StoreError> {
        if !config.sole_owner {
            let version = self.rounds.version().await?;
            self.rounds.begin();
            self.work.spawn(self.rounds.clone().run(version, self.stop.clone()));
        }
        Ok(())
    }

    fn start_tasks(
        &self,
        inboxes: Vec<Inbox>,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        config: &ChannelConfig,
    ) {
        let teller = Teller {
            watches: self.watches.clone(),
            routes: self.routes.clone(),
            peers: self.peers.clone(),
            log: self.presence.clone(),
            clock: clock.clone(),
            metrics: self.metrics.clone(),
            grace: config.presence_grace,
        };
        self.presence_tasks.start(teller, self.presence.clone());
        let creations = Arc::new(Creations::new(config.creation_limit));
        let parts = inboxes.into_iter().zip(self.timelines.samples()).zip(&self.tallies);
        for ((inbox, samples), tally) in parts {
            let (routes, links) = (self.routes.clone(), self.links.clone());
            let fanout = Fanout::new(routes, links, self.peers.clone(), samples.clone());
            let (store, clock) = (store.clone(), clock.clone());
            let (replies, tickets) = (self.replies.clone(), self.tickets.clone());
            let creations = creations.clone();
            let slot = SlotTask::new(store, clock, fanout, replies, tickets, creations, self.rounds.clone());
            self.work.spawn(slot.tallied(tally.clone()).run(inbox));
        }
    }

    fn handle(self: &Arc<Self>, connector: NodeId, message: ToChannel) -> Result<(), LinkError> {
        match message.body {
            Some(to_channel::Body::Request(request)) => self.request(connector, request),
            Some(to_channel::Body::Attach(attach)) => self.attach(connector, attach),
            Some(to_channel::Body::Detach(detach)) => self.detach(&detach),
            Some(to_channel::Body::Suspend(suspend)) => self.suspend(&suspend),
            Some(to_channel::Body::Revive(revive)) => self.revive(connector, revive),
            Some(to_channel::Body::Announce(announce)) => self.announce(connector, announce),
            Some(to_channel::Body::Resend(resend)) => return self.resend(connector, resend),
            Some(to_channel::Body::Peer(_)) => {
                tracing::warn!(%connector, "a connector says what only channel nodes say");
            }
            // A newer node's message; there is nobody to tell.
            None => {}
        }
        Ok(())
    }

    fn request(self: &Arc<Self>, connector: NodeId, request: Request) {
        let Request { identity: Some(identity), device_id, epoch, frame: Some(frame) } = request else {
            // Only a broken connector says neither who asks nor what.
            return tracing::warn!(%connector, "a request lacks its identity or frame");
        };
        let asker = Asker { connector, device: device_id, epoch, re: frame.id };
        if self.draining.load(Ordering::Acquire) {
            return self.shed(asker, Code::SHUTTING_DOWN);
        }
        self.metrics.requests.add(1);
        match dispatch::sort(&identity, device_id, frame.body) {
            Ok(Job::Read(read)) => self.read(asker, identity, read),
            Ok(Job::Conversation { conversation, body }) => {
                let key = ConversationKey::new(identity.tenant, conversation);
                let request = event::Request { to: ReplyTo::Device(asker), user: identity.user, body };
                if let Err(code) = self.submit(key, request) {
                    self.shed(asker, code);
                }
            }
            Ok(Job::Presence(presence)) => {
                self.watches.set_presence(&self.replies, asker, &identity, presence.away);
            }
            Err(refused) => self.replies.refuse(asker, refused),
        }
    }

    fn read(self: &Arc<Self>, asker: Asker, identity: Identity, read: Read) {
        let Some(place) = self.readers.place(&identity.tenant, &identity.user) else {
            return self.shed(asker, Code::OVERLOADED);
        };
        let node = self.clone();
        self.work.spawn(async move {
            match place.turn().await {
                turn if turn.is_late => node.shed(asker, Code::OVERLOADED),
                _turn => Box::pin(node.readers.read(asker, &identity, read)).await,
            }
        });
    }

    fn submit(&self, key: ConversationKey, request: event::Request) -> Result<(), Code> {
        match &*self.owners.read() {
            Some(owners) => owners.submit(key, request),
            None => Err(Code::SHUTTING_DOWN),
        }
    }

    fn shed(&self, asker: Asker, code: Code) {
        self.metrics.requests_shed.add(1);
        self.replies.refuse(asker, code);
    }
}
