//! A device's connection from Hello to goodbye, on a paused clock.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use protocol::Proto as _;
use protocol::code::Code;
use protocol::frame;
use protocol::limit::MAX_REQUESTS_IN_FLIGHT;
use protocol::node::v1::to_channel::Body as Up;
use protocol::preface::PREFACE;
use protocol::v1::{self, ClientFrame, client_frame, server_frame};
use support::world;
use tokio::io::AsyncWriteExt as _;

#[tokio::test(start_paused = true)]
async fn a_device_logs_in_asks_and_leaves() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    assert_eq!(world.connector.sessions(), 1);
    device.send(5, client_frame::Body::Ping(v1::Ping {})).await;
    let pong = device.next().await.unwrap();
    assert_eq!((pong.re, pong.body), (5, Some(server_frame::Body::Pong(v1::Pong {}))));
    device.send(6, client_frame::Body::Send(v1::Send::default())).await;
    device.send(7, client_frame::Body::Ping(v1::Ping {})).await;
    assert_eq!(device.next().await.unwrap().re, 7, "the request before it is with the channel node");
    world.channel.reply(6);
    assert_eq!(device.next().await.unwrap().re, 6);
    device.send(0, client_frame::Body::Bye(v1::Bye {})).await;
    assert!(device.next().await.is_none());
    drop(device);
    assert_eq!(world.connector.drain(Duration::from_secs(5)).await, 0);
    assert_eq!(world.channel.count(|body| matches!(body, Up::Detach(d) if d.epoch == 1)), 1);
    assert_eq!(world.connector.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_older_connection_is_superseded_and_its_end_leaves_the_newer_one() {
    let world = world(false);
    let mut first = world.log_in(1 << 16).await;
    let mut second = world.log_in(1 << 16).await;
    assert_eq!(first.goodbye().await, (Code::SUPERSEDED, v1::go_away::Verdict::Never));
    drop(first);
    world.channel.push(1, 1, 1);
    world.channel.push(2, 2, 1);
    let pushed = second.next().await.unwrap();
    assert_eq!(pushed.session_seq, 1);
    assert!(
        matches!(pushed.body, Some(server_frame::Body::Message(m)) if m.seq == 2 && m.conversation == "c")
    );
}

#[tokio::test(start_paused = true)]
async fn a_device_that_does_not_read_gets_a_head_and_bounded_memory() {
    let world = world(false);
    let mut device = world.log_in(256).await;
    for seq in 1..=100 {
        world.channel.push(1, seq, 500);
    }
    let mut last = 0;
    let tip = loop {
        match device.next().await.unwrap().body.unwrap() {
            server_frame::Body::Message(message) => {
                assert_eq!(message.seq, last + 1);
                last = message.seq;
            }
            server_frame::Body::Head(head) => break head.tip,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(tip, 100);
    assert!((1..20).contains(&last), "{last} messages of 500 bytes in 4 KiB");
    world.channel.push(1, 101, 10);
    assert!(
        matches!(device.next().await.unwrap().body, Some(server_frame::Body::Message(m)) if m.seq == 101)
    );
}

#[tokio::test(start_paused = true)]
async fn unanswered_requests_are_bounded_and_go_on_when_answered() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    for id in 1..=80 {
        device.send(id, client_frame::Body::Send(v1::Send::default())).await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let requests = || world.channel.count(|body| matches!(body, Up::Request(_)));
    assert_eq!(requests(), u64::from(MAX_REQUESTS_IN_FLIGHT));
    world.channel.reply(1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(requests(), u64::from(MAX_REQUESTS_IN_FLIGHT) + 1);
}

#[tokio::test(start_paused = true)]
async fn requests_in_a_batch_are_held_to_the_same_bound() {
    let world = world(false);
    let mut device = world.log_in(1 << 17).await;
    let mut body = Vec::new();
    for id in 1..=200 {
        let send = Some(client_frame::Body::Send(v1::Send::default()));
        ClientFrame { ack: 0, id, body: send }.encode_length_delimited(&mut body).unwrap();
    }
    device.io.write_all(&frame::header(frame::FLAG_BATCH, body.len())).await.unwrap();
    device.io.write_all(&body).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let requests = || world.channel.count(|body| matches!(body, Up::Request(_)));
    assert_eq!(requests(), u64::from(MAX_REQUESTS_IN_FLIGHT));
    for id in 1..=30 {
        world.channel.reply(id);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(requests(), u64::from(MAX_REQUESTS_IN_FLIGHT) + 30, "each answer makes room for one");
}

#[tokio::test(start_paused = true)]
async fn a_full_link_is_a_retryable_error() {
    let world = world(true);
    let mut device = world.log_in(1 << 16).await;
    device.send(1, client_frame::Body::Send(v1::Send::default())).await;
    let answer = device.next().await.unwrap();
    let Some(server_frame::Body::Error(error)) = answer.body else { panic!("{answer:?}") };
    assert_eq!((answer.re, error.code, error.retryable), (1, Code::OVERLOADED.number(), true));
}

#[tokio::test(start_paused = true)]
async fn silence_and_an_expired_token_close_the_connection() {
    let world = world(false);
    let mut silent = world.log_in(1 << 16).await;
    let started = tokio::time::Instant::now();
    assert_eq!(silent.goodbye().await.0, Code::HEARTBEAT_TIMEOUT);
    let waited = started.elapsed().as_secs();
    assert!((71..=74).contains(&waited), "{waited}");
    drop(silent);

    let mut device = world.log_in_for(1 << 16, 20).await;
    let started = tokio::time::Instant::now();
    assert_eq!(device.goodbye().await.0, Code::TOKEN_EXPIRED);
    let waited = started.elapsed().as_secs();
    assert!((19..=27).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_token_keeps_the_connection() {
    let world = world(false);
    let mut device = world.log_in_for(1 << 16, 20).await;
    let token = world.hello(60).token;
    device.send(3, client_frame::Body::RefreshAuth(v1::RefreshAuth { token })).await;
    let answer = device.next().await.unwrap();
    let Some(server_frame::Body::AuthRefreshed(refreshed)) = answer.body else { panic!("{answer:?}") };
    // The token and the leeway of clocks.
    assert_eq!(refreshed.expires_ms - refreshed.server_time_ms, 65_000);
    let started = tokio::time::Instant::now();
    assert_eq!(device.goodbye().await.0, Code::TOKEN_EXPIRED);
    assert!(started.elapsed().as_secs() >= 59);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_not_a_hello_is_told_why() {
    let world = world(false);
    let hello = |change: fn(&mut v1::Hello)| {
        let mut hello = world.hello(100);
        change(&mut hello);
        frame::encode(&ClientFrame { ack: 0, id: 0, body: Some(client_frame::Body::Hello(hello)) })
    };
    let ping = ClientFrame { body: Some(client_frame::Body::Ping(v1::Ping {})), ..Default::default() };
    let cases: Vec<(Code, Bytes)> = vec![
        (Code::FRAME_EMPTY, Bytes::from_static(&[0, 0, 0, 0, 0])),
        (Code::FRAME_TOO_LARGE, Bytes::from_static(&[0xFF, 0xFF, 0xFF, 0xFF, 0])),
        (Code::FRAME_TOO_LARGE, hello(|hello| hello.token = "x".repeat(5000))),
        (Code::UNSUPPORTED_FLAG, Bytes::from_static(&[0, 0, 0, 1, 1])),
        (Code::MALFORMED, Bytes::from_static(&[0, 0, 0, 2, 0, 0xFF])),
        (Code::HELLO_EXPECTED, frame::encode(&ping)),
        (Code::TOKEN_REQUIRED, hello(|hello| hello.token.clear())),
        (Code::TOKEN_INVALID, hello(|hello| hello.token.push('x'))),
        (Code::UNSUPPORTED_VERSION, hello(|hello| (hello.version_min, hello.version_max) = (2, 9))),
        (Code::INVALID_REQUEST, hello(|hello| hello.installation.clear())),
        (Code::INVALID_REQUEST, hello(|hello| hello.device_type = 4)),
    ];
    for (code, bytes) in cases {
        let mut device = world.open(1 << 16);
        device.io.write_all(&PREFACE).await.unwrap();
        device.io.write_all(&bytes).await.unwrap();
        assert_eq!(device.goodbye().await.0, code);
    }
    let mut device = world.open(1 << 16);
    device.io.write_all(b"\xD7GARBAGE").await.unwrap();
    assert_eq!(device.goodbye().await.0, Code::BAD_PREFACE);
    let mut silent = world.open(1 << 16);
    assert_eq!(silent.goodbye().await.0, Code::HELLO_TIMEOUT);
    assert_eq!(world.channel.count(|_| true), 0, "no channel node hears of them");
}

#[tokio::test(start_paused = true)]
async fn a_drained_connector_sends_its_devices_away() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    let connector = world.connector.clone();
    let (left, away) = tokio::join!(connector.drain(Duration::from_secs(5)), async {
        let away = device.goodbye().await;
        drop(device);
        away
    });
    assert_eq!((left, away), (0, (Code::SHUTTING_DOWN, v1::go_away::Verdict::Resume)));
}
