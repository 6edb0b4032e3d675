//! What outlives a connection: unacknowledged pushes are repeated, a session waits and is resumed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use protocol::code::Code;
use protocol::frame;
use protocol::node::v1::push::Telling;
use protocol::node::v1::to_channel::Body as Up;
use protocol::v1::welcome::Outcome;
use protocol::v1::{self, ClientFrame, client_frame, server_frame};
use support::{Device, World, world};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

/// (session seq, seq) of the next message.
async fn message(device: &mut Device) -> (u64, u64) {
    let frame = device.next().await.unwrap();
    match frame.body {
        Some(server_frame::Body::Message(message)) => (frame.session_seq, message.seq),
        other => panic!("not a message: {other:?}"),
    }
}

async fn resume(world: &World, welcome: &v1::Welcome, last_seq: u64) -> (Device, v1::Welcome) {
    let resume = Some(v1::Resume { token: welcome.resume_token.clone(), last_seq });
    world.log_in_with(1 << 16, v1::Hello { resume, ..world.hello(100_000) }).await
}

async fn settled(world: &World, what: impl Fn(&Up) -> bool) {
    while world.channel.count(&what) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_session_replays_exactly_what_was_not_acknowledged() {
    let world = world(false);
    let (mut device, welcome) = world.log_in_with(1 << 16, world.hello(100_000)).await;
    assert_eq!((welcome.outcome(), welcome.resume_ttl_ms), (Outcome::New, 120_000));
    for seq in 1..=3 {
        world.channel.push(1, seq, 1);
        assert_eq!(message(&mut device).await, (seq, seq));
    }
    drop(device);
    settled(&world, |body| matches!(body, Up::Suspend(_))).await;
    assert_eq!(world.connector.sessions(), 1, "the session waits");
    (4..=9).for_each(|seq| world.channel.push(1, seq, 1));
    let (mut device, again) = resume(&world, &welcome, 1).await;
    assert_eq!((again.outcome(), again.session_id), (Outcome::Resumed, welcome.session_id));
    for seq in 2..=9 {
        assert_eq!(message(&mut device).await, (seq, seq));
    }
    assert!(matches!(device.next().await.unwrap().body, Some(server_frame::Body::CaughtUp(_))));
    world.channel.push(1, 10, 1);
    assert_eq!(message(&mut device).await, (10, 10));
    assert_eq!(world.channel.count(|body| matches!(body, Up::Attach(_))), 1, "a resume is not a login");
    assert_eq!(world.channel.count(|body| matches!(body, Up::Revive(_))), 1);
}

/// What is told again reaches a device only if it may have missed it, and is a push like others: numbered, and repeated
/// as the message itself.
#[tokio::test(start_paused = true)]
async fn a_head_comes_only_where_its_push_did_not() {
    let world = world(false);
    let (mut device, _) = world.log_in_with(1 << 16, world.hello(100_000)).await;
    world.channel.push(1, 5, 1);
    assert_eq!(message(&mut device).await, (1, 5));
    for seq in [4, 5] {
        world.channel.tell_again(1, seq, Telling::IfMissed);
    }
    world.channel.tell_again(1, 6, Telling::IfMissed);
    let head = device.next().await.unwrap();
    assert_eq!(head.session_seq, 2, "the first that was missed");
    assert!(matches!(head.body, Some(server_frame::Body::Head(v1::Head { tip: 6, .. }))));
    world.channel.tell_again(1, 3, Telling::Anyway);
    let head = device.next().await.unwrap();
    assert!(matches!(head.body, Some(server_frame::Body::Head(v1::Head { tip: 3, .. }))));
}

#[tokio::test(start_paused = true)]
async fn resuming_takes_the_session_from_a_connection_that_is_half_open() {
    let world = world(false);
    let (mut old, welcome) = world.log_in_with(1 << 16, world.hello(100_000)).await;
    let (mut new, again) = resume(&world, &welcome, 0).await;
    assert_eq!(again.outcome(), Outcome::Resumed);
    assert!(matches!(new.next().await.unwrap().body, Some(server_frame::Body::CaughtUp(_))));
    assert_eq!(old.goodbye().await.0, Code::SUPERSEDED);
    drop(old);
    world.channel.push(1, 1, 1);
    assert_eq!(message(&mut new).await, (1, 1));
    assert_eq!(world.channel.count(|body| matches!(body, Up::Detach(_) | Up::Suspend(_))), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_comes_back_for_ends() {
    let world = world(false);
    let (device, welcome) = world.log_in_with(1 << 16, world.hello(100_000)).await;
    drop(device);
    let started = Instant::now();
    settled(&world, |body| matches!(body, Up::Detach(_))).await;
    let waited = started.elapsed().as_secs();
    assert!((119..=123).contains(&waited), "{waited}");
    assert_eq!(world.connector.sessions(), 0);
    let (_, again) = resume(&world, &welcome, 0).await;
    assert_eq!(again.outcome(), Outcome::Expired);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_and_forged_tokens_resume_nothing() {
    let world = world(false);
    let (_device, welcome) = world.log_in_with(1 << 16, world.hello(100_000)).await;
    let mut forged = welcome.clone();
    let mut token = forged.resume_token.to_vec();
    token[20] ^= 1;
    forged.resume_token = token.into();
    assert_eq!(resume(&world, &forged, 0).await.1.outcome(), Outcome::Expired);
    forged.resume_token = vec![7; 500].into();
    assert_eq!(resume(&world, &forged, 0).await.1.outcome(), Outcome::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_says_bye_or_is_kicked_leaves_nothing_behind() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    device.send(0, client_frame::Body::Bye(v1::Bye {})).await;
    assert!(device.next().await.is_none());
    drop(device);
    settled(&world, |body| matches!(body, Up::Detach(_))).await;
    assert_eq!(world.connector.sessions(), 0);
    let away = world.log_in(1 << 16).await;
    drop(away);
    settled(&world, |body| matches!(body, Up::Suspend(_))).await;
    world.channel.kick(2);
    assert_eq!(world.connector.sessions(), 0);
    assert_eq!(world.channel.count(|body| matches!(body, Up::Detach(_))), 2);
}

#[tokio::test(start_paused = true)]
async fn silence_about_pushes_is_answered_by_three_repetitions_and_then_the_end() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    let started = Instant::now();
    world.channel.push(1, 5, 1);
    let mut seen = Vec::new();
    let end = loop {
        let Ok(frame) = tokio::time::timeout(Duration::from_secs(10), device.next()).await else {
            // Alive, but it does not say that it has handled anything.
            device.send(0, client_frame::Body::Ping(v1::Ping {})).await;
            continue;
        };
        let frame = frame.unwrap();
        match frame.body {
            Some(server_frame::Body::Pong(_)) => {}
            Some(server_frame::Body::Message(_)) => {
                seen.push((frame.session_seq, started.elapsed().as_secs()))
            }
            Some(server_frame::Body::GoAway(away)) => break (away, started.elapsed().as_secs()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(seen.len(), 4, "{seen:?}");
    for ((session_seq, at), expected) in seen.iter().zip([0, 18, 36, 54]) {
        assert_eq!(*session_seq, 1);
        assert!((expected..=expected + 2).contains(at), "{seen:?}");
    }
    assert_eq!((end.0.code, end.0.verdict()), (Code::ACK_TIMEOUT.number(), v1::go_away::Verdict::Resume));
    assert!((72..=75).contains(&end.1), "{}", end.1);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_on_any_frame_ends_the_repetitions() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    world.channel.push(1, 5, 1);
    assert_eq!(message(&mut device).await, (1, 5));
    device.acknowledge(1).await;
    let started = Instant::now();
    let ending = device.goodbye().await.0;
    assert_eq!(ending, Code::HEARTBEAT_TIMEOUT, "no repetition came before it");
    assert!(started.elapsed().as_secs() >= 70);
    let mut device = world.log_in(1 << 16).await;
    device.acknowledge(1).await;
    assert_eq!(device.goodbye().await.0, Code::MALFORMED, "nothing was pushed");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_asks_and_does_not_read_is_sent_away() {
    let world = world(false);
    let mut device = world.log_in(256).await;
    let started = Instant::now();
    // Its signs of life arrive; what it is sent stays in the pipe.
    let ping = ClientFrame { ack: 0, id: 9, body: Some(client_frame::Body::Ping(v1::Ping {})) };
    while device.io.write_all(&frame::encode(&ping)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = started.elapsed().as_secs();
    assert!((60..=70).contains(&ended), "{ended}");
}
