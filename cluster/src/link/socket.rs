//! One connection of a link: reads and writes until either ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use protocol::frame::FrameError;
use protocol::node::v1::LinkPing;
use protocol::node::v1::link_message::Body;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::core::{LinkCore, Miscounted};
use super::lag::{LOOK_EVERY, Lag};
use super::traffic::Traffic;
use super::wire::{Batch, Inlet, WireError, encode};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// How a link notices that its peer is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Silence of one's own after which a ping is sent.
    pub ping: Duration,
    /// Silence of the peer, or a write that does not move, after which the connection is given up.
    pub silence: Duration,
    /// From connecting, or being connected to, until hello and welcome have passed.
    pub hello: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Pace { ping: seconds(2), silence: seconds(8), hello: seconds(5) }
    }
}

/// Why a connection of a link is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkEnd {
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    #[error("a write did not move for {0:?}")]
    Stuck(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the peer has closed the connection")]
    Closed,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Miscounted(#[from] Miscounted),
    #[error("the peer says {0}, which does not belong there")]
    Misplaced(&'static str),
    #[error("a newer connection has taken over")]
    Replaced,
    #[error("more waited for the link than may; it begins anew")]
    Overrun,
    #[error("this node ends the link")]
    Stopped,
}

impl LinkEnd {
    /// Whether the session is over too: one side does not keep to the protocol, or something got lost.
    pub fn is_final(&self) -> bool {
        use LinkEnd::*;
        matches!(self, Wire(_) | Miscounted(_) | Misplaced(_) | Overrun)
    }
}

impl From<FrameError> for LinkEnd {
    fn from(error: FrameError) -> Self {
        LinkEnd::Wire(error.into())
    }
}

/// What a session's callers and its connection share.
#[derive(Debug, Default)]
pub struct Shared {
    pub core: Mutex<LinkCore>,
    /// Something waits to be written.
    pub wake: Notify,
}

/// A stream with what was read of it beyond the last message.
pub struct Wired<S> {
    pub stream: S,
    pub inlet: Inlet,
    pub read: BytesMut,
    traffic: Arc<Traffic>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wired<S> {
    pub fn new(stream: S, inlet: Inlet, traffic: Arc<Traffic>) -> Self {
        Self { stream, inlet, read: BytesMut::new(), traffic }
    }

    /// The next frame's only message. For hello and welcome.
    pub async fn first(&mut self) -> Result<Body, LinkEnd> {
        loop {
            if let Some((mut messages, _)) = self.inlet.next(&mut self.read)? {
                let message = messages.next().ok_or(FrameError::Malformed)??;
                let body = message.body.ok_or(LinkEnd::Misplaced("nothing known"))?;
                return if messages.next().is_none() {
                    Ok(body)
                } else {
                    Err(LinkEnd::Misplaced("too much"))
                };
            }
            match self.stream.read_buf(&mut self.read).await? {
                0 => return Err(LinkEnd::Closed),
                bytes => self.traffic.add_read(bytes),
            }
        }
    }

    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), LinkEnd> {
        self.stream.write_all(bytes).await?;
        self.traffic.add_written(bytes.len());
        Ok(self.stream.flush().await?)
    }

    /// Reads and writes until the connection is over. `handle` gets every numbered message, in order, and must not
    /// block; a body that is not one of its kind it refuses with what it is called.
    pub async fn run(
        self,
        shared: &Shared,
        pace: Pace,
        handle: impl FnMut(Body) -> Result<(), &'static str>,
    ) -> LinkEnd {
        let Wired { stream, inlet, read, traffic } = self;
        let (reading, writing) = tokio::io::split(stream);
        let ended = tokio::select! {
            biased;
            ended = read_on((reading, &traffic), inlet, read, shared, pace, handle) => ended,
            ended = write_on((writing, &traffic), shared, pace) => ended,
            never = look_on(shared, &traffic) => match never {},
        };
        match ended {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }
}

async fn read_on(
    (mut from, traffic): (impl AsyncRead + Unpin, &Traffic),
    mut inlet: Inlet,
    mut read: BytesMut,
    shared: &Shared,
    pace: Pace,
    mut handle: impl FnMut(Body) -> Result<(), &'static str>,
) -> Result<std::convert::Infallible, LinkEnd> {
    loop {
        while let Some((messages, bytes)) = inlet.next(&mut read)? {
            for message in messages {
                take(message?.body, shared, &mut handle)?;
            }
            if shared.core.lock().handled(bytes) {
                shared.wake.notify_one();
            }
        }
        read.reserve(READ_BYTES);
        let some = tokio::time::timeout(pace.silence, from.read_buf(&mut read)).await;
        match some.map_err(|_| LinkEnd::Silent(pace.silence))?? {
            0 => return Err(LinkEnd::Closed),
            bytes => traffic.add_read(bytes),
        }
    }
}

fn take(
    body: Option<Body>,
    shared: &Shared,
    handle: &mut impl FnMut(Body) -> Result<(), &'static str>,
) -> Result<(), LinkEnd> {
    match body {
        Some(Body::Ack(ack)) => {
            shared.core.lock().acknowledged(ack.received)?;
            shared.wake.notify_one();
        }
        Some(body @ (Body::ToChannel(_) | Body::ToConnector(_))) => {
            // It counts before it is handled: what it makes this side send may tell of it.
            shared.core.lock().received();
            handle(body).map_err(LinkEnd::Misplaced)?;
        }
        Some(Body::Ping(_)) => {}
        Some(Body::Hello(_) | Body::Welcome(_) | Body::Refused(_)) => {
            return Err(LinkEnd::Misplaced("hello twice"));
        }
        // A newer node's message. It is not numbered, or it would be in a version that this one does not speak.
        None => {}
    }
    Ok(())
}

async fn write_on(
    (mut to, traffic): (impl AsyncWrite + Unpin, &Traffic),
    shared: &Shared,
    pace: Pace,
) -> Result<std::convert::Infallible, LinkEnd> {
    loop {
        let frame = match next_frame(shared, false) {
            Some(frame) => frame,
            None if tokio::time::timeout(pace.ping, shared.wake.notified()).await.is_ok() => continue,
            None => next_frame(shared, true).unwrap_or_default(),
        };
        write(&mut to, &frame, pace).await?;
        traffic.add_written(frame.len());
    }
}

/// What there is to write. An acknowledgement goes along with everything, and by itself where it is due.
fn next_frame(shared: &Shared, ping: bool) -> Option<Bytes> {
    let mut core = shared.core.lock();
    let mut batch = Batch::new();
    let due = ping || core.handled(0);
    if (due || core.has_waiting())
        && let Some(ack) = core.acknowledgement()
    {
        encode(Body::Ack(ack)).into_iter().for_each(|ack| batch.put(&ack));
    }
    core.fill(&mut batch);
    drop(core);
    if ping && batch.is_empty() {
        encode(Body::Ping(LinkPing {})).into_iter().for_each(|ping| batch.put(&ping));
    }
    batch.finish()
}

/// Notes how far behind the connection is.
async fn look_on(shared: &Shared, traffic: &Traffic) -> std::convert::Infallible {
    let (place, mut lag) = (traffic.place(), Lag::default());
    loop {
        let (said, confirmed) = shared.core.lock().progress();
        place.set(lag.look(Instant::now(), said, confirmed));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &Bytes, pace: Pace) -> Result<(), LinkEnd> {
    let written = async {
        to.write_all(frame).await?;
        to.flush().await
    };
    let written = tokio::time::timeout(pace.silence, written).await;
    Ok(written.map_err(|_| LinkEnd::Stuck(pace.silence))??)
}
