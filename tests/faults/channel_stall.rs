//! F3 among nodes that elect and watch each other: SIGSTOP of a channel node for three times its lease, then SIGCONT. What it
//! was about to append is refused by the store, and the other one goes on all the time.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::channel_load::{BACK, counted, finish, start, under_way, writes};
use crate::nodes::{LEASE_MS, Nodes};
use crate::report::Report;

const STALE: &str = "whimbrel_store_stale_total";
/// A node that had nothing to append when it was stalled shows nothing: it is stalled again, up to so many times as often.
const MOST: usize = 4;

pub async fn run(scale: Scale) -> Report {
    let (rooms, stalls) = scale.pick((10, 2), (24, 10));
    let (mut report, nodes) = (Report::new(), Nodes::sharing(2).await);
    let load = start(&nodes, rooms).await;
    let mut tried = 0;
    for n in 0..MOST * stalls {
        if n >= stalls && tried > 0 {
            break;
        }
        let stalled = n % 2;
        writes(&mut report, &load, Instant::now(), BACK, &format!("before stall {n}")).await;
        under_way(&load).await;
        nodes.channels[stalled].stall();
        let since = Instant::now();
        writes(&mut report, &load, since, BACK, &format!("stall {n}")).await;
        let until = since + Duration::from_millis(3 * LEASE_MS);
        tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
        nodes.channels[stalled].resume();
        nodes.linked(2).await;
        tried = counted(&nodes, 0, STALE).await + counted(&nodes, 1, STALE).await;
    }
    report.at_least("stale appends tried", tried as f64, "", 1.0);
    finish(&mut report, load, &nodes).await;
    report
}
