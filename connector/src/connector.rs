//! A connector: terminates device connections and keeps DeviceId → session.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use cluster::{ChannelLink, ConnectorLink, Membership};
use idgen::{Clock, NodeId};
use parking_lot::Mutex;
use protocol::Proto as _;
use protocol::code::Code;
use protocol::node;
use protocol::node::v1::push::Telling;
use protocol::node::v1::to_connector::Body;
use protocol::node::v1::{Push, ToConnector};
use protocol::v1::{Head, ServerFrame, server_frame};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attach;
use crate::attachment;
use crate::auth::Verifier;
use crate::config::ConnectorConfig;
use crate::core::Core;
use crate::delivery::Copy;
use crate::handle::Handle;
use crate::hold;
use crate::metrics::Metrics;
use crate::received::Received;
use crate::uplink::Uplink;
use crate::window::Place;

/// One connector node. Dropping it does not close its connections; [`Connector::drain`] does.
pub struct Connector {
    pub(crate) core: Arc<Core>,
    pub(crate) tasks: TaskTracker,
    /// Ends the accept loops, but that of the HTTP port: probes are answered while the devices go.
    pub(crate) stop: CancellationToken,
    pub(crate) stop_pages: CancellationToken,
    /// Connections held now that have a file descriptor each, logins under way included.
    pub(crate) sockets: Arc<AtomicUsize>,
    /// Those that have none.
    pub(crate) datagrams: Arc<AtomicUsize>,
    /// Links to channel nodes in other processes.
    pub(crate) link_tasks: TaskTracker,
    pub(crate) link_stop: CancellationToken,
}

impl Connector {
    /// A connector without listeners yet. Must be called within a tokio runtime.
    pub fn new(
        config: ConnectorConfig,
        verifier: Verifier,
        clock: Arc<dyn Clock>,
        membership: Arc<dyn Membership>,
    ) -> Arc<Connector> {
        let hold = config.hold;
        let core = Arc::new(Core::new(config, verifier, clock, Uplink::new(membership, hold)));
        let connector = Arc::new(Connector {
            core,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            stop_pages: CancellationToken::new(),
            sockets: Arc::default(),
            datagrams: Arc::default(),
            link_tasks: TaskTracker::new(),
            link_stop: CancellationToken::new(),
        });
        connector.tasks.spawn(tick(connector.core.clone(), connector.stop.clone()));
        let (core, stop) = (connector.core.clone(), connector.link_stop.clone());
        connector.link_tasks.spawn(async move { stop.run_until_cancelled(hold::run(core)).await });
        connector
    }

    /// The way channel nodes reach this connector.
    pub fn link(&self) -> Arc<dyn ConnectorLink> {
        incoming(self.core.clone(), None)
    }

    /// Adds the way to a channel node.
    pub fn add_channel(&self, link: Arc<dyn ChannelLink>) {
        self.core.uplink.add(link);
    }

    /// How many channel nodes are within reach.
    pub fn linked(&self) -> usize {
        self.core.uplink.linked()
    }

    /// How many devices are logged in here.
    pub fn sessions(&self) -> usize {
        self.core.sessions.len()
    }

    /// For each session its device, the bytes that wait for it, and the most that may.
    pub fn held(&self) -> Vec<(u64, usize, usize)> {
        let held = |handle: &Arc<Handle>| {
            let (bytes, bound) = handle.held();
            (handle.device, bytes, bound)
        };
        let mut all: Vec<_> = self.core.sessions.all().iter().map(held).collect();
        all.sort_unstable();
        all
    }

    /// What this connector counts.
    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }
}

/// Turns the wheel.
async fn tick(core: Arc<Core>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => core.tick(),
        }
    }
}

/// The end of a link at this connector; `from` is the channel node at the other one, if not in this process.
pub(crate) fn incoming(core: Arc<Core>, from: Option<NodeId>) -> Arc<dyn ConnectorLink> {
    Arc::new(Incoming { core, from, received: Mutex::default() })
}

