//! F15: all devices are cut off and connect again at once. Before that each is cut off by itself: what the store then reads
//! is what coming back costs in steady times.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;

use crate::args::Scale;
use crate::clustered::Clustered;
use crate::load::Load;
use crate::report::Report;
use crate::support::fleet::Fleet;
use crate::support::metrics::Metrics;
use crate::support::process::{Gateway, Settings};
use crate::support::proxy::Proxy;
use crate::support::raw::{Raw, text_to};
use crate::support::usage::{cpu_percent, file_limit};

/// So many of a hundred are back within [`BACK`].
const SHARE: f64 = 95.0;
const BACK: Duration = Duration::from_secs(60);
/// When devices are given up.
const GIVEN_UP: Duration = Duration::from_secs(180);
/// File descriptors of this process for each device: its own, and two of the proxy.
const FILES_EACH: usize = 3;
const FILES_FOR_THE_REST: usize = 300;
/// Between one device and the next while they are cut off one by one.
const PACE: Duration = Duration::from_millis(4);
/// Store reads in the storm, against those of as many devices that come back one by one.
const READS: f64 = 1.2;
/// Presence changes that are stored for each device: it went, it came back; and a few of the load's.
const PRESENCE: f64 = 2.05;
/// Reads made on purpose, each of one row, which must be counted.
const PROBES: u64 = 50;
/// Connections that tell every device something afterwards.
const TELLERS: usize = 16;

pub async fn run(scale: Scale) -> Report {
    let mut report = Report::new();
    let devices = fitting(&mut report, scale.pick(2_000, 10_000));
    // Few tellers open a conversation with every device.
    let gateway = Gateway::with(Settings::new().set("limits.creations_at_once", 1_000_000)).await;
    let proxy = Proxy::start(gateway.tcp).await;
    let fleet = assembled(&mut report, &gateway, &proxy, devices).await;
    let messages = scale.pick(200, 2_000);
    let before = Metrics::of(gateway.http).await;
    let mut load = Load::start(&gateway, proxy.address, messages).await;
    one_by_one(&mut report, &proxy, &fleet).await;
    load.sent().await;
    let steady = Cost::since(&before, &gateway).await;
    let before = Metrics::of(gateway.http).await;
    load.send(&gateway, proxy.address, messages);
    load.recorder.acked(Load::total(messages) + 20).await;
    let back = all_at_once(&mut report, &gateway, &proxy, &fleet).await;
    load.sent().await;
    let storm = Cost::since(&before, &gateway).await;
    compare(&mut report, &steady, &storm, devices as f64);
    counts(&mut report, &gateway).await;
    ends(&mut report, &fleet, &back, &gateway, load).await;
    report
}

/// All devices of one connector of a cluster, among them those of the load; they are told something through the other one.
pub async fn in_cluster(scale: Scale, cluster: Clustered) -> Report {
    let (nodes, mut report) = (cluster.nodes().await, Report::new());
    let (stormed, other) = (&nodes.connectors[0], &nodes.connectors[1]);
    let devices = fitting(&mut report, scale.pick(500, 5_000));
    let proxy = Proxy::start(stormed.tcp).await;
    let fleet = assembled(&mut report, stormed, &proxy, devices).await;
    let mut load = Load::start(other, proxy.address, scale.pick(100, 1_000)).await;
    load.recorder.acked(20).await;
    let back = all_at_once(&mut report, stormed, &proxy, &fleet).await;
    load.sent().await;
    ends(&mut report, &fleet, &back, other, load).await;
    report
}

/// A fleet that is logged in.
async fn assembled(report: &mut Report, gateway: &Gateway, proxy: &Proxy, devices: usize) -> Fleet {
    let built = Instant::now();
    let fleet = Fleet::login(proxy.address, &gateway.issuer, "s", devices).await;
    let up = fleet.back(built, GIVEN_UP).await.len();
    report.exactly("devices logged in", up, devices);
    report.figure("all logged in for the first time after", built.elapsed().as_secs_f64(), "s");
    fleet
}

/// Cuts everybody off; when each device was back.
async fn all_at_once(report: &mut Report, gateway: &Gateway, proxy: &Proxy, fleet: &Fleet) -> Vec<Duration> {
    let cut = Instant::now();
    report.at_least("connections cut", proxy.cut_all() as f64, "", fleet.len() as f64);
    let (back, busy) =
        tokio::join!(fleet.back(cut, GIVEN_UP), cpu_percent(gateway.pid(), Duration::from_secs(5)));
    report.figure("processor in the first 5 s", busy, "%");
    back
}

/// Everybody was back in time and is reached, and the history of the load is right.
async fn ends(report: &mut Report, fleet: &Fleet, back: &[Duration], gateway: &Gateway, load: Load) {
    punctual(report, back, fleet.len());
    report.exactly("devices told to stay away", fleet.banned().len(), 0);
    let reached = reached(gateway.tcp, |teller| gateway.token(teller), fleet, "are you there?").await;
    report.exactly("devices reached afterwards", reached, fleet.len());
    report.history(&load.finish(gateway).await);
}

