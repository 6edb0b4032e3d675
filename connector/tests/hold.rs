//! A channel node that is out of reach: what is asked waits for it, in order and within bounds.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::code::Code;
use protocol::v1::{self, client_frame, server_frame};
use support::{Device, World, world};

fn send() -> client_frame::Body {
    client_frame::Body::Send(v1::Send { conversation: "c".into(), ..v1::Send::default() })
}

fn set_down(world: &World, is_down: bool) {
    world.channel.is_down.store(is_down, Ordering::Relaxed);
}

/// The next answer, which must be an error: to what, and its code.
async fn refused(device: &mut Device) -> (u64, u32) {
    let frame = device.next().await.unwrap();
    match frame.body {
        Some(server_frame::Body::Error(error)) => (frame.re, error.code),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn requests_wait_and_go_in_the_order_in_which_they_came() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    set_down(&world, true);
    for id in 1..=5 {
        device.send(id, send()).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.channel.requests().is_empty());
    set_down(&world, false);
    device.send(6, send()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    device.send(7, send()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.channel.requests(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_too_long_is_refused_and_never_said() {
    let world = world(false);
    let mut device = world.log_in(1 << 16).await;
    set_down(&world, true);
    let before = tokio::time::Instant::now();
    device.send(1, send()).await;
    device.send(2, send()).await;
    for id in 1..=2 {
        assert_eq!(refused(&mut device).await, (id, Code::UNAVAILABLE.number()));
    }
    let waited = before.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&waited), "{waited:?}");
    set_down(&world, false);
    device.send(3, send()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.channel.requests(), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_login_waits_too() {
    let world = world(false);
    set_down(&world, true);
    let login = world.log_in(1 << 16);
    let up = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        set_down(&world, false);
    };
    tokio::join!(login, up);
    assert_eq!(world.connector.sessions(), 1);
}
