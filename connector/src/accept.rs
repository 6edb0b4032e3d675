//! From a listener to a running connection, for every transport.
//!
//! One loop per listener. An accepted socket gets a task for its handshake; once the device is logged in, a second,
//! much smaller task takes over, so that what a login needs is not kept for the life of the connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::check::Refused;
use protocol::code::Code;
use socket2::TcpKeepalive;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attach::Refusal;
use crate::bucket::{Bucket, Rate};
use crate::connection::Connection;
use crate::connector::Connector;
use crate::handshake::{Failed, LoggedIn, handshake};
use crate::transport::{Transport, say_goodbye};

/// Time a refused peer gets to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// Pause after `accept` failed, most often for want of file descriptors, or all places were taken: long enough to spare the processor, short
/// enough that the listen queue survives it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long an accepted connection waits for a place: in a storm new connections come while the ends of the old ones are
/// still looked at. And how often it is looked.
const ROOM_PATIENCE: Duration = Duration::from_millis(250);
const ROOM_LOOK: Duration = Duration::from_millis(5);
/// Silence on a socket after which the kernel probes the peer, the time between probes, and how many may fail.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(45);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(9);
const KEEPALIVE_PROBES: u32 = 3;
/// How long the peer's kernel may leave written bytes unacknowledged: as long as unacknowledged pushes are repeated.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(72);
/// Sockets waiting in the kernel; a reconnect storm arrives faster than it is accepted.
pub const LISTEN_BACKLOG: u32 = 4096;

/// One of a counted number of things; given back when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Counts one more, however many there are.
    pub fn take(taken: &Arc<AtomicUsize>) -> Place {
        taken.fetch_add(1, Ordering::Relaxed);
        Place(taken.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connector {
    /// Accepts TCP sockets until `stop`, and runs `serve` on each in a task of its own that ends then too.
    pub(crate) fn accept_tcp<S, F>(
        self: &Arc<Self>,
        listener: TcpListener,
        stop: &CancellationToken,
        serve: S,
    ) where
        S: Fn(Arc<Connector>, TcpStream, SocketAddr, Place) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (connector, stop) = (self.clone(), stop.clone());
        let accepts = self.core.config.accepts_per_second;
        let (mut bucket, rate) = (Bucket::default(), Rate { per_second: accepts, burst: accepts });
        self.tasks.spawn(async move {
            let started = Instant::now();
            loop {
                // What comes faster waits in the kernel's listen queue.
                if let Err(wait) = bucket.take(rate, started.elapsed()) {
                    tokio::time::sleep(wait).await;
                    continue;
                }
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, remote)) => {
                        connector.room().await;
                        if !connector.begin(stream, remote, &stop, &serve) {
                            // Whoever comes meanwhile waits in the listen queue.
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                    Err(error) => pause_after(error).await,
                }
            }
        });
    }

    /// Waits a moment for room, if there is none.
    async fn room(&self) {
        let until = Instant::now() + ROOM_PATIENCE;
        while !(self.has_socket_room() && self.has_room()) && Instant::now() < until {
            tokio::time::sleep(ROOM_LOOK).await;
        }
    }

    /// Says whether there was a place.
    fn begin<S, F>(
        self: &Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        stop: &CancellationToken,
        serve: &S,
    ) -> bool
    where
        S: Fn(Arc<Connector>, TcpStream, SocketAddr, Place) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(place) = self.socket_place() else { return false };
        // Failing means that the peer is gone already.
        if set_options(&stream).is_ok() {
            let login = serve(self.clone(), stream, remote, place);
            self.tasks.spawn(stop.clone().run_until_cancelled_owned(login));
        }
        true
    }

    /// Serves one stream that did not come from a listener, such as a pipe inside the process.
    pub fn serve_stream<T: Transport>(self: &Arc<Self>, io: T, remote: SocketAddr) {
        let connector = self.clone();
        if let Some(place) = self.datagram_place() {
            self.tasks.spawn(async move { connector.log_in(io, remote, place).await });
        }
    }

    /// A place for one more connection that holds a file descriptor.
    fn socket_place(&self) -> Option<Place> {
        self.place(self.has_socket_room(), &self.sockets)
    }

    fn has_socket_room(&self) -> bool {
        self.sockets.load(Ordering::Relaxed) < self.core.config.max_sockets
    }

    fn has_room(&self) -> bool {
        let held = self.sockets.load(Ordering::Relaxed) + self.datagrams.load(Ordering::Relaxed);
        held < self.core.config.max_connections
    }

    /// A place for one more QUIC connection.
    pub(crate) fn datagram_place(&self) -> Option<Place> {
        self.place(true, &self.datagrams)
    }

    /// Without a place the connection is dropped: a farewell would cost what is lacking.
    fn place(&self, room: bool, of: &Arc<AtomicUsize>) -> Option<Place> {
        self.core.metrics.accepted.add(1);
        if room && self.has_room() {
            return Some(Place::take(of));
        }
        self.core.metrics.refused_full.add(1);
        None
    }

    /// Logs a device in and hands its connection to a task of its own.
    pub(crate) async fn log_in<T: Transport>(&self, mut io: T, remote: SocketAddr, place: Place) {
        let with_preface = io.kind().has_preface();
        match handshake(&mut io, &self.core, with_preface, remote.to_string()).await {
            Ok(LoggedIn { attachment, rest }) => {
                self.tasks.spawn(Connection::new(io, attachment, rest, place));
            }
            Err(failed) => self.refuse(io, failed).await,
        }
    }

    /// Says why there is no login.
    pub(crate) async fn refuse<T: Transport>(&self, mut io: T, failed: Failed) {
        self.core.metrics.logins_refused.add(1);
        let Failed::Refused(Refusal { refused: Refused { code, message }, delay_ms }) = failed else {
            return;
        };
        tracing::debug!(%code, "login refused");
        let last = self.core.farewell(io.kind(), code, &message, delay_ms);
        let told = async {
            io.write_all(&last).await?;
            say_goodbye(&mut io, code, REFUSAL_TIME).await
        };
        if let Ok(Err(error)) | Err(error) =
            tokio::time::timeout(REFUSAL_TIME, told).await.map_err(io::Error::from)
        {
            tracing::trace!(%error, "the refused peer did not listen");
        }
    }

    /// Refuses a peer that never came to a handshake.
    pub(crate) async fn refuse_with<T: Transport>(&self, io: T, code: Code) {
        self.refuse(io, Failed::from(code)).await;
    }
}

/// Binds a TCP listener with a listen queue for storms.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Small frames must not wait for each other's acknowledgement.
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    // A peer that vanished without a word is noticed by probes while nothing is written, and otherwise by what is
    // written and never acknowledged.
    let probes = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&probes.with_retries(KEEPALIVE_PROBES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

async fn pause_after(error: io::Error) {
    tracing::warn!(%error, "accept failed; trying again in {ACCEPT_PAUSE:?}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
