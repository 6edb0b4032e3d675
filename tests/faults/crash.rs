//! F1: kill -9 under load, of the whole node and of one connector after the other.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::clustered;
use crate::load::Load;
use crate::report::{Report, progress};
use crate::stored;
use crate::storm::reached;
use crate::support::balancer::Balancer;
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
    let (mut down, mut backs) = (Vec::new(), Backs::default());
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
        backs.wait(killed, &fleet, &load).await;
    }
    report.percentiles("node down", &down, 50.0, 100.0, None);
    backs.tell(&mut report);
    report.history(&load.finish(&gateway).await);
    report
}

/// All devices are at one connector, which is killed; then at the other one, and so on.
pub async fn of_connectors(scale: Scale) -> Report {
    let (devices, kills, messages_each) = scale.pick((300, 2, 50), (3_000, 10, 200));
    let (mut report, mut nodes) = (Report::new(), clustered::start().await);
    // Who is lost goes to the one that is left; who is there stays when the other comes back.
    let door = Balancer::preferring(nodes.connectors.iter().map(|connector| connector.tcp).collect()).await;
    let built = Instant::now();
    let fleet = Fleet::login(door.address, &nodes.issuer, "f", devices).await;
    report.exactly("devices logged in", fleet.back(built, GIVEN_UP).await.len(), devices);
    let mut load = Load::reading(&nodes.connectors[0], door.address).await;
    let mut backs = Backs::default();
    for kill in 0..kills {
        progress(kill, kills, "kills");
        let victim = kill % 2;
        load.send(&nodes.connectors[0], door.address, messages_each);
        soon("acks", load.recorder.acked(Load::total(messages_each) * (2 * kill as u64 + 1) / 2)).await;
        let killed = Instant::now();
        nodes.connectors[victim].kill();
        backs.wait(killed, &fleet, &load).await;
        load.sent().await;
        nodes.connectors[victim].launch().await;
        nodes.linked(2).await;
        tokio::time::sleep(scale.pick(Duration::ZERO, STABLE)).await;
    }
    backs.tell(&mut report);
    let other = &nodes.connectors[(kills + 1) % 2];
    let heard = reached(other.tcp, |teller| other.token(teller), &fleet, "are you there?").await;
    report.exactly("devices reached afterwards", heard, devices);
    let room = load.room.clone();
    report.history(&load.finish(other).await);
    let (keyspace, points) = nodes.store();
    stored::check(&mut report, keyspace, &nodes.channels[0], points, &room).await;
    report
}

/// How long devices were away, and how long readers did not have what they missed.
#[derive(Default)]
struct Backs {
    back: Vec<Duration>,
    gaps: Vec<Duration>,
    missing: usize,
}

impl Backs {
    /// Waits until everybody is back after a kill.
    async fn wait(&mut self, killed: Instant, fleet: &Fleet, load: &Load) {
        let (returned, readers) = tokio::join!(fleet.back(killed, GIVEN_UP), load.readers_back(killed));
        self.missing += fleet.len() - returned.len();
        self.back.extend(returned);
        self.back.extend(readers.iter().map(|(back, _)| *back));
        self.gaps.extend(readers.iter().map(|(_, gap)| *gap));
    }

    fn tell(&self, report: &mut Report) {
        report.exactly("devices that did not come back after a kill", self.missing, 0);
        report.percentiles("devices back after the kill", &self.back, 50.0, 99.0, Some(BACK_S));
        report.percentiles("gaps filled after a reader is back", &self.gaps, 50.0, 100.0, Some(GAP_S));
    }
}
