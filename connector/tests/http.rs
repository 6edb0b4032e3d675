//! The HTTP port on a real socket.

#![allow(clippy::unwrap_used)]

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use whimbrel_connector::http::accept_http;
use whimbrel_connector::websocket::upgrade::UpgradePolicy;

const UPGRADE: &str = "GET /v1/ws?v=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// Sends these pieces on one connection and returns all that is answered, and whether it became a WebSocket.
async fn talk(pieces: &[&[u8]]) -> (String, bool) {
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(|body: String| async move { format!("<{body}>") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let policy = UpgradePolicy::new(["https://app.example.com"]).unwrap();
    let room = tokio::sync::Semaphore::new(1);
    let serve = async { accept_http(stream, &policy, &router, &room).await.device().is_some() };
    let ask = async {
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    };
    let (upgraded, text) = tokio::join!(serve, ask);
    (text, upgraded)
}

#[tokio::test]
async fn the_router_answers_on_a_kept_alive_connection() {
    let (text, upgraded) = talk(&[
        b"GET /hello HTTP/1.1\r\nHo",
        b"st: h\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    ])
    .await;
    assert!(!upgraded);
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
    assert_eq!(text.matches("hello").count(), 2, "{text}");
    assert_eq!(text.matches("HTTP/1.1 404 ").count(), 1, "{text}");
}

#[tokio::test]
async fn a_body_that_came_with_the_head_is_put_back() {
    let (text, _) = talk(&[
        b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 10\r\n\r\n01234",
        b"56789",
    ])
    .await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("<0123456789>"), "{text}");
}

#[tokio::test]
async fn the_websocket_path_upgrades() {
    let (text, upgraded) = talk(&[UPGRADE.as_bytes(), b"Sec-WebSocket-Protocol: whimbrel.v1\r\n\r\n"]).await;
    assert!(upgraded);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("Sec-WebSocket-Protocol: whimbrel.v1\r\n"), "{text}");
    let (_, upgraded) = talk(&[UPGRADE.as_bytes(), b"Origin: https://app.example.com\r\n\r\n"]).await;
    assert!(upgraded);
}

#[tokio::test]
async fn refusals_have_their_status() {
    let plain = "GET /v1/ws HTTP/1.1\r\nHost: h\r\n\r\n".to_owned();
    let posted = "POST /v1/ws HTTP/1.1\r\nHost: h\r\n\r\n".to_owned();
    let version = UPGRADE.replace("Version: 13", "Version: 8") + "\r\n";
    let key = UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short") + "\r\n";
    let origin = format!("{UPGRADE}Origin: https://evil.example.com\r\n\r\n");
    let eager = format!("{UPGRADE}\r\n\u{2}frame before the answer");
    let elsewhere = UPGRADE.replace("/v1/ws", "/v1/other") + "\r\n";
    for (request, status) in [
        (plain, "426"),
        (posted, "405"),
        (version, "426"),
        (key, "400"),
        (origin, "403"),
        (eager, "400"),
        (elsewhere, "404"),
    ] {
        let (text, upgraded) = talk(&[request.as_bytes()]).await;
        assert!(!upgraded);
        assert_eq!(text.split(' ').nth(1), Some(status), "{request}\n{text}");
        if status == "426" {
            assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_gets_nothing() {
    for head in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n"] {
        assert_eq!(talk(&[head.as_bytes()]).await, (String::new(), false), "{head:?}");
    }
}
