//! QUIC on a real socket, against a quinn client.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use protocol::code::Code;
use protocol::preface;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whimbrel_connector::quic::{self, AcceptError, QuicStream, RETRY_ABOVE};
use whimbrel_connector::tls::Identity;
use whimbrel_connector::transport::{Transport, TransportKind};

const DEADLINE: Duration = Duration::from_secs(5);

struct Pair {
    server: Endpoint,
    client: Endpoint,
}

impl Pair {
    fn new() -> Self {
        Self::with(quic::IDLE_TIMEOUT, preface::ALPN)
    }

    fn with(idle_timeout: Duration, alpn: &[u8]) -> Self {
        let made = Identity::self_signed().unwrap();
        let server = quic::bind(&made.identity, "127.0.0.1:0".parse().unwrap(), idle_timeout).unwrap();
        let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        client.set_default_client_config(client_config(made.certificate_der, alpn));
        Self { server, client }
    }

    async fn dial(&self) -> Result<Connection, ConnectionError> {
        self.client.connect(self.server.local_addr().unwrap(), "localhost").unwrap().await
    }

    /// A client that has opened its stream with one byte, and the server's end without that byte.
    async fn connect(&self) -> (Connection, SendStream, RecvStream, QuicStream) {
        let accept = async {
            let incoming = self.server.accept().await.unwrap();
            quic::accept_stream(incoming, DEADLINE).await.unwrap()
        };
        let dial = async {
            let connection = self.dial().await.unwrap();
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(b"!").await.unwrap();
            (connection, send, recv)
        };
        let (mut server, (connection, send, recv)) = tokio::join!(accept, dial);
        assert_eq!(server.read_u8().await.unwrap(), b'!');
        (connection, send, recv, server)
    }
}

fn client_config(trusted: CertificateDer<'static>, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

fn closed_with(error: &ConnectionError) -> Option<u64> {
    match error {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

#[tokio::test]
async fn bytes_flow_both_ways_beyond_the_windows() {
    let pair = Pair::new();
    let (_connection, mut send, mut recv, mut server) = pair.connect().await;
    assert_eq!(server.kind(), TransportKind::Quic);
    let sent: Vec<u8> = (0..2_000_000).map(|i| (i % 251) as u8).collect();
    let echo = async {
        let mut buf = vec![0; 64 * 1024];
        loop {
            match server.read(&mut buf).await.unwrap() {
                0 => return server.shutdown().await.unwrap(),
                length => server.write_all(&buf[..length]).await.unwrap(),
            }
        }
    };
    let write = async {
        send.write_all(&sent).await.unwrap();
        send.finish().unwrap();
    };
    let ((), (), got) = tokio::join!(echo, write, recv.read_to_end(sent.len()));
    assert!(got.unwrap() == sent);
}

#[tokio::test]
async fn a_goodbye_closes_with_its_code_after_the_data() {
    let pair = Pair::new();
    let (connection, _send, mut recv, mut server) = pair.connect().await;
    let sent = vec![7; 500_000];
    let say = async {
        server.write_all(&sent).await.unwrap();
        std::future::poll_fn(|cx| server.poll_goodbye(cx, Code::SUPERSEDED)).await.unwrap();
    };
    let ((), got) = tokio::join!(say, recv.read_to_end(sent.len()));
    assert!(got.unwrap() == sent);
    let error = connection.closed().await;
    assert_eq!(closed_with(&error), Some(204), "{error}");
    // Once more is harmless.
    std::future::poll_fn(|cx| server.poll_goodbye(cx, Code::SUPERSEDED)).await.unwrap();
}

/// The client's thread stands still, so nothing is acknowledged; when it goes on, it learns the code.
#[tokio::test]
async fn a_client_that_stands_still_delays_the_goodbye_only_briefly() {
    let made = Identity::self_signed().unwrap();
    let server = quic::bind(&made.identity, "127.0.0.1:0".parse().unwrap(), quic::IDLE_TIMEOUT).unwrap();
    let address = server.local_addr().unwrap();
    let (stands, still) = tokio::sync::oneshot::channel();
    let (go_on, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let config = client_config(made.certificate_der, preface::ALPN);
            let connection = client.connect_with(config, address, "localhost").unwrap().await.unwrap();
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            send.write_all(b"!").await.unwrap();
            recv.read_exact(&mut [0; 1]).await.unwrap();
            stands.send(()).unwrap();
            wait.recv().unwrap();
            connection.closed().await
        })
    });
    let mut stream = quic::accept_stream(server.accept().await.unwrap(), DEADLINE).await.unwrap();
    stream.write_all(b"!").await.unwrap();
    still.await.unwrap();
    stream.write_all(&[7; 10_000]).await.unwrap();
    let goodbye = std::future::poll_fn(|cx| stream.poll_goodbye(cx, Code::SLOW_CONSUMER));
    tokio::time::timeout(DEADLINE, goodbye).await.unwrap().unwrap();
    go_on.send(()).unwrap();
    let error = tokio::task::spawn_blocking(|| client.join().unwrap()).await.unwrap();
    assert_eq!(closed_with(&error), Some(402), "{error}");
}

