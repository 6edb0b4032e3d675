//! The links that connectors and other channel nodes dial to this channel node.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use idgen::{NodeId, NodeType};
use parking_lot::Mutex;
use protocol::node::v1::link_message::Body;
use protocol::node::v1::link_refused::Reason;
use protocol::node::v1::{LinkHello, LinkWelcome, ToConnector};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::core::WINDOW_BYTES;
use super::hello::{Caller, Refusal};
use super::socket::{LinkEnd, Shared, Wired};
use super::stream::Stream;
use super::told::Told;
use super::wire::{Inlet, single};
use super::{ChannelLink, ConnectorLink, LinkConfig};
use crate::membership::Membership;

/// Connections that have not said hello yet; others wait to be accepted.
const MAX_GREETING: usize = 64;
/// Links at once.
const MAX_LINKS: usize = 4_096;
/// Pause after accepting has failed, as where no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const FLUSH_LOOK: Duration = Duration::from_millis(10);

/// The channel node that is linked to.
pub trait LinkHost: Send + Sync + 'static {
    /// A node has a new link, or its link has a new connection; the way to this node for what comes over it. Whether it is
    /// a connector or another channel node its id says.
    fn connect(&self, link: Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink>;

    /// That link is over for good.
    fn disconnect(&self, link: &Arc<dyn ConnectorLink>);
}

/// Takes links.
pub struct LinkPort {
    config: Arc<LinkConfig>,
    host: Arc<dyn LinkHost>,
    membership: Arc<dyn Membership>,
    links: Mutex<HashMap<NodeId, Arc<Accepted>>>,
    greeting: Arc<Semaphore>,
    told: Told,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One session of a link.
struct Accepted {
    caller: Caller,
    session: u64,
    shared: Shared,
    /// Ends the present connection where a newer one takes over.
    connection: Mutex<CancellationToken>,
    /// Held by the connection that serves: one handles its last message before the next says how many came.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The session has ended.
    over: CancellationToken,
}

/// A connection that may serve.
struct Greeted {
    wired: Wired<Box<dyn Stream>>,
    link: Arc<Accepted>,
    welcome: LinkWelcome,
    turn: OwnedMutexGuard<()>,
    replaced: CancellationToken,
}

impl Accepted {
    fn new(caller: Caller, session: u64) -> Accepted {
        Accepted {
            caller,
            session,
            shared: Shared::default(),
            connection: Mutex::default(),
            turn: Arc::default(),
            over: CancellationToken::new(),
        }
    }
}

impl ConnectorLink for Accepted {
    fn node(&self) -> NodeId {
        self.caller.node
    }

