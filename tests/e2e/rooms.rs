//! Devices in one conversation, on the Rust SDK.

use client::{Client, Event, Message, MessageStream, Since};
use futures::StreamExt;

use crate::support::process::Gateway;
use crate::support::soon;

async fn connect(gateway: &Gateway, url: String, user: &str, installation: &str) -> Client {
    let mut builder = Client::builder(url.clone()).token(gateway.token(user)).installation(installation);
    if url.starts_with("quic:") {
        builder = builder.trust_certificate(gateway.certificate());
    }
    builder.connect().await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

async fn next(stream: &mut MessageStream) -> Message {
    soon("a message", stream.next()).await.unwrap_or_else(|| panic!("{:?}", stream.ended_because()))
}

/// Reads until a seq, the content of each with its seq.
async fn read_to(stream: &mut MessageStream, last: u64) -> Vec<(u64, String)> {
    let mut read = Vec::new();
    while read.last().is_none_or(|(seq, _)| *seq < last) {
        let message = next(stream).await;
        read.push((message.seq, message.text().unwrap_or_default().to_owned()));
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_on_three_transports_see_the_same_seqs_in_the_same_order() {
    let gateway = Gateway::dev().await;
    let alice = connect(&gateway, gateway.tcp_url(), "alice", "tcp").await;
    let bob = connect(&gateway, gateway.quic_url(), "bob", "quic").await;
    let ada = connect(&gateway, gateway.ws_url(), "ada", "ws").await;
    let clients = [&alice, &bob, &ada];
    let room = alice.create_conversation("all", ["bob", "ada"]).await.unwrap();
    let mut streams: Vec<MessageStream> =
        clients.iter().map(|client| client.conversation(room.id()).messages(Since::Start)).collect();
    let mut sendings = Vec::new();
    for n in 0..40 {
        for client in clients {
            sendings.push(client.conversation(room.id()).send(format!("{} {n}", client.user())));
        }
    }
    let mut seqs = Vec::new();
    for sending in sendings {
        seqs.push(sending.await.unwrap().seq);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (2..=121).collect::<Vec<u64>>(), "every send has its own seq, behind the creation");
    let mut seen = Vec::new();
    for stream in &mut streams {
        seen.push(read_to(stream, 121).await);
    }
    assert_eq!(seen[0].iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=121).collect::<Vec<u64>>());
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    for user in ["alice", "bob", "ada"] {
        let own: Vec<&String> =
            seen[0].iter().map(|(_, text)| text).filter(|t| t.starts_with(user)).collect();
        assert_eq!(
            own,
            (0..40).map(|n| format!("{user} {n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_device_that_was_away_gets_exactly_what_it_missed() {
    let gateway = Gateway::start().await;
    let alice = connect(&gateway, gateway.tcp_url(), "alice", "phone").await;
    let bob = connect(&gateway, gateway.ws_url(), "bob", "laptop").await;
    let room = alice.direct("bob");
    let mut last = 0;
    for n in 0..5 {
        last = room.send(format!("before {n}")).await.unwrap().seq;
    }
    let mut stream = bob.conversation(room.id()).messages(Since::Start);
    read_to(&mut stream, last).await;
    drop(stream);
    bob.close().await;
    let missed: Vec<String> = (0..300).map(|n| format!("missed {n}")).collect();
    for text in &missed {
        drop(room.send(text.clone()));
    }
    let end = room.send("end").await.unwrap().seq;
    let bob = connect(&gateway, gateway.ws_url(), "bob", "laptop").await;
    let mut stream = bob.conversation(room.id()).messages(Since::Seq(last + 1));
    let read = read_to(&mut stream, end).await;
    let expected = missed.into_iter().chain(["end".to_owned()]);
    assert_eq!(read, (last + 1..).zip(expected).collect::<Vec<_>>());
    // And what is new from then on.
    let live = room.send("live").await.unwrap().seq;
    assert_eq!(next(&mut stream).await.seq, live);
}

#[tokio::test]
async fn two_devices_of_one_user_both_see_everything() {
    let gateway = Gateway::start().await;
    let phone = connect(&gateway, gateway.tcp_url(), "alice", "phone").await;
    let laptop = connect(&gateway, gateway.ws_url(), "alice", "laptop").await;
    let bob = connect(&gateway, gateway.tcp_url(), "bob", "phone").await;
    assert_ne!(phone.device_id(), laptop.device_id());
    let id = phone.direct("bob").id().to_owned();
    let mut streams = [&phone, &laptop, &bob].map(|client| client.conversation(&id).messages(Since::Start));
    phone.conversation(&id).send("from the phone").await.unwrap();
    laptop.conversation(&id).send("from the laptop").await.unwrap();
    let last = bob.conversation(&id).send("from bob").await.unwrap().seq;
    let mut seen = Vec::new();
    for stream in &mut streams {
        seen.push(read_to(stream, last).await);
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    let texts: Vec<&str> = seen[0].iter().map(|(_, text)| text.as_str()).filter(|t| !t.is_empty()).collect();
    assert_eq!(texts, ["from the phone", "from the laptop", "from bob"]);
}

#[tokio::test]
async fn unread_follows_the_cursor_and_cursors_never_fall() {
    let gateway = Gateway::start().await;
    let alice = connect(&gateway, gateway.tcp_url(), "alice", "phone").await;
    let bob = connect(&gateway, gateway.tcp_url(), "bob", "phone").await;
    let mut last = 0;
    for n in 0..3 {
        last = alice.direct("bob").send(n.to_string()).await.unwrap().seq;
    }
    let row = async |client: &Client| client.conversations(0).await.unwrap().conversations.remove(0);
    let before = row(&bob).await;
    let joined = 1;
    assert_eq!((before.tip, before.unread, before.peer.as_str()), (last, last - joined, "alice"));
    assert_eq!(row(&alice).await.unread, 0, "one's own messages are not unread");
    let room = bob.direct("alice");
    room.mark_read(last - 1).await.unwrap();
    room.mark_read(1).await.unwrap();
    let after = row(&bob).await;
    assert_eq!((after.read, after.unread), (last - 1, 1));
    // Beyond the tip means the tip.
    room.mark_read(last + 5).await.unwrap();
    let all = row(&bob).await;
    assert_eq!((all.read, all.unread), (last, 0));
}

#[tokio::test]
async fn presence_and_typing_reach_who_watches() {
    let gateway = Gateway::start().await;
    let alice = connect(&gateway, gateway.tcp_url(), "alice", "phone").await;
    let room = alice.direct("bob");
    room.send("hi").await.unwrap();
    let mut events = alice.events();
    let now = alice.watch([room.id()]).await.unwrap();
    let bob_now = now.iter().find(|presence| presence.user == "bob").unwrap();
    assert!(!bob_now.online);
    let bob = connect(&gateway, gateway.ws_url(), "bob", "phone").await;
    let presence = |wanted: bool| move |event: &Event| matches!(event, Event::Presence { user, online, .. } if user == "bob" && *online == wanted);
    until(&mut events, presence(true)).await;
    bob.direct("alice").typing();
    until(
        &mut events,
        |event| matches!(event, Event::Signal { user, kind, .. } if user == "bob" && kind == "typing"),
    )
    .await;
    bob.close().await;
    until(&mut events, presence(false)).await;
}

async fn until(events: &mut client::Events, wanted: impl Fn(&Event) -> bool) {
    let found = async {
        while let Some(event) = events.next().await {
            if wanted(&event) {
                return true;
            }
        }
        false
    };
    assert!(soon("an event", found).await, "the events ended");
}
