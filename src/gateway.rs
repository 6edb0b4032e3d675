//! Connector and channel node in one process, over a store: everything that `dev` and `serve` run.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use channel::config::{ChannelConfig, CreationLimit};
use channel::device_limit::{DeviceLimit, KickRule};
use channel::node::{ChannelNode, StartError};
use cluster::link::tls::LinkTlsError;
use cluster::{FixedMembership, JoinError};
use connector::auth::Verifier;
use connector::tls::{Identity, TlsError};
use connector::websocket::upgrade::BadOrigin;
use connector::{Connector, ConnectorConfig};
use idgen::{Clock, NodeId, NodeType, SystemClock, WorkerNumber};

use crate::admin;
use crate::config::Config;
use crate::config::setting::{Backend, Kick};
use crate::descriptors;
use crate::dev_data::Addresses;
use crate::http::{self, Status};
use crate::listeners::{Listeners, bind};
use crate::plain_http::PlainHttp;
use crate::seed::{self, SeedError};
use crate::status::Nodes;
use crate::store::{OpenStore, StoreOpenError};

/// What a gateway is made of.
pub struct GatewayParts {
    /// Checked already.
    pub config: Config,
    pub verifier: Verifier,
    /// The certificate of the TCP and HTTP ports; plain without.
    pub tls: Option<Identity>,
    /// The certificate of the QUIC port; off without.
    pub quic: Option<Identity>,
    /// Make the users and conversations of `whimbrel dev` before anybody can connect.
    pub seed: bool,
    /// Pages beside the usual ones.
    pub pages: Router,
}

/// A running gateway.
pub struct Gateway {
    addresses: Addresses,
    admin: PlainHttp,
    nodes: Arc<Nodes>,
}