/// Handles what one channel node says. In the same process the node calls it itself.
struct Incoming {
    core: Arc<Core>,
    from: Option<NodeId>,
    received: Mutex<Received>,
}

impl ConnectorLink for Incoming {
    fn node(&self) -> NodeId {
        self.core.config.node
    }

    fn deliver(&self, message: ToConnector) {
        let core = &self.core;
        match message.body {
            Some(Body::Push(push)) => self.push(&push),
            Some(Body::Reply(reply)) => {
                let target = reply.target.unwrap_or_default();
                core.sessions
                    .with(target.device_id, target.epoch, |handle| handle.answer(reply.frame.clone()));
            }
            Some(Body::Attached(attached)) => attach::attached(core, self.from, attached),
            Some(Body::Kick(kick)) => {
                let target = kick.target.unwrap_or_default();
                let code = Code::from_number(kick.code).unwrap_or(Code::INTERNAL);
                let kicked = core.sessions.with(target.device_id, target.epoch, Arc::clone);
                if let Some(handle) = kicked {
                    handle.close(code);
                    // Without a connection there is nobody to tell, and nobody to end the session.
                    if handle.away_since().is_some() {
                        attachment::end(core, &handle);
                    }
                }
            }
            Some(Body::Resent(resent)) => {
                let target = resent.target.unwrap_or_default();
                let copies = resent.copies.into_iter().filter_map(copy_of).collect();
                core.sessions.with(target.device_id, target.epoch, |handle| handle.resent(copies));
            }
            None => {}
        }
    }
}

impl Incoming {
    fn push(&self, push: &Push) {
        let now = self.core.seconds();
        if push.seq == 0 || self.is_wanted(push, now) {
            push_to_all(&self.core, push, now);
        }
    }

    /// Whether what is told again has to be told. What is told for the first time is remembered.
    fn is_wanted(&self, push: &Push, now: u32) -> bool {
        // All targets of a push are devices of one tenant.
        let identity = |handle: &Arc<Handle>| handle.identity.clone();
        let mut targets = push.targets.iter();
        let found =
            targets.find_map(|target| self.core.sessions.with(target.device_id, target.epoch, identity));
        let Some(identity) = found else { return true };
        let (tenant, conversation, seq) = (&identity.tenant, &push.conversation, push.seq);
        let told_again = match push.telling() {
            Telling::First => {
                self.received.lock().note(tenant, conversation, seq, now);
                return true;
            }
            // Not noted: it may go to fewer devices than all that the first telling goes to.
            Telling::IfMissed => !self.received.lock().has(tenant, conversation, seq),
            Telling::Anyway => true,
        };
        if told_again {
            self.core.metrics.heads.add(push.targets.len() as u64);
        }
        told_again
    }
}

fn push_to_all(core: &Core, push: &Push, now: u32) {
    core.metrics.pushes.add(push.targets.len() as u64);
    let hint = push.frame.is_empty().then(|| head(push));
    let frame = hint.as_ref().unwrap_or(&push.frame);
    for target in &push.targets {
        let pushed = core.sessions.with(target.device_id, target.epoch, |handle| {
            if handle.push(frame, &push.conversation, push.seq, now) {
                core.watch_unacknowledged(handle);
            }
        });
        if pushed.is_none() {
            core.metrics.pushes_missed.add(1);
        }
    }
}

/// A push whose content found its link full: the device fetches it.
fn head(push: &Push) -> Bytes {
    let conversation = String::from_utf8_lossy(&push.conversation).into_owned();
    let body = Some(server_frame::Body::Head(Head { conversation, tip: push.seq }));
    ServerFrame { session_seq: 0, re: 0, body }.encode_to_vec().into()
}

fn copy_of(copy: node::v1::Copy) -> Option<Copy> {
    let node::v1::Place { session_seq, conversation, seq } = copy.place?;
    let frame = (!copy.frame.is_empty()).then_some(copy.frame);
    Some(Copy { place: Place { session_seq, conversation, seq }, frame })
}
