//! One conversation over each transport, with certificates that only the client was told to trust.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use support::{Server, TOKEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use whimbrel_client::{Client, ConnectError, Since};

const SOON: Duration = Duration::from_secs(30);

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Identity { certificate: made.cert.der().clone(), key, pem: made.cert.pem() }
}

fn tls(identity: &Identity) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![identity.certificate.clone()];
    let mut config = builder.with_single_cert(chain, identity.key.clone_key()).unwrap();
    config.alpn_protocols = vec![protocol::preface::ALPN.to_vec()];
    config
}

async fn talk(builder: whimbrel_client::Builder) {
    let client = tokio::time::timeout(SOON, builder.token(TOKEN).connect()).await.unwrap().unwrap();
    let bob = client.direct("bob");
    let mut messages = bob.messages(Since::Start);
    for n in 1..=20 {
        assert_eq!(bob.send("x".repeat(n * 2000)).await.unwrap().seq, n as u64);
        let message = tokio::time::timeout(SOON, messages.next()).await.unwrap().unwrap();
        assert_eq!((message.seq, message.content.data.len()), (n as u64, n * 2000));
    }
    drop(messages);
    client.close().await;
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn tcp() {
    let server = Arc::new(Server::default());
    talk(Client::builder(server.tcp().await)).await;
}

#[tokio::test]
async fn tls_trusts_what_was_named() {
    let (server, identity) = (Arc::new(Server::default()), identity());
    let (listener, address) = listen().await;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls(&identity)));
    let serving = server.clone();
    server.tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut preface = [0; 4];
            stream.read_exact(&mut preface).await.unwrap();
            serving.serve(stream).await;
        }
    });
    let address = format!("tls://localhost:{}", address.port());
    let stranger = self::identity().pem;
    let refused = Client::builder(&address).token(TOKEN).trust_certificate(stranger).connect().await;
    assert!(matches!(refused, Err(ConnectError::Dial { .. })));
    talk(Client::builder(address).trust_certificate(identity.pem)).await;
}

#[tokio::test]
async fn quic() {
    let (server, identity) = (Arc::new(Server::default()), identity());
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls(&identity)).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("quic://{}", endpoint.local_addr().unwrap());
    let serving = server.clone();
    server.tasks.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            let (send, recv) = connection.accept_bi().await.unwrap();
            serving.serve(tokio::io::join(recv, send)).await;
        }
    });
    talk(Client::builder(address).trust_certificate(identity.certificate.to_vec())).await;
}

#[tokio::test]
async fn websocket() {
    let server = Arc::new(Server::default());
    let (listener, address) = listen().await;
    let serving = server.clone();
    server.tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let (near, far) = tokio::io::duplex(64 * 1024);
            futures::future::join(bridge(socket, near), serving.serve(far)).await;
        }
    });
    talk(Client::builder(format!("ws://{address}"))).await;
}

/// Copies binary messages to a byte stream, cut anywhere, and back.
async fn bridge(
    mut socket: tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>,
    mut io: tokio::io::DuplexStream,
) {
    let mut buffer = vec![0; 1000];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => io.write_all(&bytes).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return,
            },
            read = io.read(&mut buffer) => match read {
                Ok(n) if n > 0 => socket.send(Message::binary(buffer[..n].to_vec())).await.unwrap(),
                _ => return,
            },
        }
    }
}
