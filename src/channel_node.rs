//! A channel node as a process of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use channel::config::ChannelConfig;
use channel::node::{ChannelNode, Host};
use cluster::link::listen::LinkPort;
use cluster::link::traffic::Traffic;
use cluster::{JoinError, Membership as _, ZooKeeperMembership};
use futures::future::BoxFuture;
use idgen::{NodeType, SystemClock};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::config::setting::Backend;
use crate::gateway::{GatewayError, channel_config};
use crate::http::{self, Metric, Status};
use crate::listeners::bind;
use crate::plain_http::PlainHttp;
use crate::store::OpenStore;
use crate::{admin, connector_node, membership, status};

/// How long a node that goes serves on while others take its slots.
const HANDOVER: Duration = Duration::from_millis(500);

/// A running channel node.
pub struct ChannelProcess {
    /// Where connectors link.
    pub links: std::net::SocketAddr,
    inner: Arc<Inner>,
    pages: PlainHttp,
    tasks: TaskTracker,
}

struct Inner {
    store: OpenStore,
    channel: Arc<ChannelNode>,
    port: Arc<LinkPort>,
    member: Arc<ZooKeeperMembership>,
    traffic: Arc<Traffic>,
    draining: AtomicBool,
}

impl ChannelProcess {
    /// Opens the store, joins the cluster and takes links.
    pub async fn start(config: &Config) -> Result<ChannelProcess, GatewayError> {
        let own = &config.cluster;
        let listen = own.listen.0.ok_or(GatewayError::NoLinks)?;
        let (listener, links) = bind("link", listen)?;
        let probes = config.http.listen.0.map(|address| bind("HTTP", address)).transpose()?;
        let operator = config.admin.listen.0.map(|address| bind("admin", address)).transpose()?;
        let store = Box::pin(OpenStore::open_when_there(config)).await?;
        let record = membership::record(config, NodeType::Channel, links)?;
        let link = if own.advertise.is_empty() { links.to_string() } else { own.advertise.clone() };
        // An embedded store is this process's alone; one in a cluster is all channel nodes'.
        let store_alone = config.store.backend == Backend::Embedded;
        let record = cluster::NodeRecord { link, store_alone, ..record };
        let member = membership::join(config, record, probes.as_ref().map(|(listener, _)| listener)).await?;
        let node = ChannelConfig {
            lease: member.lease(),
            ..channel_config(config, member.node(), member.node().number())
        };
        let channel = ChannelNode::join(node, store.shared(), Arc::new(SystemClock), member.clone()).await?;
        let link_config = membership::link_config(config, &member)?;
        channel.follow(link_config.clone());
        let traffic = link_config.traffic.clone();
        let port = LinkPort::new(Arc::new(link_config), Arc::new(Host(channel.clone())), member.clone());
        let tasks = TaskTracker::new();
        tasks.spawn(port.clone().serve(listener));
        let pages = PlainHttp::default();
        let inner =
            Arc::new(Inner { store, channel, port, member, traffic, draining: AtomicBool::new(false) });
        for (listening, router) in [
            (probes, http::router(inner.clone() as Arc<dyn Status>)),
            (operator, admin::router(inner.channel.clone())),
        ] {
            if let Some((listener, address)) = listening {
                let failed = |source| GatewayError::Listen { port: "HTTP", address, source };
                pages.serve(listener, router).map_err(failed)?;
            }
        }
        Ok(ChannelProcess { links, inner, pages, tasks })
    }

    /// Resolves when the node has to end: it was asked to, or somebody else has its place.
    pub async fn over(&self) -> Result<(), JoinError> {
        connector_node::over(&self.inner.member).await
    }

    /// Finishes what is in flight, leaves the cluster and closes the store; what was cut off at the deadline.
    pub async fn drain(self, deadline: Duration) -> Vec<String> {
        let until = Instant::now() + deadline;
        let Inner { store, channel, port, member, draining, .. } = &*self.inner;
        draining.store(true, Ordering::Release);
        member.publish(|record| record.draining = true);
        // Until everybody knows, who owned this node's slots is still asked here, and answers.
        if member.snapshot().channels().nth(1).is_some() {
            tokio::time::sleep(HANDOVER.min(deadline / 4)).await;
        }
        let mut cut = Vec::new();
        if channel.drain(until.saturating_duration_since(Instant::now())).await.is_err() {
            cut.push("requests in flight".to_owned());
        }
        // What was answered last still goes out.
        port.flush(until).await;
        port.stop().await;
        // Until here a probe is told why this node is not ready.
        self.pages.stop();
        member.leave().await;
        self.tasks.close();
        self.tasks.wait().await;
        store.close().await;
        cut
    }
}

impl Status for Inner {
    fn not_ready(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let mut reasons = status::store_reasons(&self.store).await;
            if self.draining.load(Ordering::Acquire) {
                reasons.push("the channel node is shutting down".to_owned());
            }
            reasons
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        let (links, peers) = (self.channel.connector_count() as u64, self.channel.peer_count() as u64);
        let mut metrics = vec![
            Metric::gauge("channel", "links", "Connectors linked now.", links),
            Metric::gauge("channel", "peers", "Other channel nodes linked now.", peers),
        ];
        metrics.extend(status::link_metrics(&self.traffic));
        metrics.extend(status::channel_metrics(&self.channel, &self.store));
        metrics
    }
}
