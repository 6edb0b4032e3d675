//! What a gateway tells of itself: whether it is ready, and everything it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use channel::node::ChannelNode;
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
            let mut reasons = Vec::new();
            if self.draining.load(Ordering::Acquire) {
                reasons.push("the gateway is shutting down".to_owned());
            }
            if let Some(failed) = self.store.failed() {
                reasons.push(format!("the store takes no writes: {failed}"));
            }
            // Nobody can make a conversation of this name, so this reads and finds nothing.
            let nothing = ConversationKey::new("", "");
            match tokio::time::timeout(PROBE, self.store.shared().tip(&nothing)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => reasons.push(error.to_string()),
                Err(_) => reasons.push(format!("the store did not answer within {PROBE:?}")),
            }
            reasons
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        let sessions = self.connector.sessions() as u64;
        let mut metrics = vec![Metric::gauge("connector", "sessions", "Devices logged in now.", sessions)];
        let counters = [
            ("connector", self.connector.metrics().snapshot()),
            ("channel", self.channel.metrics().list()),
            ("store", self.store.metrics()),
        ];
        for (part, counters) in counters {
            metrics.extend(
                counters.into_iter().map(|(name, help, value)| Metric::counter(part, name, help, value)),
            );
        }
        metrics
    }
}
