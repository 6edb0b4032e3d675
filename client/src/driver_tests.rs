//! The driver over a link that is slower than an answer is patient.

use std::future::poll_fn;

use bytes::BytesMut;
use protocol::frame::{self, Peek};
use protocol::limit::MAX_FRAME_BYTES;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::{self, ClientFrame, ClientInfo, ServerFrame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use super::*;
use crate::Client;
use crate::arrivals::Arrivals;
use crate::connect::address::Address;
use crate::connect::trust::Trust;
use crate::pipe::Pipe;
use crate::token::Tokens;

/// Bytes a second on the slow link.
const RATE: usize = 600;

fn profile() -> Profile {
    Profile {
        // Nobody listens: a client that hangs up does not come back.
        address: Address::parse("tcp://127.0.0.1:1").unwrap(),
        trust: Trust::default(),
        tokens: Tokens::Fixed(String::new()),
        installation: "test".into(),
        device_type: 0,
        info: ClientInfo::default(),
        receive_window: 0,
    }
}

/// A pipe from `server` to the returned end: whole and at once up, drop by drop down.
fn slow_link(tasks: &TaskTracker, server: DuplexStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(MAX_FRAME_BYTES);
    let (mut server_read, mut server_write) = tokio::io::split(server);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    tasks.spawn(async move {
        let copied = tokio::io::copy(&mut far_read, &mut server_write).await;
        server_write.shutdown().await.and(copied)
    });
    tasks.spawn(async move {
        let mut some = [0; RATE];
        while let Ok(n @ 1..) = server_read.read(&mut some).await {
            tokio::time::sleep(Duration::from_secs(1)).await;
            far_write.write_all(&some[..n]).await.unwrap();
        }
    });
    near
}

async fn asked(pipe: &mut Pipe, input: &mut BytesMut) -> Option<ClientFrame> {
    loop {
        if let Peek::Whole(length) = frame::peek(input, MAX_FRAME_BYTES).unwrap() {
            let frame = frame::open(input.split_to(length).freeze()).unwrap();
            return frame.messages::<ClientFrame>().next().map(Result::unwrap);
        }
        let chunk = poll_fn(|context| pipe.poll_chunk(context)).await.ok()?;
        input.extend_from_slice(&chunk);
    }
}

async fn answer(pipe: &mut Pipe, frame: &ServerFrame) {
    poll_fn(|context| pipe.poll_ready(context)).await.unwrap();
    pipe.start(frame::encode(frame)).unwrap();
    poll_fn(|context| pipe.poll_flush(context)).await.unwrap();
}

/// Answers with one message of 48 KB, and with nothing else; says how often it was asked.
async fn serve(mut pipe: Pipe) -> usize {
    let (mut input, mut syncs) = (BytesMut::new(), 0);
    while let Some(asked) = asked(&mut pipe, &mut input).await {
        let Some(Ask::Sync(sync)) = asked.body else { continue };
        syncs += 1;
        let content = v1::Content { r#type: "text/plain".into(), data: vec![b'x'; 48_000].into() };
        let message = v1::Message { seq: 1, content: Some(content), ..Default::default() };
        let range = v1::SyncedRange {
            conversation: sync.ranges[0].conversation.clone(),
            first: 1,
            last: 1,
            tip: 1,
            messages: vec![message],
            ..Default::default()
        };
        let body = Some(Told::SyncResult(v1::SyncResult { ranges: vec![range] }));
        answer(&mut pipe, &ServerFrame { session_seq: 0, re: asked.id, body }).await;
    }
    syncs
}

async fn reads_over(tasks: TaskTracker, client_end: Pipe, server_end: Pipe) {
    let server = tasks.spawn(serve(server_end));
    let welcome = Welcome { user: "alice".into(), heartbeat_ms: 24_000, ..Default::default() };
    let client = Client::start(profile(), Wire::new(client_end), welcome);
    let started = tokio::time::Instant::now();
    let history = client.conversation("g:room").history(10).await.unwrap();
    assert_eq!(history.messages[0].content.data.len(), 48_000);
    let took = started.elapsed();
    assert!(took > 2 * crate::patience::ANSWER_WITHIN, "the link is not slow: {took:?}");
    client.close().await;
    assert_eq!(server.await.unwrap(), 1, "it was asked for again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_minutes_to_arrive_is_waited_for() {
    let (tasks, (server, link)) = (TaskTracker::new(), tokio::io::duplex(MAX_FRAME_BYTES));
    let arrivals = Arrivals::default();
    let client = Pipe::stream(Box::new(arrivals.count(slow_link(&tasks, link))), arrivals);
    reads_over(tasks, client, Pipe::stream(Box::new(server), Arrivals::default())).await;
}

/// The library below hands a WebSocket message over when it is whole.
#[tokio::test(start_paused = true)]
async fn so_is_one_in_a_websocket_message() {
    let (tasks, (server, link)) = (TaskTracker::new(), tokio::io::duplex(MAX_FRAME_BYTES));
    let arrivals = Arrivals::default();
    let io: crate::pipe::BoxIo = Box::new(arrivals.count(slow_link(&tasks, link)));
    let client = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let server: crate::pipe::BoxIo = Box::new(server);
    let server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
    reads_over(tasks, Pipe::websocket(client, arrivals), Pipe::websocket(server, Arrivals::default())).await;
}
