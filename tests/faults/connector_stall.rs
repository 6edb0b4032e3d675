//! F4: SIGSTOP of a connector for longer than any lease, then SIGCONT. Its devices find another one by themselves and are
//! reached there; when it goes on it takes nobody back.

use std::time::{Duration, Instant};

use client::{Event, Events};
use futures::StreamExt as _;

use crate::args::Scale;
use crate::channel_load::sessions;
use crate::load::Load;
use crate::nodes::{Nodes, Special, zookeeper};
use crate::online::Online;
use crate::report::Report;
use crate::stored;
use crate::support::process::{Settings, free_port};
use crate::support::soon;

/// A device notices after three of them that nothing comes any more.
const HEARTBEAT_MS: u32 = 3_000;
/// To notice, to fail at the usual address, and to be elsewhere.
const BACK: Duration = Duration::from_secs(40);
/// Who comes is told of at once; and the watcher asks five times a second.
const SEEN: Duration = Duration::from_secs(2);
/// Somebody who is wrongly taken for gone is told of within this: the grace period, and some seconds.
const FALLS: Duration = Duration::from_secs(9);
/// Messages of each sender, three times: while the devices are out of reach, elsewhere, and afterwards.
const EACH: usize = 40;

pub async fn run(scale: Scale) -> Report {
    // At the least longer than a link's patience, and than routes are kept that nobody takes away.
    let stall = Duration::from_secs(scale.pick(30, 90));
    let (mut report, operator) = (Report::new(), free_port());
    let special = Special {
        first: Settings::new().set("admin.listen", format!("\"{operator}\"")),
        connectors: Settings::new().set("limits.heartbeat_ms", HEARTBEAT_MS),
        ..Special::default()
    };
    let nodes = Nodes::sharing_with(zookeeper().await, 2, special).await;
    let (stalled, other) = (&nodes.connectors[0], &nodes.connectors[1]);
    let mut online = Online::start(&nodes.issuer, &stalled.tcp_url(), &other.tcp_url()).await;
    let mut load = Load::reading(other, stalled.tcp).await;
    let devices = sessions(stalled).await;
    report.at_least("devices at the connector before", devices as f64, "", online.users.len() as f64);
    online.excuse();
    let comings: Vec<Events> = online.users.iter().map(client::Client::events).collect();
    stalled.stall();
    let began = Instant::now();
    load.send(other, other.tcp, EACH);
    load.sent().await;
    report.at_least("not seen while it stands still", load.unseen() as f64, "", 1.0);
    elsewhere(&mut report, &load, comings, began).await;
    let back = Instant::now();
    online.all_seen().await;
    report.at_most("all are seen online again after", back.elapsed().as_secs_f64(), "s", SEEN.as_secs_f64());
    let told = online.begin_anew(operator).await;
    report.figure("times that somebody was seen offline until then", told as f64, "");
    let events: Vec<Events> = online.users.iter().map(client::Client::events).collect();
    load.send(other, other.tcp, EACH);
    load.sent().await;
    tokio::time::sleep((began + stall).saturating_duration_since(Instant::now())).await;
    stalled.resume();
    soon("the connector is back without the devices", async {
        while sessions(stalled).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    load.send(other, other.tcp, EACH);
    tokio::join!(load.sent(), tokio::time::sleep(FALLS));
    stays(&mut report, &mut online, events, operator).await;
    let room = load.room.clone();
    report.history(&load.finish(other).await);
    let (keyspace, points) = nodes.store();
    stored::check(&mut report, keyspace, &nodes.channels[0], points, &room).await;
    report
}

/// Waits until everybody is at the other connector and has what was said meanwhile.
async fn elsewhere(report: &mut Report, load: &Load, comings: Vec<Events>, began: Instant) {
    let (connected, caught_up): (Vec<_>, Vec<_>) = load.readers_back(began).await.into_iter().unzip();
    report.percentiles("readers elsewhere", &connected, 50.0, 100.0, Some(BACK.as_secs_f64()));
    report.percentiles("and have seen everything after", &caught_up, 50.0, 100.0, None);
    let back = comings.into_iter().map(async |events| {
        let connected = events.any(async |event| matches!(event, Event::Connected { .. }));
        let connected = tokio::time::timeout(2 * BACK, connected).await;
        assert!(connected != Ok(false), "a device gave up");
        began.elapsed()
    });
    let back = futures::future::join_all(back).await;
    report.percentiles("users elsewhere", &back, 50.0, 100.0, Some(BACK.as_secs_f64()));
}

/// Everybody is reached and stays connected, and nobody was seen offline; who does go is.
async fn stays(
    report: &mut Report,
    online: &mut Online,
    events: Vec<Events>,
    operator: std::net::SocketAddr,
) {
    report.exactly("users reached afterwards", online.told("afterwards").await, online.users.len());
    let mut ended = 0;
    for mut events in events {
        while let Some(event) = futures::future::poll_immediate(events.next()).await.flatten() {
            ended += usize::from(matches!(event, Event::Disconnected { .. } | Event::Superseded));
        }
    }
    report.exactly("connections that ended afterwards", ended, 0);
    let offline = online.finish(operator).await;
    offline.iter().for_each(|user| report.note(user));
    report.exactly("users online and seen offline", offline.len(), 0);
    let gone = online.users.pop().expect("there are users");
    let name = gone.user().to_owned();
    gone.close().await;
    report.exactly("planted: one who goes is seen", online.misses(&name, FALLS).await.into(), 1);
}
