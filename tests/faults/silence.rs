//! F13, second part: a peer behind a black hole takes nothing and says nothing, and nobody is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::Scale;
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

/// Devices behind a proxy that swallows everything from one moment on. With `pushed` each is sent a message then, at
/// the default heartbeat, so that it is the missing ack that tells.
pub async fn swallowed(pushed: bool, scale: Scale) -> Report {
    let settings = Settings::new();
    let gateway = Gateway::with(match pushed {
        true => settings,
        false => settings.set("limits.heartbeat_ms", HEARTBEAT_MS),
    });
    let gateway = gateway.await;
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
    if pushed {
        tell(&gateway, dead.iter().map(|(user, ..)| user.as_str())).await;
    }
    let closed = || {
        dead.iter().filter_map(|(_, _, link)| Some(link.server_closed()?.saturating_duration_since(began)))
    };
    while closed().count() < dead.len() && began.elapsed() < GIVEN_UP {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut report, times) = (Report::new(), closed().collect::<Vec<Duration>>());
    let name = if pushed { "black hole, unacked push" } else { "black hole, silence" };
    report.exactly(format!("{name}: peers closed"), times.len(), dead.len());
    report.percentiles(&format!("{name}: closed after"), &times, 50.0, 100.0, Some(CLOSED_S));
    report
}

/// The same with the plug pulled, where every packet is lost. Each device owes the ack of a push then.
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
