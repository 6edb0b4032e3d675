//! What is particular to WebSocket.

use futures::{SinkExt, StreamExt};
use prost::Message as _;
use protocol::code::Code;
use protocol::frame;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, Ping, ServerFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::process::{Gateway, Settings};
use crate::support::raw::hello;
use crate::support::{http, soon};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn url(gateway: &Gateway) -> String {
    format!("{}{}", gateway.ws_url(), protocol::preface::WEBSOCKET_PATH)
}

async fn open(gateway: &Gateway) -> Socket {
    connect_async(url(gateway)).await.expect("the upgrade succeeds").0
}

fn framed(id: u64, body: Ask) -> Vec<u8> {
    frame::encode(&ClientFrame { ack: 0, id, body: Some(body) }).to_vec()
}

async fn login(gateway: &Gateway, user: &str) -> Socket {
    let mut socket = open(gateway).await;
    let hello = framed(0, Ask::Hello(hello(&gateway.token(user), "browser")));
    socket.send(Message::binary(hello)).await.unwrap();
    assert!(matches!(next(&mut socket).await, Some(Told::Welcome(_))));
    socket
}

/// The body of the next frame; `None` once the server closes.
async fn next(socket: &mut Socket) -> Option<Told> {
    match soon("a WebSocket message", socket.next()).await {
        Some(Ok(Message::Binary(bytes))) => ServerFrame::decode(&bytes[frame_header()..]).unwrap().body,
        _ => None,
    }
}

fn frame_header() -> usize {
    protocol::limit::FRAME_HEADER_BYTES
}

#[tokio::test]
async fn pages_do_not_use_up_the_places_of_devices() {
    let gateway = Gateway::with(Settings::new().set("limits.max_http_connections", 4)).await;
    let mut pages = Vec::new();
    for _ in 0..6 {
        let mut page = TcpStream::connect(gateway.http).await.unwrap();
        page.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        soon("an answer", page.read_exact(&mut head)).await.unwrap();
        // Kept alive, so its place is taken.
        pages.push((String::from_utf8(head.to_vec()).unwrap(), page));
    }
    let refused = pages.iter().filter(|(head, _)| head == "HTTP/1.1 503").count();
    assert_eq!(refused, 2, "{pages:?}");
    assert!(pages[..4].iter().all(|(head, _)| head == "HTTP/1.1 200"), "{pages:?}");
    login(&gateway, "alice").await;
    drop(pages);
    // Places come back.
    let metrics = async {
        loop {
            if let Ok(answer) = http::get(gateway.http, "/metrics").await
                && answer.status == 200
            {
                return answer.body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let metrics = soon("a place", metrics).await;
    let count = metrics.lines().find_map(|line| line.strip_prefix("whimbrel_connector_refused_http_total "));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 2, "{count:?}");
}

/// GoAway and close code, whatever comes before.
async fn closed_with(socket: &mut Socket) -> (Option<u32>, Option<u16>) {
    let mut said = None;
    loop {
        match soon("the close", socket.next()).await {
            Some(Ok(Message::Binary(bytes))) => {
                if let Some(Told::GoAway(away)) = ServerFrame::decode(&bytes[frame_header()..]).unwrap().body
                {
                    said = Some(away.code);
                }
            }
            Some(Ok(Message::Close(close))) => return (said, close.map(|close| close.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return (said, None),
        }
    }
}

#[tokio::test]
async fn text_messages_are_refused() {
    let gateway = Gateway::start().await;
    let code = Code::TEXT_MESSAGE;
    for mut socket in [open(&gateway).await, login(&gateway, "alice").await] {
        socket.send(Message::text("{\"hello\": true}")).await.unwrap();
        assert_eq!(closed_with(&mut socket).await.1, Some(code.websocket()));
    }
    login(&gateway, "alice").await;
}

#[tokio::test]
async fn codes_travel_as_close_codes() {
    let gateway = Gateway::start().await;
    let mut first = login(&gateway, "alice").await;
    let mut second = login(&gateway, "alice").await;
    let superseded = Code::SUPERSEDED;
    let expected = (Some(superseded.number()), Some(superseded.websocket()));
    assert_eq!(closed_with(&mut first).await, expected);
    second.send(Message::binary(vec![0, 0, 0, 0])).await.unwrap();
    assert_eq!(closed_with(&mut second).await.1, Some(Code::FRAME_EMPTY.websocket()));
    let mut stranger = open(&gateway).await;
    stranger.send(Message::binary(framed(0, Ask::Hello(hello("nonsense", "browser"))))).await.unwrap();
    assert_eq!(closed_with(&mut stranger).await.1, Some(Code::TOKEN_INVALID.websocket()));
}

#[tokio::test]
async fn frames_may_be_split_over_messages_and_joined_in_one() {
    let gateway = Gateway::start().await;
    let mut socket = login(&gateway, "alice").await;
    let pings: Vec<u8> = (1..=3).flat_map(|id| framed(id, Ask::Ping(Ping {}))).collect();
    socket.send(Message::binary(pings.clone())).await.unwrap();
    for piece in pings.chunks(2) {
        socket.send(Message::binary(piece.to_vec())).await.unwrap();
    }
    let mut pongs = 0;
    while pongs < 6 {
        let message = soon("pongs", socket.next()).await.unwrap().unwrap();
        let Message::Binary(bytes) = message else { panic!("{message:?}") };
        pongs += count_frames(&bytes);
    }
}

/// A message holds one or more whole frames.
fn count_frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while !bytes.is_empty() {
        let Ok(frame::Peek::Whole(length)) = frame::peek(bytes, protocol::limit::MAX_FRAME_BYTES) else {
            panic!("a message ends inside a frame")
        };
        bytes = &bytes[length..];
        count += 1;
    }
    count
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_before_it_arrives() {
    let gateway = Gateway::start().await;
    login(&gateway, "alice").await;
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    let upgrade = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        protocol::preface::WEBSOCKET_PATH,
        gateway.http
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert!(soon("the upgrade", stream.read_buf(&mut answer)).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&answer));
    // FIN and binary, masked, with a length of 2^40: only the header is ever sent.
    let mut header = vec![0x82, 0xFF];
    header.extend_from_slice(&(1u64 << 40).to_be_bytes());
    header.extend_from_slice(&[1, 2, 3, 4]);
    header.extend_from_slice(&[0xFF; 64]);
    stream.write_all(&header).await.unwrap();
    // Close frame or reset: either way it ends, long before so much could arrive.
    soon("the end", stream.read_to_end(&mut answer)).await.ok();
    login(&gateway, "alice").await;
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_connect() {
    let gateway = Gateway::start().await;
    let upgrade = async |origin: &str| {
        let mut request = url(&gateway).into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        connect_async(request).await.map(drop)
    };
    upgrade(&format!("http://{}", gateway.http)).await.unwrap();
    let refused = upgrade("https://evil.example").await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
}

#[tokio::test]
async fn the_websocket_path_without_an_upgrade_is_an_http_error() {
    let gateway = Gateway::start().await;
    let answer = http::get(gateway.http, protocol::preface::WEBSOCKET_PATH).await.unwrap();
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(http::get(gateway.http, "/no/such/page").await.unwrap().status, 404);
    assert_eq!(http::get(gateway.http, "/healthz").await.unwrap().status, 200);
}
