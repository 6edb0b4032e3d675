//! How `connector` and `channel` become members of their cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cluster::link::LinkConfig;
use cluster::link::hello::Me;
use cluster::link::tls::{LinkTls, LinkTlsError};
use cluster::{NodeRecord, ZooKeeperConfig, ZooKeeperMembership};
use futures::future::BoxFuture;
use idgen::{NodeId, NodeType, WorkerNumber};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::gateway::GatewayError;
use crate::http::{self, Metric, Status};
use crate::plain_http::PlainHttp;

/// How long what was asked while the node waited may still be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What the configuration says of ZooKeeper.
pub fn zookeeper(config: &Config) -> ZooKeeperConfig {
    let own = &config.cluster;
    let user = own.zookeeper_user.expose();
    ZooKeeperConfig {
        servers: own.zookeeper.clone(),
        cluster: own.name.clone(),
        path: own.zookeeper_path.clone(),
        user: (!user.is_empty()).then(|| user.to_owned()),
        session_timeout: Duration::from_millis(own.lease_ms),
        number: None,
    }
}

/// What a node publishes of itself, apart from its number.
pub fn record(config: &Config, kind: NodeType, address: SocketAddr) -> Result<NodeRecord, GatewayError> {
    let ip = match address {
        SocketAddr::V4(address) => *address.ip(),
        // Its number tells it apart.
        SocketAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let node = NodeId::new(kind, WorkerNumber::new(0)?, ip, address.port())?;
    Ok(NodeRecord {
        weight: config.cluster.weight,
        program: concat!("whimbrel ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..NodeRecord::new(node, 0)
    })
}

/// Joins, however long ZooKeeper is out of reach; meanwhile `/readyz` says so.
pub async fn join(
    config: &Config,
    record: NodeRecord,
    http: Option<&TcpListener>,
) -> Result<Arc<ZooKeeperMembership>, GatewayError> {
    let waiting = PlainHttp::default();
    if let Some(listener) = http.and_then(|listener| again(listener).ok()) {
        _ = waiting.serve(listener, http::router(Arc::new(Waiting)));
    }
    let joined = ZooKeeperMembership::join(zookeeper(config), record).await;
    // Who asks slowly is cut off: nobody keeps a node from starting.
    _ = tokio::time::timeout(LAST_ANSWERS, waiting.stopped()).await;
    Ok(joined?)
}

/// How this member links with others.
pub fn link_config(config: &Config, member: &ZooKeeperMembership) -> Result<LinkConfig, LinkTlsError> {
    let own = &config.cluster;
    let (node, incarnation) = (member.node(), member.incarnation());
    let me = Me { cluster: own.name.clone(), node, incarnation };
    let tls = match (own.cert.get(), own.key.get(), own.ca.get()) {
        (Some(cert), Some(key), Some(ca)) => Some(LinkTls::from_pem_files(cert, key, ca)?),
        _ => None,
    };
    Ok(LinkConfig { tls, ..LinkConfig::new(me) })
}

/// The same port once more.
fn again(listener: &TcpListener) -> std::io::Result<TcpListener> {
    use std::os::fd::AsFd as _;
    let copy = listener.as_fd().try_clone_to_owned()?;
    TcpListener::from_std(std::net::TcpListener::from(copy))
}

/// A node that is not there yet.
struct Waiting;

impl Status for Waiting {
    fn not_ready(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { vec!["not a member of the cluster yet: waiting for ZooKeeper".to_owned()] })
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}
