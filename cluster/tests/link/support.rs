//! Two ends of a link that note what they hear.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cluster::link::dial::{DialledLink, LinkEvents};
use cluster::link::hello::Me;
use cluster::link::listen::{LinkHost, LinkPort};
use cluster::link::socket::Pace;
use cluster::link::{ChannelLink, ConnectorLink, LinkConfig, LinkError};
use cluster::{FixedMembership, View};
use idgen::{NodeId, NodeType, WorkerNumber};
use parking_lot::Mutex;
use protocol::node::v1::{Detach, Kick, Push, Target, ToChannel, ToConnector, to_channel, to_connector};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use whimbrel_cluster as cluster;

pub fn node(kind: NodeType, number: u16) -> NodeId {
    NodeId::new(kind, WorkerNumber::new(number).unwrap(), Ipv4Addr::LOCALHOST, 7500).unwrap()
}

pub fn connector() -> NodeId {
    node(NodeType::Connector, 1)
}

pub fn channel() -> NodeId {
    node(NodeType::Channel, 2)
}

pub fn me(node: NodeId, incarnation: u64) -> Me {
    Me { cluster: "test".into(), node, incarnation }
}

/// Fast enough for a test: silence shows in a second.
pub fn config(node: NodeId, incarnation: u64) -> LinkConfig {
    let millis = Duration::from_millis;
    LinkConfig {
        pace: Pace { ping: millis(100), silence: millis(1_000), hello: millis(1_000) },
        hold: millis(2_000),
        linger: millis(3_000),
        ..LinkConfig::new(me(node, incarnation))
    }
}

/// A request that is told apart by its number.
pub fn numbered(number: u64) -> ToChannel {
    let detach = Detach { tenant: "t".into(), user: "u".into(), device_id: 1, epoch: number };
    ToChannel { body: Some(to_channel::Body::Detach(detach)) }
}

pub fn kick(number: u64) -> ToConnector {
    let target = Some(Target { device_id: 1, epoch: number });
    ToConnector { body: Some(to_connector::Body::Kick(Kick { target, code: 500 })) }
}

pub fn push(seq: u64, bytes: usize, targets: u64) -> ToConnector {
    let targets = (0..targets).map(|device_id| Target { device_id, epoch: 1 }).collect();
    let (frame, conversation) = (vec![7; bytes].into(), "c".into());
    ToConnector {
        body: Some(to_connector::Body::Push(Push { targets, frame, conversation, seq, ..Push::default() })),
    }
}

/// The channel node's end.
#[derive(Default)]
pub struct Host {
    pub heard: Arc<Mutex<Vec<u64>>>,
    pub links: Mutex<Vec<Arc<dyn ConnectorLink>>>,
    pub gone: Mutex<usize>,
}

struct Way(Arc<Mutex<Vec<u64>>>);

impl ChannelLink for Way {
    fn node(&self) -> NodeId {
        channel()
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        match message.body {
            Some(to_channel::Body::Detach(detach)) => self.0.lock().push(detach.epoch),
            other => panic!("nobody says {other:?}"),
        }
        Ok(())
    }
}

impl LinkHost for Host {
    fn connect(&self, link: Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink> {
        self.links.lock().push(link);
        Arc::new(Way(self.heard.clone()))
    }

    fn disconnect(&self, _link: &Arc<dyn ConnectorLink>) {
        *self.gone.lock() += 1;
    }
}

impl Host {
    pub fn latest(&self) -> Arc<dyn ConnectorLink> {
        self.links.lock().last().expect("a link").clone()
    }
}

/// The connector's end.
#[derive(Default)]
pub struct Events {
    pub heard: Mutex<Vec<ToConnector>>,
    pub began: Mutex<usize>,
    pub ended: Mutex<usize>,
}

impl LinkEvents for Events {
    fn deliver(&self, message: ToConnector) {
        self.heard.lock().push(message);
    }

    fn opening(&self) -> Option<ToChannel> {
        None
    }

    fn began(&self) {
        *self.began.lock() += 1;
    }

    fn ended(&self) {
        *self.ended.lock() += 1;
    }
}

impl Events {
    /// The numbers of the kicks heard.
    pub fn kicks(&self) -> Vec<u64> {
        let number = |message: &ToConnector| match &message.body {
            Some(to_connector::Body::Kick(kick)) => Some(kick.target.unwrap().epoch),
            _ => None,
        };
        self.heard.lock().iter().filter_map(number).collect()
    }
}

/// A port on loopback.
pub struct Port {
    pub host: Arc<Host>,
    pub port: Arc<LinkPort>,
    pub address: SocketAddr,
    pub tasks: TaskTracker,
}

impl Port {
    pub async fn start(config: LinkConfig) -> Port {
        Port::at(config, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    pub async fn at(config: LinkConfig, address: SocketAddr) -> Port {
        let host = Arc::new(Host::default());
        let view = View::single(connector(), channel());
        let port = LinkPort::new(Arc::new(config), host.clone(), Arc::new(FixedMembership::of(view)));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        tasks.spawn(port.clone().serve(listener));
        Port { host, port, address, tasks }
    }
}

/// A dialler that runs.
pub struct Dialler {
    pub link: Arc<DialledLink>,
    pub events: Arc<Events>,
    pub tasks: TaskTracker,
}

impl Dialler {
    pub fn start(config: LinkConfig, to: NodeId, address: impl ToString) -> Dialler {
        let link = DialledLink::new(to, address.to_string(), Arc::new(config));
        let (events, tasks) = (Arc::new(Events::default()), TaskTracker::new());
        tasks.spawn(link.clone().run(events.clone()));
        Dialler { link, events, tasks }
    }
}

/// Waits until something is so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not so after 20 s: {what}");
}
