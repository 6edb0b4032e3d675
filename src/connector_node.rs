//! A connector as a process of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{JoinError, Membership as _, Slot, ZooKeeperMembership};
use connector::Connector;
use connector::auth::Verifier;
use connector::tls::Identity;
use futures::future::BoxFuture;
use idgen::{NodeType, SystemClock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dev_data::Addresses;
use crate::gateway::{GatewayError, connector_config, tell_limits};
use crate::http::{self, Metric, Status};
use crate::listeners::Listeners;
use crate::{membership, status};

/// How often a connector publishes how many devices it holds, where that has changed by a tenth.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// A running connector.
pub struct ConnectorNode {
    pub addresses: Addresses,
    inner: Arc<Inner>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Inner {
    connector: Arc<Connector>,
    member: Arc<ZooKeeperMembership>,
    draining: AtomicBool,
}

impl ConnectorNode {
    /// Binds its ports, joins the cluster, links to the channel nodes there are, and serves devices.
    pub async fn start(
        config: &Config,
        verifier: Verifier,
        tls: Option<Identity>,
    ) -> Result<ConnectorNode, GatewayError> {
        let plain = tls.is_none();
        let listeners = Listeners::bind(config, tls.clone(), tls)?;
        let address = listeners.tcp_address().or(listeners.http.as_ref().map(|(_, address)| *address));
        let unbound = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
        let record = membership::record(config, NodeType::Connector, address.unwrap_or(unbound))?;
        let record = cluster::NodeRecord { endpoints: config.cluster.endpoints.clone(), ..record };
        let probes = listeners.http.as_ref().map(|(listener, _)| listener).filter(|_| plain);
        let member = membership::join(config, record, probes).await?;
        let own = connector_config(config, member.node());
        let connector = Connector::new(own, verifier, Arc::new(SystemClock), member.clone());
        connector.follow(membership::link_config(config, &member)?);
        let inner = Arc::new(Inner { connector, member, draining: AtomicBool::new(false) });
        let status: Arc<dyn Status> = inner.clone();
        let addresses = listeners.serve(config, &inner.connector, http::router(status))?;
        tell_limits(config);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(count(inner.clone())));
        Ok(ConnectorNode { addresses, inner, stop, tasks })
    }

    /// Resolves when the node has to end: it was asked to, or somebody else has its place.
    pub async fn over(&self) -> Result<(), JoinError> {
        over(&self.inner.member).await
    }

    /// Sends every device away and leaves the cluster; what was cut off at the deadline.
    pub async fn drain(self, deadline: Duration) -> Vec<String> {
        self.inner.draining.store(true, Ordering::Release);
        self.stop.cancel();
        self.inner.member.publish(|record| record.draining = true);
        let connections = self.inner.connector.drain(deadline).await;
        self.inner.member.leave().await;
        self.tasks.close();
        self.tasks.wait().await;
        if connections > 0 { vec![format!("{connections} connections")] } else { Vec::new() }
    }
}

/// Resolves when a node has to end.
pub async fn over(member: &ZooKeeperMembership) -> Result<(), JoinError> {
    tokio::select! {
        error = member.lost() => Err(error),
        () = member.asked_to_drain() => {
            tracing::info!("asked to go");
            Ok(())
        }
    }
}

async fn count(inner: Arc<Inner>) {
    let mut told = 0;
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        let now = u32::try_from(inner.connector.sessions()).unwrap_or(u32::MAX);
        if now.abs_diff(told) > told / 10 {
            inner.member.publish(|record| record.connections = now);
            told = now;
        }
    }
}

impl Status for Inner {
    fn not_ready(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let mut reasons = Vec::new();
            if self.draining.load(Ordering::Acquire) {
                reasons.push("the connector is shutting down".to_owned());
            }
            // Every slot has an owner, or none has.
            let owner = Slot::all().next().and_then(|slot| self.member.snapshot().owner(slot));
            if owner.is_none() {
                reasons.push("no channel node is there".to_owned());
            } else if self.connector.linked() == 0 {
                reasons.push("no channel node is linked".to_owned());
            }
            reasons
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = status::connector_metrics(&self.connector);
        metrics.push(Metric::gauge(
            "connector",
            "links",
            "Channel nodes linked now.",
            self.connector.linked() as u64,
        ));
        metrics
    }
}
