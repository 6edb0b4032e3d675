//! F1: kill -9 of the whole node under load.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::load::Load;
use crate::report::{Report, progress};
use crate::support::fleet::Fleet;
use crate::support::process::Gateway;
use crate::support::soon;

/// After the kill, the 99th percentile.
const BACK_S: f64 = 15.0;
/// From a reader's new connection to having what it missed.
const GAP_S: f64 = 5.0;
/// A client whose connection lasted this long waits shortly at first when it is lost.
const STABLE: Duration = Duration::from_secs(11);
/// When devices are given up.
const GIVEN_UP: Duration = Duration::from_secs(90);

pub async fn run(scale: Scale) -> Report {
    let (devices, kills, messages_each) = scale.pick((300, 2, 100), (3_000, 10, 400));
    let mut report = Report::new();
    let mut gateway = Gateway::start().await;
    let built = Instant::now();
    let fleet = Fleet::login(gateway.tcp, &gateway.issuer, "f", devices).await;
    report.exactly("devices logged in", fleet.back(built, GIVEN_UP).await.len(), devices);
    let mut load = Load::start(&gateway, gateway.tcp, messages_each).await;
    let (mut back, mut down, mut gaps, mut missing) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for kill in 0..kills {
        progress(kill as usize, kills as usize, "kills");
        if kill > 0 {
            load.sent().await;
            tokio::time::sleep(scale.pick(Duration::ZERO, STABLE)).await;
            load.send(&gateway, gateway.tcp, messages_each);
        }
        soon("acks", load.recorder.acked(Load::total(messages_each) * (2 * kill + 1) / 2)).await;
        let killed = Instant::now();
        gateway.kill();
        gateway.launch().await;
        down.push(killed.elapsed());
        let (returned, readers) = tokio::join!(fleet.back(killed, GIVEN_UP), load.readers_back(killed));
        missing += fleet.len() - returned.len();
        back.extend(returned);
        back.extend(readers.iter().map(|(back, _)| *back));
        gaps.extend(readers.iter().map(|(_, gap)| *gap));
    }
    report.exactly("devices that did not come back after a kill", missing, 0);
    report.percentiles("node down", &down, 50.0, 100.0, None);
    report.percentiles("devices back after the kill", &back, 50.0, 99.0, Some(BACK_S));
    report.percentiles("gaps filled after a reader is back", &gaps, 50.0, 100.0, Some(GAP_S));
    report.history(&load.finish(&gateway).await);
    report
}
