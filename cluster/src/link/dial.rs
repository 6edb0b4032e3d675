//! A link to one channel node, of a connector or of another channel node: dials, dials again, and holds what waits
//! meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use idgen::NodeId;
use protocol::node::v1::link_message::Body;
use protocol::node::v1::{LinkWelcome, ToChannel, ToConnector, to_channel};
use protocol::preface::LINK_PREFACE;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::core::{LinkCore, WINDOW_BYTES};
use super::hello::{Me, Refusal};
use super::socket::{LinkEnd, Shared, Wired};
use super::stream::Stream;
use super::tls::explain;
use super::wire::{Inlet, single};
use super::{ChannelLink, LinkConfig, LinkError};

/// First wait before dialling again; it doubles up to the longest. The wait itself is a random part of it.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What a link tells the node that dials.
pub trait LinkEvents: Send + Sync + 'static {
    /// The channel node says something. Must not block.
    fn deliver(&self, message: ToConnector);

    /// What a session of the link begins with. Must not use the link.
    fn opening(&self) -> Option<ToChannel>;

    /// A session of the link has begun: the channel node knows nothing of this one.
    fn began(&self);

    /// What was sent and not answered may or may not have been handled, and no answer will come.
    fn ended(&self);
}

/// Why dialling has led to no session.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    End(#[from] LinkEnd),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Certificate(String),
}

impl DialError {
    /// Fails if the error is about a certificate.
    fn certificate(error: &std::io::Error) -> Result<(), DialError> {
        explain(error).map_or(Ok(()), |why| Err(DialError::Certificate(why)))
    }
}

/// A link that is dialled from here. It stays until it is closed, through any number of connections.
pub struct DialledLink {
    to: NodeId,
    address: String,
    config: Arc<LinkConfig>,
    shared: Shared,
    /// More waits than may; the session has to end.
    overrun: Notify,
    /// False once the node was out of reach for so long that nothing is held for it any more.
    holding: AtomicBool,
    connected: AtomicBool,
    stop: CancellationToken,
}

impl DialledLink {
    /// A link to the node `to`, which listens on `address` (`host:port`). It does nothing until [`DialledLink::run`].
    pub fn new(to: NodeId, address: String, config: Arc<LinkConfig>) -> Arc<DialledLink> {
        Arc::new(DialledLink {
            to,
            address,
            config,
            shared: Shared::default(),
            overrun: Notify::new(),
            holding: AtomicBool::new(true),
            connected: AtomicBool::new(false),
            stop: CancellationToken::new(),
        })
    }

