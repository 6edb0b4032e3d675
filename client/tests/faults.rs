//! A client against a server that loses connections and answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, future::join_all};
use protocol::code::Code;
use support::{Server, TOKEN};
use tokio::time::timeout;
use whimbrel_client::{Client, ConnectError, Event, RequestError, Since};

const SOON: Duration = Duration::from_secs(60);

async fn connect(address: String) -> Client {
    Client::builder(address).token(TOKEN).installation("test").connect().await.unwrap()
}

#[tokio::test]
async fn every_send_is_stored_once_in_order_and_every_message_arrives_once() {
    let server = Arc::new(Server::default());
    server.frames_per_connection.store(60, Ordering::SeqCst);
    server.busy_every.store(31, Ordering::SeqCst);
    server.unknown_every.store(47, Ordering::SeqCst);
    let client = connect(server.tcp().await).await;
    let bob = client.direct("bob");
    let messages = bob.messages(Since::Start);
    let sendings: Vec<_> = (0..150).map(|n| bob.send(format!("{n}"))).collect();
    let acks = timeout(SOON, join_all(sendings)).await.unwrap();
    let seqs: Vec<u64> = acks.into_iter().map(|ack| ack.unwrap().seq).collect();
    assert_eq!(seqs, (1..=150).collect::<Vec<u64>>());
    let got: Vec<_> = timeout(SOON, messages.take(150).collect::<Vec<_>>()).await.unwrap();
    for (n, message) in got.iter().enumerate() {
        assert_eq!((message.seq, message.text()), (n as u64 + 1, Some(n.to_string().as_str())));
    }
    assert!(server.connections.load(Ordering::SeqCst) > 2, "the fault did not happen");
    client.close().await;
}

#[tokio::test]
async fn history_pages_backwards_without_a_hole() {
    let server = Arc::new(Server::default());
    let client = connect(server.tcp().await).await;
    let room = client.conversation("g:room");
    let sendings: Vec<_> = (0..70).map(|n| room.send(format!("{n}"))).collect();
    join_all(sendings).await;
    let latest = room.history(50).await.unwrap();
    let seqs: Vec<u64> = latest.messages.iter().map(|m| m.seq).collect();
    assert_eq!(seqs, (21..=70).collect::<Vec<u64>>());
    assert_eq!((latest.before, latest.tip), (Some(21), 70));
    let older = room.history_before(21, 50).await.unwrap();
    assert_eq!(older.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), (1..=20).collect::<Vec<u64>>());
    assert_eq!(older.before, None);
}

#[tokio::test]
async fn a_stream_from_the_latest_starts_behind_what_is_there() {
    let server = Arc::new(Server::default());
    let client = connect(server.tcp().await).await;
    let room = client.conversation("g:room");
    room.send("before").await.unwrap();
    let mut messages = room.messages(Since::Latest);
    // The answer to this request follows the stream's own first question.
    room.mark_read(1).await.unwrap();
    room.send("after").await.unwrap();
    let message = timeout(SOON, messages.next()).await.unwrap().unwrap();
    assert_eq!((message.seq, message.text()), (2, Some("after")));
}

#[tokio::test]
async fn a_bad_token_is_a_typed_error() {
    let server = Arc::new(Server::default());
    let address = server.tcp().await;
    let error = Client::builder(address).token("bad").connect().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::TOKEN_INVALID));
    assert!(!error.retryable());
}

#[tokio::test]
async fn an_absent_server_is_a_typed_error_that_names_the_address() {
    let error = Client::builder("tcp://127.0.0.1:1").token(TOKEN).connect().await.unwrap_err();
    assert!(matches!(&error, ConnectError::Dial { address, .. } if address == "tcp://127.0.0.1:1"));
    assert!(error.retryable());
}

#[tokio::test]
async fn a_superseded_client_stops_and_settles_everything() {
    let server = Arc::new(Server::default());
    server.frames_per_connection.store(2, Ordering::SeqCst);
    let logins = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let source = move || {
        let again = logins.fetch_add(1, Ordering::SeqCst) > 0;
        std::future::ready(Ok::<_, std::io::Error>(if again { "superseded" } else { TOKEN }.to_owned()))
    };
    let client = Client::builder(server.tcp().await).token_source(source).connect().await.unwrap();
    let mut events = client.events();
    let room = client.conversation("g:room");
    let mut messages = room.messages(Since::Start);
    let error = timeout(SOON, room.send("never acknowledged")).await.unwrap().unwrap_err();
    assert!(matches!(error, RequestError::Closed(_)));
    assert_eq!(timeout(SOON, messages.next()).await.unwrap(), None);
    assert!(matches!(messages.ended_because(), Some(RequestError::Closed(_))));
    let events: Vec<Event> = timeout(SOON, events.by_ref().collect()).await.unwrap();
    assert!(events.contains(&Event::Superseded));
    assert!(matches!(events.last(), Some(Event::Disconnected { retry_in: None, .. })));
    assert!(matches!(room.send("later").await, Err(RequestError::Closed(_))));
}

#[tokio::test]
async fn closing_waits_for_acks() {
    let server = Arc::new(Server::default());
    let client = connect(server.tcp().await).await;
    let sendings: Vec<_> = (0..100).map(|n| client.direct("bob").send(format!("{n}"))).collect();
    client.close().await;
    assert!(join_all(sendings).await.into_iter().all(|ack| ack.is_ok()));
}

#[tokio::test]
async fn a_full_queue_is_a_typed_error() {
    let server = Arc::new(Server::default());
    let client = connect(server.tcp().await).await;
    let room = client.conversation("g:room");
    let sendings: Vec<_> = (0..300).map(|_| room.send("x".repeat(40 * 1024))).collect();
    let results = timeout(SOON, join_all(sendings)).await.unwrap();
    let full = results.iter().filter(|r| matches!(r, Err(RequestError::QueueFull))).count();
    let stored = results.iter().filter(|r| r.is_ok()).count();
    assert!(full > 0 && stored > 0 && full + stored == 300);
}
