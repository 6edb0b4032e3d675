//! Two channel nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{ChannelLink, ConnectorLink, LinkError, Membership, NodeRecord, Slot, View};
use idgen::{Clock, NodeId, NodeType, SystemClock, WorkerNumber};
use prost::Message as _;
use protocol::node::v1::{Admitted, Attached, ToChannel, ToConnector, attached, to_connector};
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::{Content, NewMember, Role, Send, ServerFrame};
use storage::Store;
use storage::embedded::EmbeddedStore;
use tokio::sync::watch;
use whimbrel_channel::config::ChannelConfig;
use whimbrel_channel::node::ChannelNode;

use crate::support::*;

/// A membership that a test changes.
pub struct Views(watch::Sender<Arc<View>>);

impl Membership for Views {
    fn snapshot(&self) -> Arc<View> {
        self.0.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.subscribe()
    }
}

pub fn channel_id(number: u16) -> NodeId {
    node_id(NodeType::Channel, number)
}

impl Views {
    pub fn of(numbers: &[u16]) -> Arc<Views> {
        let views = Arc::new(Views(watch::Sender::new(Arc::new(View::new(0, Vec::new())))));
        views.set(numbers);
        views
    }

    /// From now on these are the channel nodes.
    pub fn set(&self, numbers: &[u16]) {
        let records = numbers.iter().map(|number| NodeRecord::new(channel_id(*number), 1)).collect();
        let version = self.0.borrow().version + 1;
        self.0.send_replace(Arc::new(View::new(version, records)));
    }

    /// A user of this node: the `n`th there is.
    pub fn user_of(&self, number: u16, n: usize) -> String {
        let names = (0..).map(|n| format!("user-{n}"));
        let owns = |name: &String| self.snapshot().owner(Slot::of_user(TENANT, name));
        names.filter(|name| owns(name) == Some(channel_id(number))).nth(n).unwrap()
    }

    /// A conversation of this node.
    pub fn room_of(&self, number: u16) -> String {
        let mut names = (0..).map(|n| format!("room-{n}"));
        let owner = |name: &String| self.snapshot().owner(Slot::of_conversation(TENANT, name));
        names.find(|name| owner(name) == Some(channel_id(number))).unwrap()
    }
}

/// The dialler's end of a link, to which nothing is said.
struct Nobody(NodeId);

impl ConnectorLink for Nobody {
    fn node(&self) -> NodeId {
        self.0
    }

    fn deliver(&self, message: ToConnector) {
        panic!("nobody is told {message:?}");
    }
}

/// A link that can be cut.
pub struct Wire {
    inner: Arc<dyn ChannelLink>,
    is_cut: AtomicBool,
    /// The dialler, as the other node knows it.
    pub dialler: Arc<dyn ConnectorLink>,
}

impl Wire {
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }
}

impl ChannelLink for Wire {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        match self.is_cut.load(Ordering::Relaxed) {
            true => Err(LinkError::Closed),
            false => self.inner.send(message),
        }
    }
}

/// A node of a cluster, and what a connector hears of it.
pub struct Member {
    pub node: Arc<ChannelNode>,
    pub at: Connector,
}

impl Member {
    pub async fn start(number: u16, store: &Arc<EmbeddedStore>, views: &Arc<Views>) -> Member {
        Member::with_clock(number, store, views, Arc::new(SystemClock)).await
    }

    pub async fn with_clock(
        number: u16,
        store: &Arc<EmbeddedStore>,
        views: &Arc<Views>,
        clock: Arc<dyn Clock>,
    ) -> Member {
        let config = ChannelConfig::new(channel_id(number), WorkerNumber::new(number).unwrap());
        let config = ChannelConfig { sole_owner: false, presence_grace: GRACE, ..config };
        let store: Arc<dyn Store> = store.clone();
        let node = ChannelNode::join(config, store, clock, views.clone()).await.unwrap();
        let at = Connector::of(&node, 1);
        Member { node, at }
    }

    /// Gives this node a way to another one.
    pub fn dial(&self, other: &Member) -> Arc<Wire> {
        let dialler: Arc<dyn ConnectorLink> = Arc::new(Nobody(self.node.id()));
        let inner = other.node.connect(dialler.clone());
        let wire = Arc::new(Wire { inner, is_cut: AtomicBool::new(false), dialler });
        self.node.add_peer(wire.clone());
        wire
    }

    pub async fn room(&self, room: &str, users: &[&str]) {
        let role = Role::Agent.into();
        let member = |user: &&str| NewMember { user: (*user).into(), role, ..NewMember::default() };
        let members = users.iter().map(member).collect();
        self.node.create_conversation(TENANT, room, "Room", members).await.unwrap();
    }

    /// Logs a device in; what is told before is left out.
    pub async fn login(&mut self, user: &str, installation: &str) -> Device {
        self.at.link.send(attach(77, user, installation)).unwrap();
        loop {
            let to_connector::Body::Attached(Attached { outcome, .. }) = self.at.next().await else {
                continue;
            };
            let Some(attached::Outcome::Admitted(Admitted { device_id, epoch })) = outcome else {
                panic!("refused: {outcome:?}")
            };
            return Device { user: user.into(), id: device_id, epoch };
        }
    }

    /// Asks, and returns the answer; what is pushed before it is left out.
    pub async fn asked(&mut self, device: &Device, body: Ask) -> Body {
        self.at.send(identity(TENANT, &device.user), device, 1_000, Some(body));
        loop {
            if let to_connector::Body::Reply(reply) = self.at.next().await {
                let frame = ServerFrame::decode(reply.frame).unwrap();
                assert_eq!(frame.re, 1_000);
                return frame.body.unwrap();
            }
        }
    }

    /// Sends a message; its seq.
    pub async fn said(&mut self, device: &Device, room: &str, n: u8) -> u64 {
        match self.asked(device, say(room, n)).await {
            Body::SendAck(ack) => ack.seq,
            other => panic!("not an ack: {other:?}"),
        }
    }

    /// The next stored push: seq, and the devices it is for.
    pub async fn pushed(&mut self) -> (u64, Vec<u64>) {
        loop {
            if let to_connector::Body::Push(push) = self.at.next().await
                && push.seq > 0
            {
                return (push.seq, push.targets.iter().map(|target| target.device_id).collect());
            }
        }
    }
}

/// Two nodes that hear each other, and their store.
pub struct Pair {
    pub one: Member,
    pub two: Member,
    pub views: Arc<Views>,
    /// From the first to the second, and back.
    pub wires: [Arc<Wire>; 2],
    pub lasting: World,
}

impl Pair {
    pub async fn start() -> Pair {
        let (lasting, views) = (store().await, Views::of(&[1, 2]));
        let one = Member::start(1, &lasting.store, &views).await;
        let two = Member::start(2, &lasting.store, &views).await;
        let wires = [one.dial(&two), two.dial(&one)];
        Pair { one, two, views, wires, lasting }
    }
}

/// A store that no other node works on.
pub async fn store() -> World {
    let world = World::new().await;
    world.node.drain(Duration::from_secs(10)).await.unwrap();
    world
}

pub fn say(room: &str, n: u8) -> Ask {
    let content = Some(Content { r#type: "text/plain".into(), data: vec![n].into() });
    let client_msg_id = vec![n; 16].into();
    Ask::Send(Send { conversation: room.into(), client_msg_id, content, ..Send::default() })
}

/// Lets time pass for the nodes, then lets them come to rest.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(300)).await;
}