    fn deliver(&self, message: ToConnector) {
        if self.over.is_cancelled() {
            return;
        }
        match self.shared.core.lock().offer_to_connector(message) {
            Ok(()) => self.shared.wake.notify_one(),
            // Something is lost that nobody would hear of. With a new session everything is told again.
            Err(_) => self.over.cancel(),
        }
    }
}

impl LinkPort {
    /// A port for the links of `host`.
    pub fn new(
        config: Arc<LinkConfig>,
        host: Arc<dyn LinkHost>,
        membership: Arc<dyn Membership>,
    ) -> Arc<LinkPort> {
        Arc::new(LinkPort {
            config,
            host,
            membership,
            links: Mutex::default(),
            greeting: Arc::new(Semaphore::new(MAX_GREETING)),
            told: Told::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Accepts until stopped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Some(Ok(place)) = self.stop.run_until_cancelled(self.greeting.clone().acquire_owned()).await
        {
            let accepted = match self.stop.run_until_cancelled(listener.accept()).await {
                Some(accepted) => accepted,
                None => return,
            };
            let (socket, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no link can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match socket.set_nodelay(true) {
                Ok(()) => drop(self.tasks.spawn(self.clone().take(Box::new(socket), remote, place))),
                Err(error) => tracing::debug!(%error, "a link was gone before it was accepted"),
            }
        }
    }

    /// Takes a connection that was made otherwise than over the port.
    pub fn serve_stream(self: &Arc<Self>, stream: Box<dyn Stream>, remote: SocketAddr) {
        let port = self.clone();
        self.tasks.spawn(async move {
            if let Some(Ok(place)) =
                port.stop.run_until_cancelled(port.greeting.clone().acquire_owned()).await
            {
                port.take(stream, remote, place).await;
            }
        });
    }

    async fn take(self: Arc<Self>, stream: Box<dyn Stream>, remote: SocketAddr, place: OwnedSemaphorePermit) {
        let greeted = self.greet(stream, remote).await;
        drop(place);
        if let Some(greeted) = greeted {
            self.run(greeted).await;
        }
    }

    /// How many nodes have a session.
    pub fn count(&self) -> usize {
        self.links.lock().len()
    }

    /// Waits until everything said is sent to the nodes that are connected, at most until then.
    pub async fn flush(&self, until: Instant) {
        let waits = || {
            let links = self.links.lock();
            links.values().any(|link| link.turn.try_lock().is_err() && link.shared.core.lock().has_waiting())
        };
        while waits() && Instant::now() < until {
            tokio::time::sleep(FLUSH_LOOK).await;
        }
    }

    /// Takes no more links, ends all, and waits for that.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Hello and its answer; `None` if that led to nothing, which is logged.
    async fn greet(&self, socket: Box<dyn Stream>, remote: SocketAddr) -> Option<Greeted> {
        let limit = self.config.pace.hello;
        let greeted = tokio::time::timeout(limit, self.answer(socket));
        match self.stop.run_until_cancelled(greeted).await? {
            Ok(Ok(greeted)) => Some(greeted),
            Ok(Err(error)) => self.tell_refused(remote, &error.to_string()),
            Err(_) => self.tell_refused(remote, "no hello in time"),
        }
    }

    // Whoever reaches the port can cause such a line.
    fn tell_refused(&self, remote: SocketAddr, reason: &str) -> Option<Greeted> {
        if let Some(others) = self.told.may_tell(Instant::now()) {
            tracing::warn!(%remote, reason, others, "a link was refused");
        }
        None
    }

    async fn answer(&self, socket: Box<dyn Stream>) -> Result<Greeted, GreetError> {
        let (stream, role): (Box<dyn Stream>, _) = match &self.config.tls {
            Some(tls) => {
                let (stream, role) = tls.accept(socket).await?;
                (Box::new(stream), Some(role))
            }
            None => (socket, None),
        };
        let mut wired = Wired::new(stream, Inlet::accepting(), self.config.traffic.clone());
        let admitted = match wired.first().await {
            Ok(Body::Hello(hello)) => self.admit(&hello, role).map(|caller| (hello, caller)),
            Ok(_) => Err(Refusal::new(Reason::Hello, "the first message is no hello")),
            Err(LinkEnd::Wire(error)) => Err(Refusal::new(Reason::Hello, error.to_string())),
            Err(end) => return Err(end.into()),
        };
        match admitted {
            Ok((hello, caller)) => Ok(self.take_turn(wired, &hello, caller).await?),
            Err(refusal) => {
                wired.write(&single(Body::Refused(refusal.message()))).await?;
                // Orderly, so that the refusal is read before a reset is.
                _ = wired.stream.shutdown().await;
                Err(refusal.into())
            }
        }
    }

    fn admit(&self, hello: &LinkHello, role: Option<NodeType>) -> Result<Caller, Refusal> {
        let view = self.membership.snapshot();
        let links = self.links.lock();
        let newest = |node| {
            let published = view.node(node).map(|record| record.incarnation);
            published.max(links.get(&node).map(|link| link.caller.incarnation))
        };
        let caller = self.config.me.admit(hello, role, newest)?;
        if !matches!(caller.node.node_type(), NodeType::Connector | NodeType::Channel) {
            return Err(Refusal::new(Reason::Role, "links are for connectors and channel nodes"));
        }
        if links.len() >= MAX_LINKS && !links.contains_key(&caller.node) {
            return Err(Refusal::new(Reason::Busy, format!("{MAX_LINKS} links are all there may be")));
        }
        Ok(caller)
    }

    /// Finds the session that goes on, or begins one, and waits until no other connection serves it.
    async fn take_turn(
        &self,
        wired: Wired<Box<dyn Stream>>,
        hello: &LinkHello,
        caller: Caller,
    ) -> Result<Greeted, LinkEnd> {
        let known = self.links.lock().get(&caller.node).cloned();
        let same = |link: &Arc<Accepted>| {
            (link.caller.incarnation, link.session) == (caller.incarnation, hello.session)
                && !link.over.is_cancelled()
        };
        let known = known.filter(same);
        let resumed = known.is_some();
        let link = known.unwrap_or_else(|| Arc::new(Accepted::new(caller, hello.session)));
        let replaced = CancellationToken::new();
        std::mem::replace(&mut *link.connection.lock(), replaced.clone()).cancel();
        let turn = link.turn.clone().lock_owned().await;
        let mut core = link.shared.core.lock();
        let received = core.count();
        core.resume(if resumed { hello.received } else { 0 }, hello.window as usize)?;
        drop(core);
        let welcome = self.config.me.welcome(caller.version, resumed, received, WINDOW_BYTES);
        Ok(Greeted { wired, link, welcome, turn, replaced })
    }

    /// Serves a connection, and its session until that is over or another connection serves it.
    async fn run(&self, greeted: Greeted) {
        let Greeted { mut wired, link, welcome, turn, replaced } = greeted;
        let as_link: Arc<dyn ConnectorLink> = link.clone();
        if !welcome.resumed
            && let Some(older) = self.links.lock().insert(link.caller.node, link.clone())
        {
            older.over.cancel();
        }
        let way = self.host.connect(as_link.clone());
        tracing::info!(node = %link.caller.node, resumed = welcome.resumed, "a node is linked");
        let served = async {
            if let Err(end) = wired.write(&single(Body::Welcome(welcome))).await {
                return end;
            }
            wired.inlet.welcome();
            let handle = |body| match body {
                Body::ToChannel(message) => {
                    // What is refused here was counted and answered by the node itself.
                    _ = way.send(message);
                    Ok(())
                }
                _ => Err("what is meant for a connector"),
            };
            wired.run(&link.shared, self.config.pace, handle).await
        };
        let end = tokio::select! {
            biased;
            () = self.stop.cancelled() => LinkEnd::Stopped,
            () = link.over.cancelled() => LinkEnd::Overrun,
            () = replaced.cancelled() => LinkEnd::Replaced,
            end = served => end,
        };
        drop(turn);
        if !self.linger(&link, &end, &replaced).await {
            self.end(&link, &as_link);
        }
    }

    /// Waits for the node to come back; whether its session goes on elsewhere.
    async fn linger(&self, link: &Arc<Accepted>, end: &LinkEnd, replaced: &CancellationToken) -> bool {
        match end {
            LinkEnd::Replaced => return true,
            LinkEnd::Stopped => return false,
            _ if end.is_final() => {
                tracing::warn!(node = %link.caller.node, %end, "a node's link begins anew");
                return false;
            }
            _ => tracing::warn!(node = %link.caller.node, %end, "a node's link is broken"),
        }
        let mut views = self.membership.watch();
        let gone = views.wait_for(|view| {
            view.node(link.caller.node).is_none_or(|record| record.incarnation != link.caller.incarnation)
        });
        tokio::select! {
            biased;
            () = replaced.cancelled() => true,
            () = link.over.cancelled() => false,
            () = self.stop.cancelled() => false,
            // A membership that has ended knows nothing.
            Ok(_) = gone => false,
            () = tokio::time::sleep(self.config.linger) => false,
        }
    }

    fn end(&self, link: &Arc<Accepted>, as_link: &Arc<dyn ConnectorLink>) {
        link.over.cancel();
        let mut links = self.links.lock();
        if links.get(&link.caller.node).is_some_and(|present| Arc::ptr_eq(present, link)) {
            links.remove(&link.caller.node);
        }
        drop(links);
        self.host.disconnect(as_link);
        tracing::info!(node = %link.caller.node, "a linked node is gone");
    }
}

/// Why a caller got no link.
#[derive(Debug, thiserror::Error)]
enum GreetError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    End(#[from] LinkEnd),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
