//! TLS on a real socket: the device port, and WebSocket on the HTTP port.

#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::{SinkExt, StreamExt};
use protocol::code::Code;
use protocol::preface;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsConnector, client};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use whimbrel_connector::http::accept_http;
use whimbrel_connector::peek::{FirstByte, first_byte};
use whimbrel_connector::tls::{self, HTTP_ALPN, Identity, SelfSigned, Use};
use whimbrel_connector::tls_stream::TlsStream;
use whimbrel_connector::transport::{Transport, TransportKind};
use whimbrel_connector::websocket::upgrade::UpgradePolicy;

const DEADLINE: Duration = Duration::from_secs(5);

/// A client that trusts only these certificates.
fn client_config(trusted: &[CertificateDer<'static>], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

type Dialed = std::io::Result<client::TlsStream<TcpStream>>;
type Accepted = std::io::Result<Box<TlsStream<TcpStream>>>;

async fn connect(
    made: &SelfSigned,
    r#use: Use,
    name: &'static str,
    config: Arc<ClientConfig>,
) -> (Dialed, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(first_byte(&stream).await.unwrap(), Some(FirstByte::Tls));
        tls::accept(made.identity.server_config(r#use).unwrap(), stream, DEADLINE).await
    };
    let dial = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        TlsConnector::from(config).connect(name, stream).await
    };
    tokio::join!(dial, accept)
}

#[tokio::test]
async fn a_client_that_pins_the_certificate_talks_by_every_local_name() {
    let made = Identity::self_signed().unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        let config = client_config(std::slice::from_ref(&made.certificate_der), &[preface::ALPN]);
        let (client, server) = connect(&made, Use::Device, name, config).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(server.kind(), TransportKind::Tls);
        assert_eq!(server.alpn_protocol(), Some(preface::ALPN));
        client.write_all(&preface::PREFACE).await.unwrap();
        client.flush().await.unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(got, preface::PREFACE);
    }
}

/// A TLS stream that just breaks off reads as an error, one that says goodbye as the end.
#[tokio::test]
async fn a_goodbye_is_a_close_notify_after_the_data() {
    let made = Identity::self_signed().unwrap();
    let config = client_config(std::slice::from_ref(&made.certificate_der), &[preface::ALPN]);
    let (client, server) = connect(&made, Use::Device, "localhost", config).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let sent = vec![7; 1_000_000];
    let say = async {
        server.write_all(&sent).await.unwrap();
        std::future::poll_fn(|cx| server.poll_goodbye(cx, Code::SHUTTING_DOWN)).await.unwrap();
    };
    let mut got = Vec::new();
    let ((), read) = tokio::join!(say, client.read_to_end(&mut got));
    read.unwrap();
    assert!(got == sent);
}

#[tokio::test]
async fn websocket_over_tls() {
    let made = Identity::self_signed().unwrap();
    let config = client_config(std::slice::from_ref(&made.certificate_der), &[HTTP_ALPN]);
    let (client, server) = connect(&made, Use::Http, "localhost", config).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let (policy, router, room) = (UpgradePolicy::default(), Router::new(), tokio::sync::Semaphore::new(1));
    let accepting = accept_http(server, &policy, &router, &room);
    let (server, client) = tokio::join!(accepting, client_async("ws://localhost/v1/ws", client));
    let (mut server, mut client) = (server.device().unwrap(), client.unwrap().0);
    assert_eq!(server.kind(), TransportKind::WebSocketTls);

    let sent: Vec<u8> = (0..700_000).map(|i| (i % 253) as u8).collect();
    let serve = async {
        let mut got = vec![0; sent.len()];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(server.write(&got).await.unwrap(), got.len());
        // Waits for the ping, whose answer the reading side alone must push through TLS.
        assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 0);
        std::future::poll_fn(|cx| server.poll_goodbye(cx, Code::INTERNAL)).await.unwrap();
    };
    let talk = async {
        client.send(Message::binary(sent.clone())).await.unwrap();
        assert!(client.next().await.unwrap().unwrap().into_data() == sent);
        client.send(Message::Ping("ping".into())).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("ping".into()));
        client.close(None).await.unwrap();
        while client.next().await.is_some_and(|end| end.is_ok()) {}
    };
    tokio::join!(serve, talk);
}

#[tokio::test]
async fn strangers_are_refused() {
    let made = Identity::self_signed().unwrap();
    let other = Identity::self_signed().unwrap();
    let distrusting = client_config(&[other.certificate_der], &[preface::ALPN]);
    let (client, server) = connect(&made, Use::Device, "localhost", distrusting).await;
    assert!(client.is_err() && server.is_err());
    let foreign = client_config(std::slice::from_ref(&made.certificate_der), &[b"h2"]);
    let (client, server) = connect(&made, Use::Http, "localhost", foreign).await;
    assert!(client.is_err() && server.is_err());
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_at_the_deadline() {
    let made = Identity::self_signed().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let config = made.identity.server_config(Use::Device).unwrap();
    let error = tls::accept(config, stream, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
