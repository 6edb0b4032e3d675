use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::tls::{Identity, Use};

/// Both ends, with so many bytes between them at once.
async fn pair(between: usize) -> (TlsStream<DuplexStream>, client::TlsStream<DuplexStream>) {
    let made = Identity::self_signed().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.certificate_der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let (near, far) = duplex(between);
    let accept = TlsStream::accept(made.identity.server_config(Use::Device).unwrap(), near);
    let dial = TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), far);
    let (accepted, dialed) = tokio::join!(accept, dial);
    (accepted.unwrap(), dialed.unwrap())
}

fn held<S>(stream: &TlsStream<S>) -> usize {
    stream.incoming.capacity() + stream.plain.capacity() + stream.outgoing.capacity()
}

#[tokio::test]
async fn everything_passes_in_both_directions_through_any_gap() {
    for between in [7, 300, 16_384, 100_000] {
        let (mut ours, mut theirs) = pair(between).await;
        let said: Vec<u8> = (0..50_000_u32).map(|n| ((n * n) >> 7) as u8).collect();
        let (mut heard, mut answered) = (vec![0; said.len()], vec![0; said.len()]);
        let server = async {
            ours.read_exact(&mut heard).await.unwrap();
            let (incoming, plain) = (ours.incoming.capacity(), ours.plain.capacity());
            assert_eq!((incoming, plain), (0, 0), "who waits holds nothing to read");
            ours.write_all(&said).await.unwrap();
            ours.flush().await.unwrap();
            assert_eq!(held(&ours), 0, "who has said everything holds nothing");
        };
        let client = async {
            theirs.write_all(&said).await.unwrap();
            theirs.flush().await.unwrap();
            theirs.read_exact(&mut answered).await.unwrap();
        };
        tokio::join!(server, client);
        assert!(heard == said && answered == said, "{between}");
    }
}

#[tokio::test]
async fn what_is_read_in_pieces_is_kept_until_then() {
    let (mut ours, mut theirs) = pair(1_000).await;
    theirs.write_all(b"hello").await.unwrap();
    theirs.flush().await.unwrap();
    let mut pieces = Vec::new();
    for _ in 0..5 {
        pieces.push(ours.read_u8().await.unwrap());
    }
    assert_eq!((pieces.as_slice(), held(&ours)), (&b"hello"[..], 0));
}

#[tokio::test]
async fn each_end_says_that_it_ends() {
    let (mut ours, mut theirs) = pair(1_000).await;
    theirs.write_all(b"last").await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut all = Vec::new();
    ours.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");
    ours.write_all(b"late").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"late");
}

#[tokio::test]
async fn a_stream_that_ends_without_a_word_is_an_error() {
    let (mut ours, theirs) = pair(1_000).await;
    drop(theirs);
    assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn garbage_is_answered_with_an_alert_and_ends_the_stream() {
    let (mut ours, theirs) = pair(1_000).await;
    let (mut raw, _) = theirs.into_inner();
    raw.write_all(&[23, 3, 3, 0, 30]).await.unwrap();
    raw.write_all(&[9; 30]).await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    let mut head = [0; 5];
    // One ticket may come first.
    loop {
        raw.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        raw.read_exact(&mut body).await.unwrap();
        if body.len() < 40 {
            break;
        }
    }
    assert_eq!(head[0], 23, "an alert, sealed as everything is");
    assert!(ours.write_all(b"more").await.is_err());
}
