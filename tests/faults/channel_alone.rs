//! F7: all of ZooKeeper is down for a while. Whoever is connected goes on: every send is acknowledged, nobody is
//! disconnected.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::channel_load::{BACK, failed, finish, start, writes};
use crate::nodes::{LEASE_MS, Nodes};
use crate::report::Report;

pub async fn run(scale: Scale) -> Report {
    let (rooms, down) = scale.pick((10, Duration::from_millis(5 * LEASE_MS)), (24, Duration::from_secs(60)));
    let (mut report, nodes) = (Report::new(), Nodes::sharing(2).await);
    let load = start(&nodes, rooms).await;
    writes(&mut report, &load, Instant::now(), BACK, "before").await;
    let sessions = sessions(&nodes).await;
    nodes.zookeeper.kill(1).expect("it runs");
    let since = Instant::now();
    tokio::time::sleep(down).await;
    let refused = failed(&mut report, &load, since, Instant::now());
    report.exactly("without ZooKeeper: sends not acknowledged", refused, 0);
    report.at_least("without ZooKeeper: acks", load.acked(0, None, since) as f64, "", rooms as f64);
    report.exactly("sessions that ended", sessions.saturating_sub(self::sessions(&nodes).await), 0);
    nodes.zookeeper.restart(1).await.expect("it comes back");
    let back = Instant::now();
    tokio::time::sleep(Duration::from_millis(3 * LEASE_MS)).await;
    nodes.linked(2).await;
    writes(&mut report, &load, Instant::now(), BACK, "after").await;
    let refused = failed(&mut report, &load, back, Instant::now());
    report.figure("sends not acknowledged after it is back", refused as f64, "");
    finish(&mut report, load, &nodes).await;
    report
}

/// Devices logged in at both connectors.
async fn sessions(nodes: &Nodes) -> usize {
    let mut all = 0;
    for connector in &nodes.connectors {
        all += crate::channel_load::sessions(connector).await;
    }
    all
}
