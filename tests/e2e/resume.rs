//! A session outlives its connection: the device that comes back gets exactly what it has not handled, and is not
//! logged in anew.

use std::time::Duration;

use client::{Client, Event, Since};
use futures::StreamExt as _;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::welcome::Outcome;
use protocol::v1::{Hello, Resume};

use crate::support::process::{Gateway, Settings};
use crate::support::proxy::Proxy;
use crate::support::raw::{Raw, hello, text_to};

fn resuming(gateway: &Gateway, user: &str, token: &[u8], last_seq: u64) -> Hello {
    let resume = Some(Resume { token: token.to_vec().into(), last_seq });
    Hello { resume, ..hello(&gateway.token(user), "phone") }
}

/// (session seq, seq) of the pushed messages up to CaughtUp.
async fn replayed(device: &mut Raw) -> Vec<(u64, u64)> {
    let mut seen = Vec::new();
    loop {
        let frame = device.next().await.expect("the connection holds");
        match frame.body {
            Some(Told::Message(message)) => seen.push((frame.session_seq, message.seq)),
            Some(Told::CaughtUp(_)) => return seen,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_device_that_comes_back_gets_exactly_what_it_has_not_handled() {
    let gateway = Gateway::start().await;
    let (mut bob, welcome) = Raw::login(&gateway, "bob", "phone").await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let said = |n: u32| text_to("bob", &format!("message {n}"));
    for n in 0..3 {
        alice.send(said(n)).await;
    }
    // The conversation's creation is entry 1 and session seq 1.
    for seq in 1..=4 {
        assert_eq!(bob.pushed().await.seq, seq);
    }
    drop(bob);
    for n in 3..200 {
        alice.send(said(n)).await;
    }
    let mut bob = Raw::connect(gateway.tcp).await;
    let again = bob.hello(resuming(&gateway, "bob", &welcome.resume_token, 2)).await.unwrap();
    assert_eq!((again.outcome(), again.device_id), (Outcome::Resumed, welcome.device_id));
    let expected: Vec<(u64, u64)> = (3..=201).map(|seq| (seq, seq)).collect();
    assert_eq!(replayed(&mut bob).await, expected);
    alice.send(said(200)).await;
    assert_eq!(bob.pushed().await.seq, 202);
}

#[tokio::test]
async fn what_cannot_be_resumed_is_said_and_pulled() {
    let mut gateway = Gateway::with(Settings::new().set("limits.resume_ttl_ms", 1_000)).await;
    let (bob, welcome) = Raw::login(&gateway, "bob", "phone").await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    drop(bob);
    for n in 0..1_100 {
        alice.send(text_to("bob", &format!("message {n}"))).await;
    }
    let mut bob = Raw::connect(gateway.tcp).await;
    let hello = resuming(&gateway, "bob", &welcome.resume_token, 0);
    let outcome = bob.hello(hello).await.unwrap().outcome();
    assert!(matches!(outcome, Outcome::Gap | Outcome::Expired), "{outcome:?}");
    assert_eq!(bob.sync_all("d:alice~bob", 1).await.len(), 1_101);

    let (carol, welcome) = Raw::login(&gateway, "carol", "phone").await;
    drop(carol);
    gateway.crash_and_restart().await;
    let mut carol = Raw::connect(gateway.tcp).await;
    let hello = resuming(&gateway, "carol", &welcome.resume_token, 0);
    assert_eq!(carol.hello(hello).await.unwrap().outcome(), Outcome::Expired);
}

#[tokio::test]
async fn the_sdk_resumes_by_itself() {
    let gateway = Gateway::start().await;
    let proxy = Proxy::start(gateway.tcp).await;
    let url = format!("tcp://{}", proxy.address);
    let bob = Client::builder(url).token(gateway.token("bob")).installation("phone").connect().await.unwrap();
    let mut events = bob.events();
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    alice.send(text_to("bob", "first")).await;
    let mut stream = bob.direct("alice").messages(Since::Start);
    for _ in 0..2 {
        stream.next().await.unwrap();
    }
    assert!(proxy.cut_all() > 0);
    alice.send(text_to("bob", "second")).await;
    let resumed = async {
        let mut lost = false;
        loop {
            match events.next().await {
                Some(Event::Disconnected { .. }) => lost = true,
                Some(Event::Connected { resumed }) if lost => return resumed,
                _ => {}
            }
        }
    };
    let resumed = tokio::time::timeout(Duration::from_secs(20), resumed).await.unwrap();
    assert!(resumed, "within the session's time");
    assert_eq!(stream.next().await.unwrap().text(), Some("second"));
}
