//! F13, second part: a peer behind a black hole takes nothing and says nothing, and nobody is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::load::Load;
use crate::report::Report;
use crate::support::netns::Netns;
use crate::support::process::{Gateway, Settings};
use crate::support::proxy::{Link, Proxy, Rules};
use crate::support::raw::{Raw, hello, text_to};
use crate::support::soon;
use crate::support::usage::established;

/// After this long a dead peer is closed, and a tenth more.
const CLOSED_S: f64 = 72.0 * 1.1;
/// A peer that owes no ack is found out by three heartbeats of silence: this one makes them the same 72 s.
const HEARTBEAT_MS: u32 = 24_000;
/// When waiting is given up.
const GIVEN_UP: Duration = Duration::from_secs(110);

/// How long the devices of a cluster are swallowed: nobody notices so soon.
const UNSEEN: Duration = Duration::from_secs(5);
/// What each sender says meanwhile.
const MEANWHILE: usize = 20;
/// Devices that were swallowed and are then cut off are back within this.
const BACK_S: f64 = 10.0;

/// With `pushed` each dead peer is sent a message, at the default heartbeat, so that it is the missing ack that tells.
pub async fn swallowed(pushed: bool, scale: Scale) -> Report {
    let settings = Settings::new();
    let gateway = Gateway::with(match pushed {
        true => settings,
        false => settings.set("limits.heartbeat_ms", HEARTBEAT_MS),
    });
    let gateway = gateway.await;
    let name = if pushed { "black hole, unacked push" } else { "black hole, silence" };
    swallowed_at(name, &gateway, pushed.then_some(&gateway), scale).await
}

/// Devices behind a proxy that swallows everything from one moment on. Each is sent a message then, through `teller`.
pub async fn swallowed_at(name: &str, gateway: &Gateway, teller: Option<&Gateway>, scale: Scale) -> Report {
    let proxy = Proxy::start(gateway.tcp).await;
    let mut dead: Vec<(String, Raw, Arc<Link>)> = Vec::new();
    for n in 0..scale.pick(5, 250) {
        let user = format!("dead{n}");
        let mut raw = Raw::connect(proxy.address).await;
        raw.hello(hello(&gateway.token(&user), "phone")).await.expect("it logs in");
        let link = proxy.link(raw.stream.local_addr().unwrap()).await;
        dead.push((user, raw, link));
    }
    proxy.set(Rules { black_hole: true, ..Rules::default() });
    let began = Instant::now();
    if let Some(teller) = teller {
        tell(teller, dead.iter().map(|(user, ..)| user.as_str())).await;
    }
    let closed = || {
        dead.iter().filter_map(|(_, _, link)| Some(link.server_closed()?.saturating_duration_since(began)))
    };
    while closed().count() < dead.len() && began.elapsed() < GIVEN_UP {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut report, times) = (Report::new(), closed().collect::<Vec<Duration>>());
    report.exactly(format!("{name}: peers closed"), times.len(), dead.len());
    report.percentiles(&format!("{name}: closed after"), &times, 50.0, 100.0, Some(CLOSED_S));
    report
}

/// Readers at one connector are swallowed while others send through another one, and then cut off: what they have missed
/// comes when they are back.
pub async fn unseen(gateway: &Gateway, other: &Gateway) -> Report {
    let (mut report, proxy) = (Report::new(), Proxy::start(gateway.tcp).await);
    let mut load = Load::reading(other, proxy.address).await;
    proxy.set(Rules { black_hole: true, ..Rules::default() });
    let began = Instant::now();
    load.send(other, other.tcp, MEANWHILE);
    load.sent().await;
    tokio::time::sleep(UNSEEN.saturating_sub(began.elapsed())).await;
    let unseen = load.unseen() as f64;
    report.at_least("black hole: acknowledged and not seen", unseen, "", Load::total(MEANWHILE) as f64);
    proxy.set(Rules::default());
    let cut = Instant::now();
    report.at_least("black hole: connections cut", proxy.cut_all() as f64, "", 1.0);
    let (back, caught_up): (Vec<_>, Vec<_>) = load.readers_back(cut).await.into_iter().unzip();
    report.percentiles("black hole: readers back", &back, 50.0, 100.0, Some(BACK_S));
    report.percentiles("black hole: all seen after", &caught_up, 50.0, 100.0, Some(BACK_S));
    report.history(&load.finish(other).await);
    report
}

/// Dead peers with the plug pulled, where every packet is lost. Each device owes the ack of a push then.
pub async fn unplugged(gateway: &Gateway, netns: &Netns, scale: Scale) -> Report {
    let (mut report, mut dead) = (Report::new(), Vec::new());
    for n in 0..scale.pick(5, 250) {
        dead.push(Raw::login(gateway, &format!("dead{n}"), "phone").await.0);
    }
    let users: Vec<String> = (0..dead.len()).map(|n| format!("dead{n}")).collect();
    tell(gateway, users.iter().map(String::as_str)).await;
    let open = || established(gateway.pid(), gateway.tcp.port());
    soon("only they are connected", async {
        while open() > dead.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    report.exactly("plug pulled: connections before", open(), dead.len());
    netns.unplug();
    let began = Instant::now();
    while open() > 0 && began.elapsed() < GIVEN_UP {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    report.exactly("plug pulled: connections left", open(), 0);
    report.at_most("plug pulled: all closed after", began.elapsed().as_secs_f64(), "s", CLOSED_S);
    report
}

/// Sends each of them a message, and leaves.
async fn tell(gateway: &Gateway, users: impl Iterator<Item = &str>) {
    let (mut alice, _) = Raw::login(gateway, "alice", "phone").await;
    for user in users {
        alice.send(text_to(user, "nobody is there")).await;
    }
}
