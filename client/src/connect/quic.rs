//! One bidirectional QUIC stream as a byte stream.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes the server may send ahead of what is read.
const RECEIVE_WINDOW: u32 = 1024 * 1024;
/// Keeps a NAT's mapping alive between heartbeats.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A path without any answer for this long is dead.
const IDLE_TIMEOUT_MS: u32 = 60_000;

/// The stream, and the connection that it needs to stay open.
pub struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    _connection: Connection,
    _endpoint: Endpoint,
}

/// Connects to one of a server's addresses and opens the stream.
pub async fn dial(server: SocketAddr, name: &str, tls: rustls::ClientConfig) -> io::Result<QuicStream> {
    let local: SocketAddr = if server.is_ipv6() { ([0u16; 8], 0).into() } else { ([0u8; 4], 0).into() };
    let endpoint = Endpoint::client(local)?;
    let connecting = endpoint.connect_with(config(tls)?, server, name).map_err(io::Error::other)?;
    let connection = connecting.await?;
    let (send, recv) = connection.open_bi().await?;
    Ok(QuicStream { send, recv, _connection: connection, _endpoint: endpoint })
}

/// The code the server closed the connection with, if that is what this error is.
pub fn close_code(error: &io::Error) -> Option<(u32, String)> {
    let cause = error.get_ref()?;
    let read = cause.downcast_ref::<quinn::ReadError>().and_then(|error| match error {
        quinn::ReadError::ConnectionLost(error) => Some(error),
        _ => None,
    });
    let write = cause.downcast_ref::<quinn::WriteError>().and_then(|error| match error {
        quinn::WriteError::ConnectionLost(error) => Some(error),
        _ => None,
    });
    match read.or(write).or_else(|| cause.downcast_ref())? {
        quinn::ConnectionError::ApplicationClosed(close) => {
            let number = u32::try_from(close.error_code.into_inner()).ok()?;
            Some((number, String::from_utf8_lossy(&close.reason).into_owned()))
        }
        _ => None,
    }
}

fn config(tls: rustls::ClientConfig) -> io::Result<ClientConfig> {
    let tls = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(0u8.into())
        .max_concurrent_uni_streams(0u8.into())
        .stream_receive_window(RECEIVE_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(u64::from(RECEIVE_WINDOW))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(quinn::VarInt::from_u32(IDLE_TIMEOUT_MS).into()));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), context, buffer)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}
