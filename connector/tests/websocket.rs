//! WebSocket on a real socket, against an independent client.

#![allow(clippy::unwrap_used, clippy::panic)]

use axum::Router;
use futures::{SinkExt, StreamExt};
use protocol::code::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use whimbrel_connector::http::accept_http;
use whimbrel_connector::transport::{Transport, TransportKind, code_of};
use whimbrel_connector::websocket::WebSocket;
use whimbrel_connector::websocket::upgrade::UpgradePolicy;

type Client = WebSocketStream<TcpStream>;
type Server = WebSocket<TcpStream>;

/// A client and the server's end of its connection.
async fn connect() -> (Client, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let room = Semaphore::new(1);
        let served = accept_http(stream, &UpgradePolicy::default(), &Router::new(), &room).await;
        served.device().unwrap()
    };
    let dial = async {
        let stream = TcpStream::connect(address).await.unwrap();
        client_async(format!("ws://{address}/v1/ws"), stream).await.unwrap().0
    };
    let (server, client) = tokio::join!(accept, dial);
    assert_eq!(server.kind(), TransportKind::WebSocket);
    (client, server)
}

/// Sends back what comes, until the end or an error.
async fn echo(server: &mut Server) -> std::io::Result<()> {
    let mut buf = vec![0; 8192];
    loop {
        match server.read(&mut buf).await? {
            0 => return Ok(()),
            length => {
                server.write_all(&buf[..length]).await?;
                server.flush().await?;
            }
        }
    }
}

/// Reads binary messages until their payload has this length.
async fn collect(client: &mut Client, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        match client.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => got.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    got
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

fn fragment(opcode: Data, payload: &[u8], last: bool) -> Message {
    Message::Frame(Frame::message(payload.to_vec(), OpCode::Data(opcode), last))
}

#[tokio::test]
async fn messages_of_every_length_class_come_back() {
    let (mut client, mut server) = connect().await;
    let talk = async {
        for length in [1, 125, 126, 127, 65_535, 65_536, 1024 * 1024] {
            let (mut sink, mut stream) = (&mut client).split();
            let sent = pattern(length);
            let receive = async {
                let mut got = Vec::new();
                while got.len() < length {
                    got.extend_from_slice(&stream.next().await.unwrap().unwrap().into_data());
                }
                got
            };
            let (send, got) = tokio::join!(sink.send(Message::binary(sent.clone())), receive);
            send.unwrap();
            assert!(got == sent, "{length} bytes");
        }
        client.close(None).await.unwrap();
    };
    let (echoed, ()) = tokio::join!(echo(&mut server), talk);
    echoed.unwrap();
}

#[tokio::test]
async fn fragments_with_pings_in_between_are_one_stream() {
    let (mut client, mut server) = connect().await;
    let talk = async {
        client.feed(fragment(Data::Binary, b"one ", false)).await.unwrap();
        client.feed(Message::Ping("still there?".into())).await.unwrap();
        client.feed(fragment(Data::Continue, b"two ", false)).await.unwrap();
        client.feed(fragment(Data::Continue, b"three", true)).await.unwrap();
        client.flush().await.unwrap();
        let (mut payload, mut pong) = (Vec::new(), None);
        while payload.len() < 13 || pong.is_none() {
            match client.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => payload.extend_from_slice(&bytes),
                Message::Pong(bytes) => pong = Some(bytes),
                other => panic!("{other:?}"),
            }
        }
        client.close(None).await.unwrap();
        (payload, pong)
    };
    let (echoed, (payload, pong)) = tokio::join!(echo(&mut server), talk);
    echoed.unwrap();
    assert_eq!(payload, b"one two three");
    assert_eq!(pong.unwrap(), "still there?");
}

/// The client reads nothing while the server writes more than the sockets hold.
#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    const MESSAGE: usize = 60_000;
    const COUNT: usize = 400;
    let (mut client, mut server) = connect().await;
    let write = async {
        for round in 0..COUNT {
            let message = vec![round as u8; MESSAGE];
            assert_eq!(server.write(&message).await.unwrap(), MESSAGE, "a message is taken whole");
        }
        server.flush().await.unwrap();
    };
    let read = async {
        tokio::task::yield_now().await;
        for round in 0..COUNT {
            let message = client.next().await.unwrap().unwrap().into_data();
            assert!(message.len() == MESSAGE && message.iter().all(|byte| *byte == round as u8), "{round}");
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_with_its_code() {
    let (mut client, mut server) = connect().await;
    let close = CloseFrame { code: CloseCode::Away, reason: "page closed".into() };
    let talk = async {
        client.send(Message::Close(Some(close.clone()))).await.unwrap();
        client.next().await.unwrap().unwrap()
    };
    let (echoed, answer) = tokio::join!(echo(&mut server), talk);
    echoed.unwrap();
    assert_eq!(answer, Message::Close(Some(close)));
    drop(server);
    assert!(client.next().await.is_none_or(|end| matches!(end, Err(Error::ConnectionClosed))));
}

#[tokio::test]
async fn a_goodbye_arrives_with_its_code_after_the_data() {
    let (mut client, mut server) = connect().await;
    let sent = pattern(2_000_000);
    let say = async {
        server.write_all(&sent).await.unwrap();
        std::future::poll_fn(|cx| server.poll_goodbye(cx, Code::SLOW_CONSUMER)).await.unwrap();
    };
    let read = async {
        let got = collect(&mut client, sent.len()).await;
        (got, client.next().await.unwrap().unwrap())
    };
    let ((), (got, end)) = tokio::join!(say, read);
    assert!(got == sent);
    let Message::Close(Some(close)) = end else { panic!("{end:?}") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4402, "SLOW_CONSUMER"));
}

#[tokio::test]
async fn broken_rules_are_answered_with_their_code() {
    let cases = [
        (Message::text("hello"), Code::TEXT_MESSAGE),
        (fragment(Data::Continue, b"of nothing", true), Code::WEBSOCKET_VIOLATION),
        (
            Message::Frame(Frame::message("", OpCode::Data(Data::Reserved(3)), true)),
            Code::WEBSOCKET_VIOLATION,
        ),
        (Message::binary(vec![0; 1024 * 1024 + 1]), Code::FRAME_TOO_LARGE),
    ];
    for (message, code) in cases {
        let (mut client, mut server) = connect().await;
        let serve = async {
            let error = echo(&mut server).await.unwrap_err();
            assert_eq!(code_of(&error), Some(code));
            let deadline = std::time::Duration::from_secs(5);
            // Whether the client closes its side in time is not the point here.
            let _ = whimbrel_connector::transport::say_goodbye(&mut server, code, deadline).await;
            drop(server);
        };
        let talk = async {
            client.send(message).await.unwrap();
            let end = client.next().await.unwrap().unwrap();
            let Message::Close(Some(close)) = end else { panic!("{end:?}") };
            assert_eq!(u16::from(close.code), code.websocket());
            drop(client);
        };
        tokio::join!(serve, talk);
    }
}
