//! Several channel nodes on one store: what one owns is reached through the others, and their ends and their coming lose
//! nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::frame;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, Message, Presence, Watch};
use tokio::task::JoinSet;

use crate::crash::under_load;
use crate::nodes::{LEASE_MS, Nodes, channel_settings};
use crate::refused::refused;
use crate::support::device::Recorder;
use crate::support::keyspace::findings;
use crate::support::metrics::Metrics;
use crate::support::process::Gateway;
use crate::support::raw::{Raw, text};
use crate::support::soon;

/// So many users and rooms that each of two or three nodes owns some of both.
const USERS: usize = 12;
const ROOMS: usize = 12;
/// After a node's end its lease has to pass; then its conversations are taken over.
const BACK: Duration = Duration::from_millis(LEASE_MS + 5_000);

struct Devices {
    users: Vec<Listener>,
    rooms: Vec<String>,
}

/// A device, and how far it has come in each room.
struct Listener {
    raw: Raw,
    user: String,
    heard: HashMap<String, u64>,
}

impl Listener {
    async fn login(connector: &Gateway, name: &str) -> Listener {
        let (raw, _) = Raw::login(connector, name, "phone").await;
        Listener { raw, user: name.to_owned(), heard: HashMap::new() }
    }

    /// The next text of another user in a room: pushed, or read where there is only a hint that it is there. What is
    /// repeated is left out.
    async fn hears(&mut self, room: &str) -> String {
        loop {
            let heard = self.heard.get(room).copied().unwrap_or(0);
            let is_next = |body: &Option<Told>| match body {
                Some(Told::Message(message)) => message.conversation == room && message.seq > heard,
                Some(Told::Head(head)) => head.conversation == room && head.tip > heard,
                _ => false,
            };
            let frame = self.raw.find(|frame| is_next(&frame.body)).await.expect("the connection stays");
            let ack = ClientFrame { ack: frame.session_seq, id: 0, body: None };
            self.raw.bytes(&frame::encode(&ack)).await;
            let (messages, tip) = match frame.body {
                Some(Told::Message(message)) => (vec![message.clone()], message.seq),
                Some(Told::Head(head)) => (self.raw.sync_all(room, heard + 1).await, head.tip),
                _ => continue,
            };
            let is_text =
                |message: &Message| message.members_changed.is_none() && message.sender != self.user;
            let text = messages.into_iter().find(is_text);
            self.heard.insert(room.to_owned(), text.as_ref().map_or(tip, |text| text.seq));
            if let Some(content) = text.and_then(|text| text.content) {
                return String::from_utf8(content.data.to_vec()).expect("a text");
            }
        }
    }
}

impl Devices {
    /// Everybody is in every room; devices are spread over the connectors.
    async fn connect(nodes: &Nodes) -> Devices {
        let names: Vec<String> = (0..USERS).map(|n| format!("user-{n}")).collect();
        let mut users = Vec::new();
        for (n, name) in names.iter().enumerate() {
            users.push(Listener::login(&nodes.connectors[n % nodes.connectors.len()], name).await);
        }
        let others: Vec<&str> = names[1..].iter().map(String::as_str).collect();
        let mut rooms = Vec::new();
        for _ in 0..ROOMS {
            rooms.push(users[0].raw.create(&others).await);
        }
        Devices { users, rooms }
    }

    /// Three users say something in every room, and all others hear it in order.
    async fn talk(&mut self, word: &str) {
        for speaker in 0..3 {
            for room in &self.rooms {
                let said = format!("{word} {speaker} {room}");
                self.users[speaker].raw.send(text(room, &said)).await;
            }
        }
        for (n, user) in self.users.iter_mut().enumerate() {
            for room in &self.rooms {
                for speaker in (0..3).filter(|speaker| *speaker != n) {
                    assert_eq!(user.hears(room).await, format!("{word} {speaker} {room}"), "user {n}");
                }
            }
        }
    }
}

/// What is stored agrees with itself.
async fn agrees(nodes: &Nodes) {
    let (count, said) = findings(&nodes.channels[0]).await;
    assert_eq!(count, 0, "{said}");
}

