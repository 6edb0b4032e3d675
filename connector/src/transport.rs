//! What any transport gives: an ordered byte stream of device frames, and a goodbye.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use protocol::code::Code;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

use crate::tls_stream::TlsStream;

/// Most bytes [`linger`] throws away before it gives up on a peer that keeps sending.
const MAX_LINGER_BYTES: usize = 256 * 1024;

/// An ordered byte stream of device frames in both directions.
///
/// One call of `poll_write` or `poll_write_vectored` holds whole frames: a transport with messages of its own makes
/// one message of it. What a write reports as taken may still wait in the transport; `poll_flush` pushes it out.
/// A transport is driven by one task and never split.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Says why, flushes everything that was written and ends the writing side. Poll until ready, with the same code.
    ///
    /// A WebSocket sends close code `4000 + code`, QUIC closes the connection with the code as application error
    /// code, TCP and TLS only shut down. Reading stays possible, except on QUIC.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, code: Code) -> Poll<io::Result<()>>;

    /// Which transport this is.
    fn kind(&self) -> TransportKind;
}

/// The transports a device may arrive on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    Tcp,
    Tls,
    Quic,
    WebSocket,
    WebSocketTls,
    /// A pipe inside the process.
    Memory,
}

impl TransportKind {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            TransportKind::Tcp => "tcp",
            TransportKind::Tls => "tls",
            TransportKind::Quic => "quic",
            TransportKind::WebSocket => "websocket",
            TransportKind::WebSocketTls => "websocket+tls",
            TransportKind::Memory => "memory",
        }
    }

    /// Schemes of the URLs at which a device of this transport may connect elsewhere, the better first. Behind a proxy
    /// that ends TLS a device has it although its connector does not see it.
    pub fn schemes(self) -> &'static [&'static str] {
        match self {
            TransportKind::Tcp => &["tls", "tcp"],
            TransportKind::Tls => &["tls"],
            TransportKind::Quic => &["quic"],
            TransportKind::WebSocket => &["wss", "ws"],
            TransportKind::WebSocketTls => &["wss"],
            TransportKind::Memory => &[],
        }
    }

    /// Whether the stream opens with [`protocol::preface::PREFACE`].
    pub fn has_preface(self) -> bool {
        matches!(self, TransportKind::Tcp | TransportKind::Tls | TransportKind::Memory)
    }
}

/// A transport's own rules were broken by the peer. Travels inside an [`io::Error`]; see [`code_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TransportError {
    /// What to close the connection with.
    pub code: Code,
    /// What the peer did, for people.
    pub detail: &'static str,
}

impl From<TransportError> for io::Error {
    fn from(error: TransportError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// The code to close with, if this error says that the peer broke the transport's rules.
pub fn code_of(error: &io::Error) -> Option<Code> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<TransportError>().map(|error| error.code)
}

/// Says goodbye, waiting at most `deadline`, and reads on until the peer closes too, so that the reset which
/// unread bytes cause does not overtake the goodbye.
pub async fn say_goodbye<T: Transport>(stream: &mut T, code: Code, deadline: Duration) -> io::Result<()> {
    let parting = async {
        std::future::poll_fn(|cx| stream.poll_goodbye(cx, code)).await?;
        discard(stream).await;
        Ok(())
    };
    tokio::time::timeout(deadline, parting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads and throws away what the peer still sends until it closes, at most `deadline` long.
pub async fn linger<S: AsyncRead + Unpin>(stream: &mut S, deadline: Duration) {
    // Running out of time is one of the two ways this ends well.
    let _ = tokio::time::timeout(deadline, discard(stream)).await;
}

async fn discard<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut scratch = [0; 1024];
    let mut total = 0;
    while let Ok(length @ 1..) = stream.read(&mut scratch).await {
        total += length;
        if total > MAX_LINGER_BYTES {
            return;
        }
    }
}

impl Transport for TcpStream {
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, _: Code) -> Poll<io::Result<()>> {
        poll_flush_and_shutdown(self, cx)
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Tcp
    }
}

/// Boxed, because a TLS session is more than a kilobyte and a task that holds it moves.
impl Transport for Box<TlsStream<TcpStream>> {
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, _: Code) -> Poll<io::Result<()>> {
        poll_flush_and_shutdown(self, cx)
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Tls
    }
}

impl Transport for DuplexStream {
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, _: Code) -> Poll<io::Result<()>> {
        poll_flush_and_shutdown(self, cx)
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Memory
    }
}

/// The goodbye of a stream that cannot carry a code.
pub(crate) fn poll_flush_and_shutdown<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
    Pin::new(stream).poll_shutdown(cx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_transport_error_has_a_code() {
        let error = io::Error::from(TransportError { code: Code::TEXT_MESSAGE, detail: "text" });
        assert_eq!(code_of(&error), Some(Code::TEXT_MESSAGE));
        assert_eq!(code_of(&io::ErrorKind::BrokenPipe.into()), None);
        assert_eq!(code_of(&io::Error::other("else")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_to_a_peer_that_never_closes_ends_at_the_deadline() {
        let (mut ours, _theirs) = tokio::io::duplex(64);
        let said = say_goodbye(&mut ours, Code::SHUTTING_DOWN, Duration::from_secs(1)).await;
        assert_eq!(said.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
