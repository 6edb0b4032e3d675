//! QUIC: one connection, one bidirectional stream that the client opens.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use protocol::code::Code;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{Connection, ConnectionError, Incoming, RecvStream, SendStream, TransportConfig, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::{Identity, TlsError, Use};
use crate::transport::{Transport, TransportKind};

/// Silence after which a connection is dropped, if the caller has no heartbeat of its own: three of 30 s.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Most bytes a client may send ahead of what was read, on the stream and on the connection.
pub const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
pub const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Most bytes written and not yet acknowledged.
pub const SEND_WINDOW_BYTES: u64 = 256 * 1024;
/// Most handshakes that wait for [`quinn::Endpoint::accept`]; more are refused.
pub const MAX_INCOMING: usize = 1024;
/// Most bytes that clients may send before their connection is accepted: for one, for all.
pub const INCOMING_BUFFER_BYTES: u64 = 16 * 1024;
pub const INCOMING_BUFFERS_BYTES: u64 = 8 * 1024 * 1024;
/// With this many clients connecting, a new one proves its address by a Retry first.
pub const RETRY_ABOVE: usize = 256;
/// With this many clients connecting, a new one is refused.
pub const REFUSE_ABOVE: usize = 4096;
/// How long a goodbye waits for the client to acknowledge what was written.
const GOODBYE_GRACE: Duration = Duration::from_secs(1);

/// Why there is no QUIC endpoint.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Cipher(#[from] NoInitialCipherSuite),
    #[error("the idle timeout is too long for QUIC")]
    IdleTimeout,
}

/// The configuration of a server endpoint. `idle_timeout` covers three heartbeats; nothing is sent to keep a
/// connection alive, since heartbeats do.
pub fn server_config(identity: &Identity, idle_timeout: Duration) -> Result<quinn::ServerConfig, QuicError> {
    let crypto = QuicServerConfig::try_from(identity.server_config(Use::Quic)?)?;
    let mut transport = TransportConfig::default();
    // A connection keeps the largest buffer that it has ever sent from: one datagram, where offloading would have made it
    // ten; and nobody probes for larger datagrams, from which short messages gain nothing.
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .enable_segmentation_offload(false)
        .mtu_discovery_config(None)
        .max_idle_timeout(Some(idle_timeout.try_into().map_err(|_| QuicError::IdleTimeout)?))
        .keep_alive_interval(None);
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFERS_BYTES);
    Ok(config)
}

/// A server endpoint on this UDP address, with [`IDLE_TIMEOUT`] or the caller's.
pub fn bind(identity: &Identity, address: SocketAddr, idle_timeout: Duration) -> io::Result<quinn::Endpoint> {
    let config = server_config(identity, idle_timeout).map_err(io::Error::other)?;
    quinn::Endpoint::server(config, address)
}

/// What to do with a client that wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Accept,
    /// Ask it to prove its address, which costs no memory here.
    Retry,
    Refuse,
}

/// Decides by how many clients are connecting (accepted, not yet logged in).
pub fn admission(connecting: usize, may_retry: bool) -> Admission {
    match connecting {
        REFUSE_ABOVE.. => Admission::Refuse,
        RETRY_ABOVE.. if may_retry => Admission::Retry,
        _ => Admission::Accept,
    }
}

/// Performs the [`admission`]; `None` if the client was sent away or asked to come again.
pub fn admit(incoming: Incoming, connecting: usize) -> Option<Incoming> {
    match admission(connecting, incoming.may_retry()) {
        Admission::Accept => Some(incoming),
        Admission::Retry => {
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            None
        }
        Admission::Refuse => {
            incoming.refuse();
            None
        }
    }
}

/// Why a client that connects gave no stream.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("the handshake failed: {0}")]
    Connection(#[from] ConnectionError),
    #[error("no stream was opened in time")]
    Timeout,
}

/// Does the handshake and waits for the client's stream, which shows once the client has written to it. A client
/// that is late is closed with HELLO_TIMEOUT.
pub async fn accept_stream(incoming: Incoming, deadline: Duration) -> Result<QuicStream, AcceptError> {
    let until = tokio::time::Instant::now() + deadline;
    let connecting = incoming.accept()?;
    let connection = tokio::time::timeout_at(until, connecting).await.map_err(|_| AcceptError::Timeout)??;
    match tokio::time::timeout_at(until, connection.accept_bi()).await {
        Ok(streams) => {
            let (send, recv) = streams?;
            Ok(QuicStream { send, recv, connection, goodbye: None })
        }
        Err(_) => {
            close(&connection, Code::HELLO_TIMEOUT);
            Err(AcceptError::Timeout)
        }
    }
}

type Goodbye = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The stream of a QUIC connection, and the connection.
pub struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    connection: Connection,
    /// Waits until the client has everything.
    goodbye: Option<Goodbye>,
}

impl QuicStream {
    /// Where the client is now; it may move.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}

impl Transport for QuicStream {
    /// Finishes the stream, waits at most a second until all of it is acknowledged, and closes the connection.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, code: Code) -> Poll<io::Result<()>> {
        if self.connection.close_reason().is_some() {
            return Poll::Ready(Ok(()));
        }
        let send = &mut self.send;
        let goodbye = self.goodbye.get_or_insert_with(|| {
            // A stream that is finished already is as good.
            let _ = send.finish();
            let stopped = send.stopped();
            Box::pin(async move {
                // The close follows whether or not the client acknowledged.
                let _ = tokio::time::timeout(GOODBYE_GRACE, stopped).await;
            })
        });
        ready!(goodbye.as_mut().poll(cx));
        close(&self.connection, code);
        Poll::Ready(Ok(()))
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Quic
    }
}

fn close(connection: &Connection, code: Code) {
    connection.close(VarInt::from_u32(code.number()), code.name().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_rises_with_the_load() {
        assert_eq!(admission(0, true), Admission::Accept);
        assert_eq!(admission(RETRY_ABOVE - 1, true), Admission::Accept);
        assert_eq!(admission(RETRY_ABOVE, true), Admission::Retry);
        assert_eq!(admission(RETRY_ABOVE, false), Admission::Accept);
        assert_eq!(admission(REFUSE_ABOVE, false), Admission::Refuse);
        assert_eq!(admission(REFUSE_ABOVE, true), Admission::Refuse);
    }
}
