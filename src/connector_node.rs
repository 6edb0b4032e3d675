//! A connector as a process of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::link::traffic::Traffic;
use cluster::record::Rebalance;
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

/// How often a connector looks whether what it publishes of itself still holds.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// The first look comes sooner: links come to be at the start.
const FIRST_COUNT: Duration = Duration::from_millis(500);
/// An idle link confirms what it was told within two seconds. What takes longer is published.
const LEAST_LAG: Duration = Duration::from_secs(4);

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
    traffic: Arc<Traffic>,
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
        let link = membership::link_config(config, &member)?;
        let traffic = link.traffic.clone();
        connector.follow(link);
        let inner = Arc::new(Inner { connector, member, traffic, draining: AtomicBool::new(false) });
        let status: Arc<dyn Status> = inner.clone();
        let pages = http::router(status).merge(http::endpoints_router(inner.member.clone()));
        let addresses = listeners.serve(config, &inner.connector, pages)?;
        tell_limits(config);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(count(inner.clone())));
        tasks.spawn(stop.clone().run_until_cancelled_owned(hand_on(inner.clone())));
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

/// What a connector publishes of its load.
#[derive(Clone, Copy, Default)]
struct Load {
    devices: u32,
    links: u32,
    lag_ms: u32,
}

impl Load {
    fn of(inner: &Inner) -> Load {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let lag = Some(inner.traffic.lag()).filter(|lag| *lag >= LEAST_LAG).unwrap_or_default();
        let (devices, links) = (count(inner.connector.sessions()), count(inner.connector.linked()));
        Load { devices, links, lag_ms: u32::try_from(lag.as_millis()).unwrap_or(u32::MAX) }
    }

    /// Whether an operator or a device should know: few writes to ZooKeeper, whatever the devices do.
    fn differs(self, told: Load) -> bool {
        let far = |now: u32, told: u32, part: u32| now.abs_diff(told) > told / part;
        self.links != told.links || far(self.devices, told.devices, 10) || far(self.lag_ms, told.lag_ms, 2)
    }
}

async fn count(inner: Arc<Inner>) {
    let (mut told, mut pause) = (Load::default(), FIRST_COUNT);
    loop {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(COUNT_EVERY);
        let now = Load::of(&inner);
        if now.differs(told) {
            inner.member.publish(|record| {
                (record.connections, record.links, record.lag_ms) = (now.devices, now.links, now.lag_ms);
            });
            told = now;
        }
    }
}

/// Hands devices on whenever an operator asks. Asked again meanwhile, it begins anew.
async fn hand_on(inner: Arc<Inner>) {
    let mut views = inner.member.watch();
    let mut asked = begin_with(&inner, 0);
    loop {
        let known = asked.map_or(0, |asked| asked.id);
        let moving = async {
            if let Some(asked) = asked.filter(|asked| !asked.done) {
                perform(&inner, asked).await;
            }
            std::future::pending().await
        };
        let another = async {
            while begin_with(&inner, known).is_none() {
                if views.changed().await.is_err() {
                    std::future::pending().await
                }
            }
        };
        tokio::select! {
            () = moving => {}
            () = another => asked = begin_with(&inner, known),
        }
    }
}

/// What is asked of this node beside `known`.
fn begin_with(inner: &Inner, known: u64) -> Option<Rebalance> {
    inner.member.rebalance().filter(|asked| asked.id != known)
}

async fn perform(inner: &Inner, asked: Rebalance) {
    let publish = |devices, moved, done| {
        let now = Rebalance { devices, moved, done, ..asked };
        inner.member.publish(|record| record.rebalance = Some(now));
        now
    };
    tracing::info!(share = asked.share, per_second = asked.per_second, "handing devices on");
    let mut last = asked;
    let tell = |devices, moved| last = publish(devices, moved, false);
    inner.connector.hand_on(asked.share, asked.per_second, tell).await;
    publish(last.devices, last.moved, true);
    tracing::info!(devices = last.devices, moved = last.moved, "devices were handed on");
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
        metrics.extend(status::link_metrics(&self.traffic));
        metrics
    }
}
