//! F15: all devices are cut off and connect again at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;

use crate::args::Scale;
use crate::load::Load;
use crate::report::Report;
use crate::support::fleet::Fleet;
use crate::support::process::Gateway;
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
/// Connections that tell every device something afterwards.
const TELLERS: usize = 4;

pub async fn run(scale: Scale) -> Report {
    let mut report = Report::new();
    let devices = fitting(&mut report, scale.pick(2_000, 10_000));
    let gateway = Gateway::start().await;
    let proxy = Proxy::start(gateway.tcp).await;
    let built = Instant::now();
    let fleet = Fleet::login(proxy.address, &gateway.issuer, "s", devices).await;
    let up = fleet.back(built, GIVEN_UP).await.len();
    report.exactly("devices logged in", up, devices);
    report.figure("all logged in for the first time after", built.elapsed().as_secs_f64(), "s");
    let load = Load::start(&gateway, proxy.address, scale.pick(200, 2_000)).await;
    load.recorder.acked(20).await;
    let cut = Instant::now();
    report.at_least("connections cut", proxy.cut_all() as f64, "", devices as f64);
    let (back, busy) =
        tokio::join!(fleet.back(cut, GIVEN_UP), cpu_percent(gateway.pid(), Duration::from_secs(5)));
    report.figure("processor in the first 5 s", busy, "%");
    let in_time = back.iter().filter(|time| **time <= BACK).count();
    report.at_least("devices back in time", 100.0 * in_time as f64 / devices as f64, "%", SHARE);
    report.percentiles("devices back", &back, 50.0, 99.0, None);
    report.percentiles("devices back", &back, 95.0, 100.0, None);
    report.exactly("devices back in the end", back.len(), devices);
    report.exactly("devices told to stay away", fleet.banned().len(), 0);
    report.exactly("devices reached afterwards", reached(&gateway, &fleet).await, devices);
    report.history(&load.finish(&gateway).await);
    report
}

/// As many devices as this process has file descriptors for.
fn fitting(report: &mut Report, wanted: usize) -> usize {
    let fit = file_limit().saturating_sub(FILES_FOR_THE_REST) / FILES_EACH;
    if fit < wanted {
        report.note(format!("only {fit} devices instead of {wanted}: ulimit -n is {}", file_limit()));
    }
    wanted.min(fit)
}

/// Tells every device something; how many hear it.
async fn reached(gateway: &Gateway, fleet: &Fleet) -> usize {
    const WORD: &str = "are you there?";
    let users: Vec<&str> = fleet.users().collect();
    let tellers = users.chunks(users.len().div_ceil(TELLERS)).enumerate();
    let told = tellers.map(|(n, users)| tell(gateway.tcp, gateway.token(&format!("teller{n}")), users, WORD));
    futures::future::join_all(told).await;
    fleet.heard(WORD, Duration::from_secs(30)).await
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
