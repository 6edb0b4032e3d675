//! F6: the way between a gateway and its store is cut, in one direction and then in the other.

use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::prober::{Answer, only_retryable};
use crate::report::Report;
use crate::stored;
use crate::support::http;
use crate::support::keyspace::{Keyspace, migrate, shared_cluster};
use crate::support::process::Gateway;
use crate::support::proxy::{Held, Proxy, Rules};
use crate::writers::Writers;

/// Longer than a request takes that tries in vain: an append, and to open the log.
pub const ANSWER: Duration = Duration::from_secs(15);
/// How long things may go on that were on their way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// When acks are back after the cut, at most.
const BACK: Duration = Duration::from_secs(60);

pub async fn run(scale: Scale) -> Report {
    let (rooms, cuts, lasting) = scale.pick((2, 1, Duration::from_secs(9)), (6, 5, Duration::from_secs(20)));
    let (mut report, keyspace, points) = (Report::new(), Keyspace::new(1), shared_cluster().await);
    let proxy = Proxy::start(points[0]).await;
    let mut gateway = Gateway::prepare(keyspace.settings(1, &[proxy.address]));
    migrate(&gateway).await;
    gateway.launch().await;
    let load = Writers::start(&[&gateway], rooms, ANSWER).await;
    for _ in 0..cuts {
        for (held, name) in [(Held::Requests, "requests cut"), (Held::Answers, "answers cut")] {
            proxy.set(Rules { holds: Some(held), ..Rules::default() });
            let cut = Instant::now();
            tokio::time::sleep(lasting).await;
            out_of_reach(&mut report, &load, &gateway, cut, name).await;
            proxy.set(Rules::default());
            goes_on(&mut report, &load, &gateway, name).await;
        }
    }
    stored::lived_through(&mut report, load, &keyspace, &mut gateway, &points).await;
    report
}

/// What senders have heard since the store went out of reach, and what the gateway says of itself.
pub async fn out_of_reach(
    report: &mut Report,
    load: &Writers,
    gateway: &Gateway,
    since: Instant,
    name: &str,
) {
    load.within(0, since + ON_ITS_WAY, Instant::now(), |attempts| {
        let count = |what: fn(&Answer) -> bool| attempts.iter().filter(|a| what(&a.answer)).count();
        report.exactly(format!("{name}: false acks"), count(|a| matches!(a, Answer::Acked)), 0);
        report.exactly(
            format!("{name}: requests without an answer"),
            count(|a| matches!(a, Answer::Silent)),
            0,
        );
        let refused = count(|a| matches!(a, Answer::Error(_)));
        report.at_least(format!("{name}: requests refused"), refused as f64, "", 1.0);
        only_retryable(report, name, attempts.iter().copied());
    });
    let status = http::get(gateway.http, "/readyz").await.map_or(0, |answer| answer.status);
    report.exactly(format!("{name}: /readyz"), status.into(), 503);
}

/// Appends go on in every room, without a restart.
pub async fn goes_on(report: &mut Report, load: &Writers, gateway: &Gateway, name: &str) {
    let healed = Instant::now();
    let back = load.acks(0, healed, BACK).await.unwrap_or(BACK * 2);
    report.at_most(format!("{name}: acks in every room after"), back.as_secs_f64(), "s", BACK.as_secs_f64());
    let status = http::get(gateway.http, "/readyz").await.map_or(0, |answer| answer.status);
    report.exactly(format!("{name}: /readyz afterwards"), status.into(), 200);
}
