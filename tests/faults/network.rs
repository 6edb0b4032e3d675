//! F13: delay, loss, and peers behind a black hole.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::clustered::Clustered;
use crate::load::Load;
use crate::report::Report;
use crate::silence;
use crate::support::netns::Netns;
use crate::support::process::{Gateway, Settings, free_port};
use crate::support::proxy::{Proxy, Rules};

const DELAY: Duration = Duration::from_millis(300);
const JITTER: Duration = Duration::from_millis(100);
const LOSS: f64 = 0.05;
const NETEM: &str = "delay 300ms 100ms loss 5%";

pub async fn run(scale: Scale) -> Report {
    let mut report = Report::new();
    // Beside each other: the black hole takes more than a minute, whatever its size.
    let parts = tokio::join!(
        Box::pin(alone("delay and loss", lossy(), scale)),
        Box::pin(alone("truncated and throttled", truncating(), scale)),
        Box::pin(silence::swallowed(true, scale)),
        Box::pin(silence::swallowed(false, scale)),
        Box::pin(unplugged(scale)),
    );
    let (lossy, truncated, pushed, idle, unplugged) = parts;
    [lossy, truncated, pushed, idle, unplugged].into_iter().for_each(|part| report.join(part));
    report
}

/// Between the devices and the connectors of a cluster. One after the other, for the senders are the same.
pub async fn in_cluster(scale: Scale, cluster: Clustered) -> Report {
    let (nodes, mut report) = (cluster.nodes().await, Report::new());
    let (first, second) = (&nodes.connectors[0], &nodes.connectors[1]);
    let messages_each = scale.pick(10, 100);
    report.join(proxied("delay and loss", lossy(), first, messages_each).await);
    report.join(proxied("truncated and throttled", truncating(), second, messages_each).await);
    report.join(silence::unseen(first, second).await);
    if scale == Scale::Full {
        report.join(silence::swallowed_at("black hole, unacked push", first, Some(second), scale).await);
    }
    report
}

fn lossy() -> Rules {
    Rules { delay: DELAY, jitter: JITTER, loss: LOSS, ..Rules::default() }
}

/// Every connection ends in the middle of a frame after some messages, and is slow.
fn truncating() -> Rules {
    Rules { cut_after: Some(1_234), bytes_per_second: Some(64 * 1024), ..Rules::default() }
}

async fn alone(name: &str, rules: Rules, scale: Scale) -> Report {
    proxied(name, rules, &Gateway::start().await, scale.pick(20, 100)).await
}

/// A bad network in both directions, by the proxy.
async fn proxied(name: &str, rules: Rules, gateway: &Gateway, messages_each: usize) -> Report {
    let proxy = Proxy::start(gateway.tcp).await;
    proxy.set(rules);
    let mut report = Report::new();
    let started = Instant::now();
    let load = Load::start(gateway, proxy.address, messages_each).await;
    let history = load.finish(gateway).await;
    // One of the senders waits for every ack: there and back with the shortest delay. Faster, and the fault was none.
    let least = 2.0 * (rules.delay.as_secs_f64() - rules.jitter.as_secs_f64()) * messages_each as f64;
    report.at_least(format!("{name}: sent and seen in"), started.elapsed().as_secs_f64(), "s", least);
    let connections = proxy.connections() as f64;
    let least = if rules.cut_after.is_some() { 8.0 } else { 5.0 };
    report.at_least(format!("{name}: connections made"), connections, "", least);
    report.history(&history);
    report
}

/// The same in a network namespace, where the system can do it; then the plug is pulled.
async fn unplugged(scale: Scale) -> Report {
    let mut report = Report::new();
    let netns = match Netns::make() {
        Ok(netns) => netns,
        Err(why) => {
            report.note(format!("network namespaces are not possible here ({why}): the proxy alone"));
            return report;
        }
    };
    let (tcp, http) = (free_port().port(), free_port().port());
    let listen = |port| format!("\"{}:{port}\"", netns.inside);
    let settings = Settings::new()
        .set("tcp.listen", listen(tcp))
        .set("tcp.plaintext", "\"allow\"")
        .set("http.listen", listen(http))
        .set("http.plaintext", "\"allow\"");
    let mut gateway = Gateway::prepare(settings);
    (gateway.tcp, gateway.http) = ((netns.inside, tcp).into(), (netns.inside, http).into());
    gateway.run_by(netns.prefix());
    gateway.launch().await;
    match netns.netem(NETEM) {
        Ok(()) => {
            let load = Load::start(&gateway, gateway.tcp, scale.pick(20, 100)).await;
            report.history(&load.finish(&gateway).await);
            netns.netem("delay 0ms").expect("it could be set before");
        }
        Err(why) => {
            report.note(format!("netem is not possible here ({why}): delay and loss by the proxy alone"))
        }
    }
    report.join(silence::unplugged(&gateway, &netns, scale).await);
    report
}
