//! A cluster of processes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use servers::{ZooKeeper, ZooKeeperSettings};

use crate::support::PATIENCE;
use crate::support::balancer::Balancer;
use crate::support::clock::WrongClock;
use crate::support::keyspace::{Keyspace, migrate, shared_cluster};
use crate::support::metrics::Metrics;
use crate::support::process::{Gateway, Settings, free_port};
use crate::support::tokens::Issuer;

/// The least the configuration allows, doubled: machines that run tests are busy.
pub const LEASE_MS: u64 = 2_000;

/// What differs from the usual.
#[derive(Clone, Default)]
pub struct Special {
    /// What the first channel node is told, in place of what the others are.
    pub first: Settings,
    pub channels: Settings,
    pub connectors: Settings,
    /// Each node has a clock that can be moved.
    pub clocks: bool,
}

/// ZooKeeper, channel nodes and two connectors.
pub struct Nodes {
    pub zookeeper: ZooKeeper,
    pub channels: Vec<Gateway>,
    pub connectors: Vec<Gateway>,
    pub issuer: Issuer,
    pub balancer: Balancer,
    /// The clocks of channel nodes and then of connectors, if they can be moved.
    #[allow(dead_code, reason = "not every test moves clocks")]
    pub clocks: Vec<WrongClock>,
    /// Where the channel nodes keep everything, if not on their own disk.
    store: Option<(Keyspace, Vec<SocketAddr>)>,
}

impl Nodes {
    /// Starts one channel node over its own disk and two connectors, and waits until they are ready.
    pub async fn start() -> Nodes {
        let zookeeper = zookeeper().await;
        let issuer = Issuer::new();
        let mut channel = Gateway::channel(channel_settings(&zookeeper), &issuer);
        channel.launch().await;
        Nodes::around(zookeeper, issuer, &Special::default(), vec![channel], Vec::new(), None).await
    }

    /// Starts `count` channel nodes over one keyspace of a real cluster, and two connectors.
    pub async fn sharing(count: u16) -> Nodes {
        Nodes::sharing_with(zookeeper().await, count, Special::default()).await
    }

    /// The same on this ZooKeeper, and special.
    pub async fn sharing_with(zookeeper: ZooKeeper, count: u16, special: Special) -> Nodes {
        let (points, issuer, keyspace) = (shared_cluster().await, Issuer::new(), Keyspace::new(1));
        let settings = |n| {
            let usual = sharing_settings(&zookeeper, &keyspace, &points).but(special.channels.clone());
            if n == 0 { usual.but(special.first.clone()) } else { usual }
        };
        let mut channels: Vec<Gateway> = (0..count).map(|n| Gateway::channel(settings(n), &issuer)).collect();
        migrate(&channels[0]).await;
        let mut clocks = Vec::new();
        for channel in &mut channels {
            clocks.extend(special.clocks.then(|| WrongClock::under(channel, 0)));
            channel.launch().await;
        }
        let store = Some((keyspace, points));
        Nodes::around(zookeeper, issuer, &special, channels, clocks, store).await
    }

    async fn around(
        zookeeper: ZooKeeper,
        issuer: Issuer,
        special: &Special,
        channels: Vec<Gateway>,
        mut clocks: Vec<WrongClock>,
        store: Option<(Keyspace, Vec<SocketAddr>)>,
    ) -> Nodes {
        let mut connectors = Vec::new();
        for _ in 0..2 {
            let usual = settings(&zookeeper).but(special.connectors.clone());
            let mut connector = Gateway::connector_at(|tcp| at(usual, tcp), &issuer);
            clocks.extend(special.clocks.then(|| WrongClock::under(&mut connector, 0)));
            connector.launch().await;
            connectors.push(connector);
        }
        let balancer = Balancer::start(connectors.iter().map(|connector| connector.tcp).collect()).await;
        let nodes = Nodes { zookeeper, channels, connectors, issuer, balancer, clocks, store };
        nodes.linked(nodes.channels.len()).await;
        nodes
    }

    /// What the channel nodes share.
    pub fn store(&self) -> (&Keyspace, &[SocketAddr]) {
        let (keyspace, points) = self.store.as_ref().expect("a store that nodes share");
        (keyspace, points)
    }

    /// Starts one channel node more on the same store.
    pub async fn join(&mut self) {
        let (keyspace, points) = self.store();
        let settings = sharing_settings(&self.zookeeper, keyspace, points);
        let mut channel = Gateway::channel(settings, &self.issuer);
        channel.launch().await;
        self.channels.push(channel);
        self.linked(self.channels.len()).await;
    }

    /// Waits until every connector and every channel node is linked to so many channel nodes, itself included.
    pub async fn linked(&self, count: usize) {
        let started = Instant::now();
        loop {
            let mut links = Vec::new();
            for connector in &self.connectors {
                links.push(Metrics::of(connector.http).await.get("whimbrel_connector_links") as usize);
            }
            for channel in &self.channels {
                links.push(Metrics::of(channel.http).await.get("whimbrel_channel_peers") as usize + 1);
            }
            if links.iter().all(|links| *links == count) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{count} channel nodes: {links:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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

fn sharing_settings(zookeeper: &ZooKeeper, keyspace: &Keyspace, points: &[SocketAddr]) -> Settings {
    // Few users have many devices here.
    keyspace.settings(0, points).and(channel_settings(zookeeper)).set("devices.max_default", 1_000)
}
