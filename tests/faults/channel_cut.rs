//! F5: a channel node loses ZooKeeper and keeps the store. Others take its share when its lease has passed, while it takes
//! itself for the owner; when the way is there again all agree.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::channel_load::{BACK, finish, start, under_way, writes};
use crate::nodes::{LEASE_MS, Nodes, Special, zookeeper};
use crate::report::Report;
use crate::support::process::Settings;
use crate::support::proxy::{Held, Proxy, Rules};

/// All nodes agree again within this.
const AGREED: Duration = Duration::from_secs(10);

pub async fn run(scale: Scale) -> Report {
    let (rooms, cuts) = scale.pick((10, 1), (24, 6));
    let zookeeper = zookeeper().await;
    let target = zookeeper.connect_string().parse().expect("one address");
    let proxy = Proxy::start(target).await;
    let first = Settings::new().set("cluster.zookeeper", format!("\"{}\"", proxy.address));
    let special = Special { first, ..Special::default() };
    let (mut report, nodes) = (Report::new(), Nodes::sharing_with(zookeeper, 2, special).await);
    let load = start(&nodes, rooms).await;
    for n in 0..cuts {
        writes(&mut report, &load, Instant::now(), BACK, &format!("before cut {n}")).await;
        under_way(&load).await;
        proxy.set(Rules { holds: Some(Held::Both), ..Rules::default() });
        let since = Instant::now();
        writes(&mut report, &load, since, BACK, &format!("cut {n}")).await;
        let until = since + Duration::from_millis(3 * LEASE_MS);
        tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
        // The others have taken its share by now, and write on.
        writes(&mut report, &load, Instant::now(), BACK, &format!("cut {n}, after the lease")).await;
        proxy.set(Rules::default());
        let healed = Instant::now();
        nodes.linked(2).await;
        report.at_most(
            format!("cut {n}: all agree after"),
            healed.elapsed().as_secs_f64(),
            "s",
            AGREED.as_secs_f64(),
        );
        writes(&mut report, &load, Instant::now(), BACK, &format!("cut {n}, healed")).await;
    }
    finish(&mut report, load, &nodes).await;
    report
}