    /// Where it is dialled.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether a connection stands now.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Ends the link: nothing more is taken, `run` returns.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Keeps the link until it is closed.
    pub async fn run(self: Arc<Self>, events: Arc<dyn LinkEvents>) {
        let mut session =
            Session { id: self.config.chance.number(), down_since: Instant::now(), told: String::new() };
        let mut wait = FIRST_WAIT;
        while !self.stop.is_cancelled() {
            match self.open(&session).await {
                Ok((wired, welcome)) => {
                    wait = FIRST_WAIT;
                    self.connected.store(true, Ordering::Release);
                    let end = self.serve(wired, &welcome, &mut session, &events).await;
                    self.connected.store(false, Ordering::Release);
                    session.down_since = Instant::now();
                    self.after(end, &mut session, &events);
                }
                Err(error) => session.tell(&self, &error),
            }
            self.abandon(&mut session, &events);
            let pause = self.config.chance.part_of(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
            _ = self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        self.holding.store(false, Ordering::Release);
        *self.shared.core.lock() = LinkCore::default();
        events.ended();
    }

    async fn open(&self, session: &Session) -> Result<(Wired<Box<dyn Stream>>, LinkWelcome), DialError> {
        let limit = self.config.pace.hello;
        let opened = tokio::time::timeout(limit, self.greet(session));
        match self.stop.run_until_cancelled(opened).await {
            Some(opened) => opened.map_err(|_| DialError::Timeout(limit))?,
            None => Err(LinkEnd::Stopped.into()),
        }
    }

    async fn greet(&self, session: &Session) -> Result<(Wired<Box<dyn Stream>>, LinkWelcome), DialError> {
        let socket = self.config.dial.dial(&self.address).await.map_err(LinkEnd::Io)?;
        let (stream, role): (Box<dyn Stream>, _) = match &self.config.tls {
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
                let connected = tls.connect(host, socket).await;
                if let Err(error) = &connected {
                    DialError::certificate(error)?;
                }
                let (stream, role) = connected.map_err(LinkEnd::Io)?;
                (Box::new(stream), Some(role))
            }
            None => (socket, None),
        };
        let mut wired = Wired::new(stream, Inlet::dialling(), self.config.traffic.clone());
        let received = self.shared.core.lock().count();
        let hello = self.config.me.hello(self.to, session.id, received, WINDOW_BYTES);
        let said = async {
            wired.stream.write_all(&LINK_PREFACE).await.map_err(LinkEnd::Io)?;
            wired.write(&single(Body::Hello(hello))).await
        };
        let (said, heard) = (said.await, wired.first().await);
        // In TLS 1.3 the peer judges this node's certificate after the handshake is over here.
        if let Err(LinkEnd::Io(error)) = &heard {
            DialError::certificate(error)?;
        }
        said?;
        match heard? {
            Body::Welcome(welcome) => {
                Me::welcomed(self.to, role, &welcome)?;
                wired.inlet.welcome();
                Ok((wired, welcome))
            }
            Body::Refused(refused) => Err(Refusal::from(refused).into()),
            _ => Err(LinkEnd::Misplaced("neither welcome nor refused").into()),
        }
    }

    async fn serve(
        &self,
        wired: Wired<Box<dyn Stream>>,
        welcome: &LinkWelcome,
        session: &mut Session,
        events: &Arc<dyn LinkEvents>,
    ) -> LinkEnd {
        let window = welcome.window as usize;
        if welcome.resumed {
            if let Err(miscounted) = self.shared.core.lock().resume(welcome.received, window) {
                return miscounted.into();
            }
            tracing::info!(node = %self.to, "linked again; nothing is lost");
        } else {
            self.begin(window, events);
            tracing::info!(node = %self.to, address = self.address, version = welcome.version, "linked");
        }
        session.told.clear();
        self.holding.store(true, Ordering::Release);
        let running = wired.run(&self.shared, self.config.pace, |body| match body {
            Body::ToConnector(message) => {
                events.deliver(message);
                Ok(())
            }
            _ => Err("what is meant for a channel node"),
        });
        tokio::select! {
            biased;
            end = running => end,
            () = self.stop.cancelled() => LinkEnd::Stopped,
            () = self.overrun.notified() => LinkEnd::Overrun,
        }
    }

    /// Nothing is known at the other end.
    fn begin(&self, window: usize, events: &Arc<dyn LinkEvents>) {
        let mut core = self.shared.core.lock();
        let fresh = core.is_fresh();
        core.begin(window, events.opening().map(Body::ToChannel));
        drop(core);
        if !fresh {
            events.ended();
        }
        events.began();
    }

    /// Whether something was said that is not sent yet.
    pub fn has_waiting(&self) -> bool {
        self.shared.core.lock().has_waiting()
    }

    fn after(&self, end: LinkEnd, session: &mut Session, events: &Arc<dyn LinkEvents>) {
        match end {
            LinkEnd::Stopped => {}
            _ if end.is_final() => {
                tracing::warn!(node = %self.to, %end, "a link begins anew");
                self.forget(session, events);
            }
            _ => tracing::warn!(node = %self.to, %end, "a link is broken; it is dialled again"),
        }
    }

    /// After a while nothing is held any more: whoever asked is told, and asks again elsewhere or later.
    fn abandon(&self, session: &mut Session, events: &Arc<dyn LinkEvents>) {
        let held = self.holding.load(Ordering::Acquire);
        if held && session.down_since.elapsed() >= self.config.hold {
            self.holding.store(false, Ordering::Release);
            self.forget(session, events);
        }
    }

    fn forget(&self, session: &mut Session, events: &Arc<dyn LinkEvents>) {
        session.id = self.config.chance.number();
        *self.shared.core.lock() = LinkCore::default();
        events.ended();
    }
}

impl ChannelLink for DialledLink {
    fn node(&self) -> NodeId {
        self.to
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        use to_channel::Body as Said;
        if self.stop.is_cancelled() || !self.holding.load(Ordering::Acquire) {
            return Err(LinkError::Closed);
        }
        let sure = matches!(message.body, Some(Said::Detach(_) | Said::Suspend(_) | Said::Revive(_)));
        let mut core = self.shared.core.lock();
        let taken = match sure {
            true => core.offer_surely(Body::ToChannel(message)),
            false => core.offer_to_channel(message),
        };
        drop(core);
        match taken {
            Ok(()) => self.shared.wake.notify_one(),
            Err(_) if sure => self.overrun.notify_one(),
            Err(_) => return Err(LinkError::Full),
        }
        Ok(())
    }
}

/// The session of the link that is to go on, and what was said of it last.
struct Session {
    id: u64,
    down_since: Instant,
    told: String,
}

impl Session {
    /// One line for each new reason, not for each attempt.
    fn tell(&mut self, link: &DialledLink, error: &DialError) {
        let text = error.to_string();
        if text != self.told && !matches!(error, DialError::End(LinkEnd::Stopped)) {
            tracing::warn!(node = %link.to, address = link.address, reason = text, "no link");
            self.told = text;
        }
    }
}
