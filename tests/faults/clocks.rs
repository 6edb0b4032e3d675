//! F14: wall clocks that are an hour wrong and step, back too, under load: that of one gateway, and those of all nodes of a
//! cluster, which then differ by two hours.

use crate::args::Scale;
use crate::channel_load;
use crate::nodes::{Nodes, Special, zookeeper};
use crate::report::Report;
use crate::steps::{HEARTBEAT_MS, HOUR, Place, under};
use crate::support::clock::WrongClock;
use crate::support::process::{Gateway, Settings};

pub async fn run(scale: Scale) -> Report {
    let (mut report, mut gateway) = (Report::new(), Gateway::prepare(settings()));
    let clocks = [WrongClock::under(&mut gateway, 0)];
    gateway.launch().await;
    let place = Place { doors: vec![&gateway], clocks: &clocks };
    // It ends ahead of all: who reads the logs then is a new device.
    let steps = [HOUR, 0, -HOUR, 0, HOUR].map(|ahead| vec![ahead]);
    let load = under(&mut report, &place, &steps, scale.pick(1, 10)).await;
    let history = load.finish(&mut report, &place.doors).await;
    report.history(&history);
    report
}

pub async fn in_cluster(scale: Scale) -> Report {
    let special = Special { connectors: settings(), clocks: true, ..Special::default() };
    let (mut report, nodes) = (Report::new(), Nodes::sharing_with(zookeeper().await, 2, special).await);
    let place = Place { doors: nodes.connectors.iter().collect(), clocks: &nodes.clocks };
    // Of two channel nodes, then of two connectors.
    let steps = [[HOUR, -HOUR, -HOUR, HOUR], [-HOUR, HOUR, 0, 0], [0, 0, HOUR, -HOUR], [HOUR; 4]];
    let load = under(&mut report, &place, &steps.map(Vec::from), scale.pick(1, 10)).await;
    channel_load::finish(&mut report, load, &nodes).await;
    report
}

fn settings() -> Settings {
    Settings::new().set("limits.heartbeat_ms", HEARTBEAT_MS)
}
