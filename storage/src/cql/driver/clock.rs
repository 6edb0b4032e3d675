//! The store's clock, as this process reckons it: its own, corrected by what the nodes say.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use scylla::client::session::Session;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::unprepared::Statement;
use scylla::value::CqlTimestamp;

/// How often the nodes are asked.
pub const REFRESH: Duration = Duration::from_secs(30);
/// Nodes asked each time.
const NODES: usize = 5;
/// How long one may take. A slow answer says little about the time.
const ANSWER: Duration = Duration::from_secs(1);
/// A difference that is worth a line in the log.
const NOTEWORTHY_US: i64 = 500_000;

/// How far the store's clock is ahead of this process's, and the latest time that was told.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_us: AtomicI64,
    latest: AtomicU64,
}

impl Clock {
    /// Microseconds since 1970. Rises from call to call.
    pub fn now(&self) -> u64 {
        let now = own_us().saturating_add(self.ahead_us.load(Ordering::Relaxed));
        let now = u64::try_from(now).unwrap_or(0);
        let rise = |latest: u64| Some(now.max(latest + 1));
        let latest = self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rise);
        latest.map_or(now, |latest| now.max(latest + 1))
    }

    /// Asks some nodes and takes the middle of what they say. Keeps what it has if none answers.
    pub async fn measure(&self, session: &Session) {
        let mut found = Vec::new();
        let state = session.get_cluster_state();
        for node in state.get_nodes_info().iter().filter(|node| node.is_connected()).take(NODES) {
            found.extend(ahead_of_us(session, node).await);
        }
        found.sort_unstable();
        let Some(&middle) = found.get(found.len() / 2) else {
            tracing::debug!("no node says what time it is");
            return;
        };
        let before = self.ahead_us.swap(middle, Ordering::Relaxed);
        if middle.abs() >= NOTEWORTHY_US && middle.abs_diff(before) >= NOTEWORTHY_US.unsigned_abs() {
            let apart_us = found.last().zip(found.first()).map_or(0, |(last, first)| last - first);
            tracing::warn!(ahead_us = middle, apart_us, "the store's clock differs from this machine's");
        }
    }

    /// Asks from time to time, for ever.
    pub async fn keep(self: Arc<Self>, session: Arc<Session>) {
        loop {
            tokio::time::sleep(REFRESH).await;
            self.measure(&session).await;
        }
    }
}

/// How far a node's clock is ahead; half of the round trip is taken for the way of the answer.
async fn ahead_of_us(session: &Session, node: &Arc<scylla::cluster::Node>) -> Option<i64> {
    let mut ask = Statement::new("SELECT toTimestamp(now()) FROM system.local");
    ask.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(
        NodeIdentifier::Node(node.clone()),
        None,
    )));
    ask.set_request_timeout(Some(ANSWER));
    ask.set_consistency(scylla::statement::Consistency::One);
    let (begun, asked) = (Instant::now(), own_us());
    let answer = session.query_unpaged(ask, ()).await.ok()?.into_rows_result().ok()?;
    let half_us = i64::try_from(begun.elapsed().as_micros() / 2).ok()?;
    let (CqlTimestamp(says_ms),) = answer.first_row().ok()?;
    Some(says_ms * 1_000 - (asked + half_us))
}

fn own_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_even_if_the_stores_clock_falls_back() {
        let clock = Clock::default();
        let first = clock.now();
        clock.ahead_us.store(-3_600_000_000, Ordering::Relaxed);
        let second = clock.now();
        assert!(second > first && second < first + 1_000_000);
        assert!(clock.now() > second);
    }
}