#[tokio::test]
async fn a_client_that_is_gone_hears_no_goodbye() {
    let pair = Pair::new();
    let (connection, _send, _recv, mut server) = pair.connect().await;
    server.write_all(&[7; 1000]).await.unwrap();
    connection.close(0u32.into(), b"gone");
    server.read_u8().await.unwrap_err();
    std::future::poll_fn(|cx| server.poll_goodbye(cx, Code::INTERNAL)).await.unwrap();
}

#[tokio::test]
async fn a_client_gets_one_stream() {
    let pair = Pair::new();
    let (connection, _send, _recv, _server) = pair.connect().await;
    let short = Duration::from_millis(100);
    assert!(tokio::time::timeout(short, connection.open_bi()).await.is_err(), "a second stream");
    assert!(tokio::time::timeout(short, connection.open_uni()).await.is_err(), "a one-way stream");
    assert_eq!(connection.max_datagram_size(), None);
}

#[tokio::test]
async fn a_client_without_a_stream_is_closed_at_the_deadline() {
    let pair = Pair::new();
    let accept = async {
        let incoming = pair.server.accept().await.unwrap();
        quic::accept_stream(incoming, Duration::from_millis(300)).await
    };
    let (accepted, dialed) = tokio::join!(accept, pair.dial());
    assert!(matches!(accepted, Err(AcceptError::Timeout)));
    let error = dialed.unwrap().closed().await;
    assert_eq!(closed_with(&error), Some(105), "{error}");
}

#[tokio::test]
async fn under_load_a_client_proves_its_address() {
    let pair = Pair::new();
    let accept = async {
        let first = pair.server.accept().await.unwrap();
        assert!(!first.remote_address_validated());
        assert!(quic::admit(first, RETRY_ABOVE).is_none());
        let second = pair.server.accept().await.unwrap();
        assert!(second.remote_address_validated());
        quic::admit(second, RETRY_ABOVE).unwrap().await.unwrap()
    };
    let (_server, dialed) = tokio::join!(accept, pair.dial());
    dialed.unwrap();
}

#[tokio::test]
async fn beyond_all_limits_a_client_is_refused() {
    let pair = Pair::new();
    let accept = async { quic::admit(pair.server.accept().await.unwrap(), quic::REFUSE_ABOVE).is_none() };
    let (refused, dialed) = tokio::join!(accept, pair.dial());
    assert!(refused);
    assert!(matches!(dialed, Err(ConnectionError::ConnectionClosed(_))));
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let pair = Pair::with(quic::IDLE_TIMEOUT, b"h3");
    let accept = async { quic::accept_stream(pair.server.accept().await.unwrap(), DEADLINE).await };
    let (accepted, dialed) = tokio::join!(accept, pair.dial());
    assert!(matches!(accepted, Err(AcceptError::Connection(_))));
    assert!(dialed.is_err());
}

#[tokio::test]
async fn silence_ends_the_connection() {
    let pair = Pair::with(Duration::from_millis(300), preface::ALPN);
    let (connection, _send, _recv, mut server) = pair.connect().await;
    let error = server.read_u8().await.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert!(matches!(inner, Some(ReadError::ConnectionLost(ConnectionError::TimedOut))), "{error:?}");
    assert!(matches!(connection.closed().await, ConnectionError::TimedOut));
}
