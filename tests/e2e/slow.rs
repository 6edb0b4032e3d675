//! A device that does not read: it is hinted, catches up, and delays nobody.

use std::time::Instant;

use protocol::preface::PREFACE;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, Hello};
use tokio::net::TcpSocket;

use crate::support::PATIENCE;
use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, hello, text};

/// Enough to fill the kernel's buffers on both sides and the device's window.
const MESSAGES: usize = 400;
const BYTES: usize = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_device_gets_a_hint_and_catches_up_while_others_are_not_delayed() {
    let gateway = Gateway::with(Settings::new()).await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let (mut quick, _) = Raw::login(&gateway, "bob", "quick").await;
    let room = alice.create(&["bob"]).await;
    quick.pushed().await;
    let mut slow = slow_login(&gateway).await;

    let started = Instant::now();
    let mut tip = 0;
    for n in 0..MESSAGES {
        tip = alice.send(text(&room, &format!("{n} {}", "x".repeat(BYTES)))).await.seq;
        // The quick device has it before the next one is sent, whatever the slow one does.
        assert_eq!(quick.pushed().await.seq, tip);
    }
    assert!(started.elapsed() < PATIENCE, "{MESSAGES} messages took {:?}", started.elapsed());

    let (mut pushed, hinted) = read_until_head(&mut slow, &room).await;
    assert!(hinted <= tip && pushed.len() < MESSAGES, "{} pushed, hint {hinted}", pushed.len());
    let first_missing = pushed.last().copied().unwrap_or_default() + 1;
    pushed.extend(slow.sync_all(&room, first_missing).await.iter().map(|message| message.seq));
    assert_eq!(pushed, (first_of(&pushed)..=tip).collect::<Vec<u64>>(), "ascending, each once, no hole");
    // It keeps up again from here on.
    let live = alice.send(text(&room, "live")).await.seq;
    assert_eq!(slow.pushed().await.seq, live);
}

/// A device with small buffers and a small window that has read its Welcome and nothing after it.
async fn slow_login(gateway: &Gateway) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut raw = Raw::on(socket.connect(gateway.tcp).await.unwrap());
    let hello = Hello { receive_window: 64 * 1024, ..hello(&gateway.token("bob"), "slow") };
    raw.hello(hello).await.unwrap();
    raw
}

/// What is pushed before the hint, and the tip that the hint names.
async fn read_until_head(slow: &mut Raw, room: &str) -> (Vec<u64>, u64) {
    let (mut pushed, mut session_seq) = (Vec::new(), 0);
    loop {
        let frame = slow.next().await.expect("a slow device is not sent away");
        match frame.body {
            Some(Told::Message(message)) => {
                assert_eq!(frame.session_seq, session_seq + 1, "no push is skipped silently");
                session_seq = frame.session_seq;
                pushed.push(message.seq);
            }
            Some(Told::Head(head)) => {
                assert_eq!(head.conversation, room);
                return (pushed, head.tip);
            }
            other => panic!("neither a message nor a hint: {other:?}"),
        }
    }
}

fn first_of(seqs: &[u64]) -> u64 {
    seqs.first().copied().unwrap_or_default()
}

#[tokio::test]
async fn requests_of_a_device_that_does_not_read_stop_being_read_and_lose_nothing() {
    let gateway = Gateway::start().await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let room = alice.create(&[]).await;
    for n in 0..100 {
        alice.send(text(&room, &format!("{n} {}", "x".repeat(BYTES)))).await;
    }
    // Far more requests than may be unanswered, each with an answer that fills a frame.
    let mut flood = Vec::new();
    for id in 1..=400u64 {
        let range = protocol::v1::SyncRange { conversation: room.clone(), from: 1, ..Default::default() };
        let body = Some(Ask::Sync(protocol::v1::Sync { ranges: vec![range] }));
        flood.extend_from_slice(&protocol::frame::encode(&ClientFrame { ack: 0, id: 1_000_000 + id, body }));
    }
    let mut greedy = slow_login_as(&gateway, "alice", "greedy").await;
    greedy.bytes(&flood).await;
    // Others are served meanwhile.
    alice.send(text(&room, "meanwhile")).await;
    for id in 1..=400u64 {
        assert!(matches!(greedy.answer(1_000_000 + id).await, Told::SyncResult(_)));
    }
}

async fn slow_login_as(gateway: &Gateway, user: &str, installation: &str) -> Raw {
    let mut raw = Raw::connect(gateway.tcp).await;
    raw.bytes(&PREFACE).await;
    raw.frame(Ask::Hello(hello(&gateway.token(user), installation))).await;
    assert!(matches!(raw.next().await.and_then(|frame| frame.body), Some(Told::Welcome(_))));
    raw
}
