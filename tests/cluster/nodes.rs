//! A cluster of processes.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use servers::{ZooKeeper, ZooKeeperSettings};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

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
        let zookeeper = zookeeper().await;
        let issuer = Issuer::new();
        let mut channel = Gateway::channel(channel_settings(&zookeeper), &issuer);
        channel.launch().await;
        let mut connectors = Vec::new();
        for _ in 0..2 {
            let mut connector = Gateway::connector(settings(&zookeeper), &issuer);
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

pub fn channel_settings(zookeeper: &ZooKeeper) -> Settings {
    settings(zookeeper).set("cluster.listen", format!("\"{}\"", free_port()))
}

/// Passes each new connection on to the next connector that takes it, as a load balancer does.
pub struct Balancer {
    pub address: SocketAddr,
    _tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Balancer {
    async fn start(targets: Vec<SocketAddr>) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        let spawner = Arc::downgrade(&tasks);
        tasks.lock().spawn(async move {
            let mut next = 0;
            while let Ok((mut near, _)) = listener.accept().await {
                let Some(tasks) = spawner.upgrade() else { return };
                next += 1;
                let order: Vec<SocketAddr> =
                    (0..targets.len()).map(|at| targets[(next + at) % targets.len()]).collect();
                tasks.lock().spawn(async move {
                    for target in order {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            _ = copy_bidirectional(&mut near, &mut far).await;
                            return;
                        }
                    }
                });
            }
        });
        Balancer { address, _tasks: tasks }
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }
}
