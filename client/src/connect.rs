//! From an address to an open transport.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::limit::MAX_FRAME_BYTES;
use protocol::preface::{ALPN, PREFACE, WEBSOCKET_PATH};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::arrivals::Arrivals;
use crate::error::ConnectError;
use crate::pipe::{BoxIo, Pipe};

pub mod address;
pub mod quic;
pub mod trust;

use address::{Address, Scheme};
use trust::Trust;

/// Time to resolve, connect and shake hands below the protocol.
pub const DIAL_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes the WebSocket library may hold unsent.
const WEBSOCKET_WRITE_BUFFER: usize = 1024 * 1024;

/// Opens the transport that the address names. Nothing of the protocol has been said but the preface.
pub async fn dial(address: &Address, trust: &Trust) -> Result<Pipe, ConnectError> {
    let tls = tls_config(address.scheme, trust)?;
    let attempt = tokio::time::timeout(DIAL_WITHIN, open(address, tls)).await;
    let attempt =
        attempt.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")));
    attempt.map_err(|error| ConnectError::Dial { address: address.to_string(), source: Arc::new(error) })
}

async fn open(address: &Address, tls: Option<rustls::ClientConfig>) -> io::Result<Pipe> {
    let arrivals = Arrivals::default();
    match address.scheme {
        Scheme::Quic => {
            let io = arrivals.count(open_quic(address, tls).await?);
            Ok(Pipe::stream(Box::new(io), arrivals))
        }
        Scheme::Tcp | Scheme::Tls => {
            let mut io = open_tcp(address, tls, &arrivals).await?;
            io.write_all(&PREFACE).await?;
            Ok(Pipe::stream(io, arrivals))
        }
        Scheme::Ws | Scheme::Wss => {
            let io = open_tcp(address, tls, &arrivals).await?;
            upgrade(address, io, arrivals).await
        }
    }
}

fn tls_config(scheme: Scheme, trust: &Trust) -> Result<Option<rustls::ClientConfig>, ConnectError> {
    match scheme {
        Scheme::Tcp | Scheme::Ws => Ok(None),
        Scheme::Tls | Scheme::Quic => trust.config(&[ALPN]).map(Some),
        Scheme::Wss => trust.config(&[b"http/1.1"]).map(Some),
    }
}

async fn open_tcp(
    address: &Address,
    tls: Option<rustls::ClientConfig>,
    arrivals: &Arrivals,
) -> io::Result<BoxIo> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let stream = arrivals.count(stream);
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::new(tls)).connect(name, stream).await?))
}

async fn open_quic(address: &Address, tls: Option<rustls::ClientConfig>) -> io::Result<quic::QuicStream> {
    let tls = tls.ok_or_else(|| io::Error::other("QUIC needs TLS"))?;
    let servers: Vec<SocketAddr> = lookup_host((address.host.as_str(), address.port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for server in servers {
        match quic::dial(server, &address.host, tls.clone()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn upgrade(address: &Address, io: BoxIo, arrivals: Arrivals) -> io::Result<Pipe> {
    let limit = Some(MAX_FRAME_BYTES + protocol::limit::FRAME_HEADER_BYTES);
    let config = WebSocketConfig::default()
        .max_message_size(limit)
        .max_frame_size(limit)
        .write_buffer_size(0)
        .max_write_buffer_size(WEBSOCKET_WRITE_BUFFER);
    let host = address.to_string();
    let (_, authority) = host.split_once("://").unwrap_or_default();
    let request = format!("ws://{authority}{WEBSOCKET_PATH}");
    let (socket, _) = client_async_with_config(request, io, Some(config)).await.map_err(io::Error::other)?;
    Ok(Pipe::websocket(socket, arrivals))
}
