//! A cluster of processes.

use std::net::SocketAddr;

use servers::{ZooKeeper, ZooKeeperSettings};

use crate::support::balancer::Balancer;
use crate::support::process::{Gateway, Settings, free_port};
use crate::support::tokens::Issuer;

/// The least the configuration allows, doubled: machines that run tests are busy.
pub const LEASE_MS: u64 = 2_000;

/// ZooKeeper, a channel node and two connectors.
pub struct Nodes {
    pub zookeeper: ZooKeeper,
    pub channel: Gateway,
    pub connectors: Vec<Gateway>,
    pub issuer: Issuer,
    pub balancer: Balancer,
}

impl Nodes {
    /// Starts all, and waits until they are ready.
    pub async fn start() -> Nodes {
        Nodes::start_with(settings).await
    }

    /// The same with connectors that are told something else.
    pub async fn start_with(connector_settings: impl Fn(&ZooKeeper) -> Settings) -> Nodes {
        let zookeeper = zookeeper().await;
        let issuer = Issuer::new();
        let mut channel = Gateway::channel(channel_settings(&zookeeper), &issuer);
        channel.launch().await;
        let mut connectors = Vec::new();
        for _ in 0..2 {
            let mut connector =
                Gateway::connector_at(|tcp, _| at(connector_settings(&zookeeper), tcp), &issuer);
            connector.launch().await;
            connectors.push(connector);
        }
        let balancer = Balancer::start(connectors.iter().map(|connector| connector.tcp).collect()).await;
        Nodes { zookeeper, channel, connectors, issuer, balancer }
    }
}

pub async fn zookeeper() -> ZooKeeper {
    ZooKeeper::start(ZooKeeperSettings::default()).await.expect("a ZooKeeper for tests")
}

/// What every node is told.
pub fn settings(zookeeper: &ZooKeeper) -> Settings {
    Settings::new()
        .set("cluster.zookeeper", format!("{:?}", zookeeper.connect_string()))
        .set("cluster.lease_ms", LEASE_MS)
}

/// With where devices reach a connector.
fn at(settings: Settings, tcp: SocketAddr) -> Settings {
    settings.set("cluster.endpoints", format!("[\"tcp://{tcp}\"]"))
}

pub fn channel_settings(zookeeper: &ZooKeeper) -> Settings {
    settings(zookeeper).set("cluster.listen", format!("\"{}\"", free_port()))
}