/// Why a gateway does not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    #[error("the channel node does not start: {0}")]
    Channel(#[from] StartError),
    #[error("cannot listen on {port} {address}: {}", in_words(source))]
    Listen { port: &'static str, address: SocketAddr, source: io::Error },
    #[error("the users of `whimbrel dev` could not be made: {0}")]
    Seed(#[from] SeedError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("http.allowed_origins: {0}")]
    Origin(#[from] BadOrigin),
    #[error("node.number: {0}")]
    Number(#[from] idgen::OutOfRange),
    #[error("node.number: {0}")]
    Node(#[from] idgen::IdError),
    #[error("cluster.listen is off")]
    NoLinks,
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("cluster: {0}")]
    LinkTls(#[from] LinkTlsError),
}

impl Gateway {
    /// Opens the store, starts both nodes and then listens. Must be called on a tokio runtime.
    pub async fn start(parts: GatewayParts) -> Result<Gateway, GatewayError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = &parts.config;
        let (connector_id, channel_id) = node_ids(config)?;
        let store = Box::pin(OpenStore::open_when_there(config)).await?;
        let number = WorkerNumber::new(config.node.number)?;
        let channel =
            ChannelNode::start(channel_config(config, channel_id, number), store.shared(), clock.clone())
                .await?;
        let membership = Arc::new(FixedMembership::single(connector_id, channel_id));
        let own = connector_config(config, connector_id);
        let connector = Connector::new(own, parts.verifier, clock, membership.clone());
        connector.add_channel(channel.connect(connector.link()));
        if parts.seed {
            seed::seed(&*store.shared(), &channel).await?;
        }
        let nodes = Arc::new(Nodes { store, channel, connector, draining: AtomicBool::new(false) });
        let mut gateway = Gateway { addresses: Addresses::default(), admin: PlainHttp::default(), nodes };
        let pages = parts.pages.merge(http::endpoints_router(membership));
        gateway.listen(&parts.config, parts.tls, parts.quic, pages)?;
        tell_limits(&parts.config);
        Ok(gateway)
    }

    /// Where it listens; ports that were 0 are known here.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Sends every device away, finishes what is in flight and closes the store. Returns what was cut off at the
    /// deadline, for the log; nothing that was acknowledged is lost.
    pub async fn drain(self, deadline: Duration) -> Vec<String> {
        let until = tokio::time::Instant::now() + deadline;
        self.nodes.draining.store(true, Ordering::Release);
        self.admin.stop();
        let mut cut = Vec::new();
        // Devices go first: what they have sent is still stored and answered meanwhile. A quarter of the time is the
        // node's own.
        let connections = self.nodes.connector.drain(deadline * 3 / 4).await;
        if connections > 0 {
            cut.push(format!("{connections} connections"));
        }
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if self.nodes.channel.drain(left).await.is_err() {
            cut.push("requests in flight".to_owned());
        }
        self.nodes.store.close().await;
        cut
    }

    fn listen(
        &mut self,
        config: &Config,
        tls: Option<Identity>,
        quic: Option<Identity>,
        pages: Router,
    ) -> Result<(), GatewayError> {
        // Everything is bound before anything is served: a gateway that cannot have all its ports takes no device.
        let operator = config.admin.listen.0.map(|address| bind("admin", address)).transpose()?;
        let listeners = Listeners::bind(config, tls, quic)?;
        let status: Arc<dyn Status> = self.nodes.clone();
        self.addresses = listeners.serve(config, &self.nodes.connector, http::router(status).merge(pages))?;
        if let Some((listener, address)) = operator {
            let failed = |source| GatewayError::Listen { port: "admin", address, source };
            self.admin.serve(listener, admin::router(self.nodes.channel.clone())).map_err(failed)?;
        }
        Ok(())
    }
}

fn node_ids(config: &Config) -> Result<(NodeId, NodeId), GatewayError> {
    let number = WorkerNumber::new(config.node.number)?;
    // In one process no link has an address.
    let id = |kind| NodeId::new(kind, number, Ipv4Addr::LOCALHOST, 0);
    Ok((id(NodeType::Connector)?, id(NodeType::Channel)?))
}

pub(crate) fn channel_config(config: &Config, node: NodeId, number: WorkerNumber) -> ChannelConfig {
    let devices = &config.devices;
    let rule = match devices.rule {
        Kick::KickOldest => KickRule::KickOldest,
        Kick::Refuse => KickRule::Refuse,
    };
    let most = [devices.max_default, devices.max_web, devices.max_mobile, devices.max_desktop];
    ChannelConfig {
        presence_grace: Duration::from_millis(config.presence.grace_ms),
        device_limit: DeviceLimit { most, rule },
        creation_limit: CreationLimit {
            per_minute: config.limits.creations_per_minute,
            at_once: config.limits.creations_at_once,
        },
        // Others may have a store in a cluster open too.
        sole_owner: config.store.backend == Backend::Embedded,
        ..ChannelConfig::new(node, number)
    }
}

pub(crate) fn connector_config(config: &Config, node: NodeId) -> ConnectorConfig {
    let limits = &config.limits;
    ConnectorConfig {
        heartbeat: Duration::from_millis(limits.heartbeat_ms.into()),
        hello_timeout: Duration::from_millis(limits.hello_timeout_ms.into()),
        outbox_bytes: limits.outbox_bytes as usize,
        ack_timeout: Duration::from_millis(limits.ack_timeout_ms.into()),
        ack_resends: limits.ack_resends,
        resume_ttl: Duration::from_millis(limits.resume_ttl_ms.into()),
        hold: Duration::from_millis(config.cluster.hold_ms),
        accepts_per_second: limits.accepts_per_second,
        max_connections: limits.max_connections,
        max_http_connections: limits.max_http_connections,
        max_sockets: descriptors::for_connections(),
        ..ConnectorConfig::new(node)
    }
}

pub(crate) fn tell_limits(config: &Config) {
    let (max_sockets, max_connections) = (descriptors::for_connections(), config.limits.max_connections);
    if max_sockets < max_connections {
        tracing::info!(
            max_sockets,
            max_connections,
            "the limit on open files (ulimit -n) allows fewer TCP and HTTP connections than limits.max_connections"
        );
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has the port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges".to_owned(),
        _ => error.to_string(),
    }
}
