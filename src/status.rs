//! What a gateway tells of itself: whether it is ready, and everything it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use channel::node::ChannelNode;
use channel::tally::Holdings;
use cluster::link::traffic::Traffic;
use connector::Connector;
use futures::future::BoxFuture;
use storage::ConversationKey;

use crate::http::{Metric, Status};
use crate::store::OpenStore;

/// How long `/readyz` waits for the store.
const PROBE: Duration = Duration::from_secs(1);

/// The nodes of this process and their store.
pub struct Nodes {
    pub store: OpenStore,
    pub channel: Arc<ChannelNode>,
    pub connector: Arc<Connector>,
    pub draining: AtomicBool,
}

impl Status for Nodes {
    fn not_ready(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let mut reasons = store_reasons(&self.store).await;
            if self.draining.load(Ordering::Acquire) {
                reasons.insert(0, "the gateway is shutting down".to_owned());
            }
            reasons
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = connector_metrics(&self.connector);
        metrics.extend(channel_metrics(&self.channel, &self.store));
        metrics
    }
}

/// Why a store takes no work.
pub async fn store_reasons(store: &OpenStore) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(failed) = store.failed() {
        reasons.push(format!("the store takes no writes: {failed}"));
    }
    // Nobody can make a conversation of this name, so this reads and finds nothing.
    let nothing = ConversationKey::new("", "");
    match tokio::time::timeout(PROBE, store.shared().tip(&nothing)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push(format!("the store did not answer within {PROBE:?}")),
    }
    reasons
}

/// What a connector counts.
pub fn connector_metrics(connector: &Connector) -> Vec<Metric> {
    let sessions = connector.sessions() as u64;
    let mut metrics = vec![Metric::gauge("connector", "sessions", "Devices logged in now.", sessions)];
    metrics.extend(counters("connector", connector.metrics().snapshot()));
    metrics
}

/// What a node's links count.
pub fn link_metrics(traffic: &Traffic) -> [Metric; 2] {
    let counter = |name, help, value| Metric::counter("link", name, help, value);
    [
        counter("bytes_in", "Bytes read from links, before TLS.", traffic.read()),
        counter("bytes_out", "Bytes written to links, before TLS.", traffic.written()),
    ]
}

/// What a channel node and its store count.
pub fn channel_metrics(channel: &ChannelNode, store: &OpenStore) -> Vec<Metric> {
    let counted = counters("channel", channel.metrics().list()).chain(counters("store", store.metrics()));
    holding_metrics(channel).into_iter().chain(counted).collect()
}

/// What a channel node holds in memory.
fn holding_metrics(channel: &ChannelNode) -> [Metric; 3] {
    let gauge = |name, help, value| Metric::gauge("channel", name, help, value as u64);
    let Holdings { conversations, weight } = channel.holdings();
    [
        gauge("held_conversations", "Conversations in memory now.", conversations),
        gauge("held_members", "Rows of their members.", weight.members),
        gauge("held_bytes", "About how many bytes they take.", weight.bytes),
    ]
}

fn counters(
    part: &'static str,
    list: Vec<(&'static str, &'static str, u64)>,
) -> impl Iterator<Item = Metric> {
    list.into_iter().map(move |(name, help, value)| Metric::counter(part, name, help, value))
}