/// What is told of a user next.
async fn presence_of(device: &mut Raw, user: &str) -> Presence {
    let told = |body: &Option<Told>| matches!(body, Some(Told::Presence(one)) if one.user == user);
    let frame = device.find(|frame| told(&frame.body)).await.expect("the connection stays");
    match frame.body {
        Some(Told::Presence(presence)) => presence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_presence_cross_nodes_while_nodes_come_and_go() {
    let mut nodes = Nodes::sharing(2).await;
    let mut devices = Devices::connect(&nodes).await;
    devices.talk("two").await;
    for channel in &nodes.channels {
        assert!(
            Metrics::of(channel.http).await.get("whimbrel_channel_peer_pushes_total") > 0,
            "both hand over"
        );
    }
    // Everybody watches everybody; one goes and comes.
    let watch = Ask::Watch(Watch { conversations: vec![devices.rooms[0].clone()] });
    for user in &mut devices.users {
        match user.raw.request(watch.clone()).await {
            Told::Watching(all) => assert!(all.presences.iter().filter(|one| one.online).count() > 0),
            other => panic!("not watching: {other:?}"),
        }
    }
    let Listener { raw, user: name, heard } = devices.users.pop().expect("twelve users");
    drop(raw);
    for user in &mut devices.users {
        while presence_of(&mut user.raw, &name).await.online {}
    }
    // Tips may be told to it again; it has everything so far.
    let back = Listener { heard, ..Listener::login(&nodes.connectors[1], &name).await };
    for user in &mut devices.users {
        while !presence_of(&mut user.raw, &name).await.online {}
    }
    devices.users.push(back);
    // A third node takes a share, and one of the first two goes as it should.
    nodes.join().await;
    devices.talk("three").await;
    let mut first = nodes.channels.remove(0);
    assert!(first.stop().await.success());
    nodes.linked(2).await;
    devices.talk("two again").await;
    agrees(&nodes).await;
}

/// The time from `kill -9` to the first message that is stored in each room, against the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_sends_resume_when_the_lease_has_passed() {
    let mut nodes = Nodes::sharing(2).await;
    let mut devices = Devices::connect(&nodes).await;
    devices.talk("before").await;
    nodes.channels[0].kill();
    let killed = Instant::now();
    let mut sends = JoinSet::new();
    for (n, room) in devices.rooms.iter().enumerate() {
        let (mut raw, room) = (devices.users.remove(0).raw, room.clone());
        sends.spawn(async move {
            let send = text(&room, &format!("after {n}"));
            let mut refusals = 0;
            loop {
                match raw.request(Ask::Send(send.clone())).await {
                    Told::SendAck(_) => return (killed.elapsed(), refusals),
                    Told::Error(error) if error.retryable => refusals += 1,
                    other => panic!("{other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let ended = sends.join_all().await;
    let slowest = ended.iter().map(|(took, _)| *took).max().expect("there are rooms");
    let quickest = ended.iter().map(|(took, _)| *took).min().expect("there are rooms");
    let refusals: u32 = ended.iter().map(|(_, refusals)| refusals).sum();
    eprintln!(
        "lease {LEASE_MS} ms: sends resume after {quickest:?} to {slowest:?}; {refusals} refused meanwhile"
    );
    assert!(quickest < Duration::from_millis(LEASE_MS / 2), "the other node's rooms go on: {quickest:?}");
    assert!(slowest < BACK, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_nodes_that_are_killed_lose_nothing() {
    let nodes = under_load(Nodes::sharing(2).await, async |mut nodes: Nodes, recorder: Recorder| {
        for (acked, killed) in [(100, 0), (300, 1)] {
            soon("acks", recorder.acked(acked)).await;
            nodes.channels[killed].kill();
            // The other one takes everything.
            soon("more acks", recorder.acked(acked + 100)).await;
            nodes.channels[killed].launch().await;
            nodes.linked(2).await;
        }
        nodes
    })
    .await;
    agrees(&nodes).await;
}

/// A node that does not get the processor for three times its lease is taken for dead; when it goes on, nothing that it was
/// about to append is appended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_node_that_stalls_and_goes_on_does_no_harm() {
    let nodes = under_load(Nodes::sharing(2).await, async |nodes: Nodes, recorder: Recorder| {
        for (acked, stalled) in [(100, 0), (300, 1)] {
            soon("acks", recorder.acked(acked)).await;
            nodes.channels[stalled].stall();
            let until = Instant::now() + Duration::from_millis(3 * LEASE_MS);
            soon("more acks", recorder.acked(acked + 100)).await;
            tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
            nodes.channels[stalled].resume();
            nodes.linked(2).await;
        }
        nodes
    })
    .await;
    agrees(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_node_that_joins_and_one_that_goes_lose_nothing() {
    let nodes = under_load(Nodes::sharing(1).await, async |mut nodes: Nodes, recorder: Recorder| {
        soon("acks", recorder.acked(100)).await;
        nodes.join().await;
        soon("more acks", recorder.acked(250)).await;
        nodes.join().await;
        soon("more acks", recorder.acked(400)).await;
        let mut first = nodes.channels.remove(0);
        assert!(first.stop().await.success());
        nodes
    })
    .await;
    agrees(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_store_of_its_own_is_refused_beside_those_that_share_one() {
    let nodes = Nodes::sharing(1).await;
    let own = Gateway::channel(channel_settings(&nodes.zookeeper), &nodes.issuer);
    refused(own, "several channel nodes need a shared store").await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let room = alice.create(&["bob"]).await;
    alice.send(text(&room, "still here")).await;
}
