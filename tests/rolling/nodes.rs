//! A cluster of processes over a shared store.

use std::net::SocketAddr;
use std::time::Instant;

use servers::{ZooKeeper, ZooKeeperSettings};

use crate::args::Args;
use crate::support::balancer::Balancer;
use crate::support::keyspace::{Keyspace, migrate, shared_cluster};
use crate::support::process::{Gateway, Settings, free_port};
use crate::support::tokens::Issuer;

const LEASE_MS: u64 = 4_000;
/// Debug builds on a machine with more to do take their time.
const DRAIN_MS: u64 = 15_000;

/// ZooKeeper and nodes of both kinds, all ready, and a balancer in front of the connectors.
pub struct Nodes {
    _zookeeper: ZooKeeper,
    pub channels: Vec<Gateway>,
    pub connectors: Vec<Gateway>,
    /// Where the channel nodes tell their operator what they know.
    pub operator: SocketAddr,
    pub balancer: Balancer,
    pub issuer: Issuer,
}

impl Nodes {
    pub async fn start(args: &Args) -> Nodes {
        let zookeeper = ZooKeeper::start(ZooKeeperSettings::default()).await;
        let zookeeper = zookeeper.unwrap_or_else(|error| panic!("{error}; ./test servers fetches it"));
        let (keyspace, points, issuer) = (Keyspace::new(1), shared_cluster().await, Issuer::new());
        let common = |settings: Settings| {
            let servers = format!("{:?}", zookeeper.connect_string());
            let settings = settings.set("cluster.zookeeper", servers).set("cluster.lease_ms", LEASE_MS);
            settings.set("node.drain_ms", DRAIN_MS)
        };
        let operator = free_port();
        let mut channels = Vec::new();
        for number in 0..args.channels {
            let mut settings =
                common(keyspace.settings(0, &points)).set("cluster.listen", quoted(free_port()));
            if number == 0 {
                settings = settings.set("admin.listen", quoted(operator));
            }
            let mut channel = Gateway::channel(settings, &issuer);
            if number == 0 {
                migrate(&channel).await;
            }
            channel.launch().await;
            channels.push(channel);
        }
        let mut connectors = Vec::new();
        for _ in 0..args.connectors {
            let at = |tcp| common(Settings::new()).set("cluster.endpoints", format!("[\"tcp://{tcp}\"]"));
            let mut connector = Gateway::connector_at(at, &issuer);
            connector.launch().await;
            connectors.push(connector);
        }
        let balancer = Balancer::start(connectors.iter().map(|connector| connector.tcp).collect()).await;
        Nodes { _zookeeper: zookeeper, channels, connectors, operator, balancer, issuer }
    }

    /// Every node with its name, channel nodes first.
    pub fn all(&mut self) -> impl Iterator<Item = (String, &mut Gateway)> {
        let named = |kind: &'static str| move |number: usize| format!("{kind} {}", number + 1);
        let (channel, connector) = (named("channel node"), named("connector"));
        let channels = self.channels.iter_mut().enumerate().map(move |(at, node)| (channel(at), node));
        channels.chain(self.connectors.iter_mut().enumerate().map(move |(at, node)| (connector(at), node)))
    }
}

/// Tells a node to end and starts it again; how long the one and the other took, in seconds.
pub async fn restart(node: &mut Gateway) -> (f64, f64) {
    let began = Instant::now();
    let status = node.stop().await;
    assert!(status.success(), "it ended with {status}:\n{}", node.log());
    let (drained, again) = (began.elapsed(), Instant::now());
    node.launch().await;
    (drained.as_secs_f64(), again.elapsed().as_secs_f64())
}

fn quoted(address: SocketAddr) -> String {
    format!("\"{address}\"")
}