fn punctual(report: &mut Report, back: &[Duration], devices: usize) {
    let in_time = back.iter().filter(|time| **time <= BACK).count();
    report.at_least("devices back in time", 100.0 * in_time as f64 / devices as f64, "%", SHARE);
    report.percentiles("devices back", back, 50.0, 99.0, None);
    report.percentiles("devices back", back, 95.0, 100.0, None);
    report.exactly("devices back in the end", back.len(), devices);
}

/// Holds what the storm cost against what the same devices cost one by one.
fn compare(report: &mut Report, steady: &Cost, storm: &Cost, devices: f64) {
    for (when, cost) in [("one by one", steady), ("in the storm", storm)] {
        report.figure(format!("logins, {when}"), cost.logins, "");
        report.figure(format!("presence changes, {when}"), cost.presence, "");
        report.figure(format!("store reads, {when}"), cost.reads, "");
    }
    let each = steady.to_come_back() / devices;
    // Who logs in is looked up at least once.
    report.at_least("store reads a device to come back, one by one", each, "", 1.0);
    report.figure("store reads a device to come back, in the storm", storm.to_come_back() / devices, "");
    let ratio = storm.to_come_back() / steady.to_come_back().max(1.0);
    report.at_most("store reads to come back, storm to one by one", ratio, "", READS);
    report.at_most("presence changes a device, in the storm", storm.presence / devices, "", PRESENCE);
}

/// As many devices as this process has file descriptors for.
fn fitting(report: &mut Report, wanted: usize) -> usize {
    let fit = file_limit().saturating_sub(FILES_FOR_THE_REST) / FILES_EACH;
    if fit < wanted {
        report.note(format!("only {fit} devices instead of {wanted}: ulimit -n is {}", file_limit()));
    }
    wanted.min(fit)
}

/// Cuts each device off by itself and waits until all are back.
async fn one_by_one(report: &mut Report, proxy: &Proxy, fleet: &Fleet) {
    let (mut pace, began) = (tokio::time::interval(PACE), Instant::now());
    let mut cut = 0;
    for _ in 0..fleet.len() {
        pace.tick().await;
        cut += usize::from(proxy.cut_oldest());
    }
    report.exactly("devices cut off one by one", cut, fleet.len());
    report.exactly("of them back", fleet.back(began, GIVEN_UP).await.len(), fleet.len());
}

/// What the gateway has done since a moment.
struct Cost {
    /// Rows looked up and ranges of rows read.
    reads: f64,
    logins: f64,
    /// Presence changes stored. Each looks one row up: that is the price of an absence longer than the grace, not of
    /// coming back, and it has a limit of its own.
    presence: f64,
}

impl Cost {
    async fn since(before: &Metrics, gateway: &Gateway) -> Cost {
        let now = Metrics::of(gateway.http).await;
        let risen = |name| (now.get(name) - before.get(name)) as f64;
        Cost {
            reads: reads(&now) as f64 - reads(before) as f64,
            logins: risen("whimbrel_channel_logins_total"),
            presence: risen("whimbrel_channel_presence_recorded_total"),
        }
    }

    fn to_come_back(&self) -> f64 {
        self.reads - self.presence
    }
}

fn reads(metrics: &Metrics) -> u64 {
    metrics.get("whimbrel_store_point_reads_total") + metrics.get("whimbrel_store_range_reads_total")
}

/// A read more is a read more counted: `/readyz` looks one row up.
async fn counts(report: &mut Report, gateway: &Gateway) {
    let before = reads(&Metrics::of(gateway.http).await);
    for _ in 0..PROBES {
        crate::support::http::get(gateway.http, "/readyz").await.expect("it answers");
    }
    let counted = reads(&Metrics::of(gateway.http).await) - before;
    report.at_least("store reads made on purpose, counted", counted as f64, "", PROBES as f64);
}

/// Tells every device something; how many hear it.
pub async fn reached(
    address: SocketAddr,
    token: impl Fn(&str) -> String,
    fleet: &Fleet,
    word: &str,
) -> usize {
    let users: Vec<&str> = fleet.users().collect();
    let tellers = users.chunks(users.len().div_ceil(TELLERS)).enumerate();
    let told = tellers.map(|(n, users)| tell(address, token(&format!("teller{n}")), users, word));
    futures::future::join_all(told).await;
    fleet.heard(word, Duration::from_secs(30)).await
}

async fn tell(address: SocketAddr, token: String, users: &[&str], word: &str) {
    let mut raw = Raw::connect(address).await;
    raw.hello(crate::support::raw::hello(&token, "teller")).await.expect("it logs in");
    for user in users {
        let send = text_to(user, word);
        while let Told::Error(error) = raw.request(Ask::Send(send.clone())).await {
            assert!(error.retryable, "{error:?}");
            tokio::time::sleep(Duration::from_millis(error.retry_after_ms.max(20).into())).await;
        }
    }
}
