//! F2: `kill -9` of a channel node in the middle of appends. The other one has its share when the lease has passed.

use std::time::Instant;

use crate::args::Scale;
use crate::channel_load::{BACK, finish, start, under_way, writes};
use crate::nodes::Nodes;
use crate::report::Report;

pub async fn run(scale: Scale) -> Report {
    let (rooms, kills) = scale.pick((6, 2), (24, 10));
    let (mut report, mut nodes) = (Report::new(), Nodes::sharing(2).await);
    let load = start(&nodes, rooms).await;
    for n in 0..kills {
        writes(&mut report, &load, Instant::now(), BACK, &format!("before kill {n}")).await;
        under_way(&load).await;
        nodes.channels[n % 2].kill();
        writes(&mut report, &load, Instant::now(), BACK, &format!("kill {n}")).await;
        nodes.channels[n % 2].launch().await;
        nodes.linked(2).await;
    }
    finish(&mut report, load, &nodes).await;
    report
}
