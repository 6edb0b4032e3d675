//! F3 in the form of two writers: two gateways on one store, each of which takes itself for the owner of every
//! conversation. One of them is stalled, held up and cut off from the store, and its clock is an hour ahead.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::args::Scale;
use crate::report::Report;
use crate::stored;
use crate::support::checker::check;
use crate::support::clock::WrongClock;
use crate::support::history::{Event, History};
use crate::support::keyspace::{Keyspace, migrate, shared_cluster};
use crate::support::metrics::Metrics;
use crate::support::process::Gateway;
use crate::support::proxy::{Held, Proxy, Rules};
use crate::support::soon;
use crate::writers::Writers;

const AHEAD_S: i64 = 3_600;
/// By how much a clock may seem to differ because an answer was on its way.
const NEARLY_MS: i64 = 60_000;
/// How long a sender waits for an answer.
const ANSWER: Duration = Duration::from_secs(3);
/// When a gateway that can work again has acknowledged something in every room. Nobody sees to it that two who fight for a
/// conversation get it in turn, so it may take a while on a busy machine.
const BACK: Duration = Duration::from_secs(60);
/// How long requests are held back at most: shorter than a gateway waits for its store.
const HELD: Duration = Duration::from_secs(3);
/// The gateway in trouble, and the other one.
const STALE: usize = 0;
const OTHER: usize = 1;

/// Two gateways on one keyspace; one of them reaches it through a proxy.
struct Pair {
    keyspace: Keyspace,
    points: Vec<SocketAddr>,
    proxy: Proxy,
    stale: Gateway,
    other: Gateway,
    _clock: WrongClock,
}

impl Pair {
    async fn start() -> Pair {
        let (keyspace, points) = (Keyspace::new(1), shared_cluster().await);
        let proxy = Proxy::start(points[0]).await;
        let mut stale = Gateway::prepare(keyspace.settings(1, &[proxy.address]));
        let mut other = Gateway::prepare_beside(&stale, keyspace.settings(2, &points));
        let clock = WrongClock::under(&mut stale, AHEAD_S);
        migrate(&other).await;
        stale.launch().await;
        other.launch().await;
        Pair { keyspace, points, proxy, stale, other, _clock: clock }
    }

    fn gateways(&self) -> [&Gateway; 2] {
        [&self.stale, &self.other]
    }
}

pub async fn run(scale: Scale) -> Report {
    let (rooms, stalls, stall) = scale.pick((3, 2, Duration::from_secs(4)), (6, 12, Duration::from_secs(6)));
    let (mut report, pair) = (Report::new(), Pair::start().await);
    let load = Writers::start(&pair.gateways(), rooms, ANSWER).await;
    let began = Instant::now();
    both_write(&mut report, &load, began, "before the faults").await;
    for n in 1..=stalls {
        stalled(&mut report, &pair, &load, stall, &format!("stall {n}")).await;
    }
    held_back(&mut report, &pair, &load).await;
    let slow =
        Rules { delay: Duration::from_millis(150), jitter: Duration::from_millis(100), ..Rules::default() };
    under(&mut report, &pair, &load, slow, "slow").await;
    for (held, name) in
        [(Held::Requests, "requests cut"), (Held::Answers, "answers cut"), (Held::Both, "cut both ways")]
    {
        under(&mut report, &pair, &load, Rules { holds: Some(held), ..Rules::default() }, name).await;
    }
    clocks(&mut report, &load, began);
    let room = load.rooms[0].clone();
    let history = load.finish(&mut report, &pair.gateways()).await;
    report.history(&history);
    overwritten(&mut report, &history);
    counts(&mut report, &pair).await;
    stored::check(&mut report, &pair.keyspace, &pair.other, &pair.points, &room).await;
    report
}

async fn both_write(report: &mut Report, load: &Writers, since: Instant, name: &str) {
    for (door, who) in [(STALE, "the first"), (OTHER, "the other")] {
        let back = load.acks(door, since, BACK).await.unwrap_or(BACK * 2).as_secs_f64();
        report.at_most(format!("{name}: {who} writes to every room after"), back, "s", BACK.as_secs_f64());
    }
}

/// SIGSTOP with requests in flight, and SIGCONT once the other has gone on.
async fn stalled(report: &mut Report, pair: &Pair, load: &Writers, stall: Duration, name: &str) {
    soon("requests are in flight", async {
        while load.under_way(STALE) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    pair.stale.stall();
    let stopped = Instant::now();
    report.figure(format!("{name}: requests in flight"), load.under_way(STALE) as f64, "");
    tokio::time::sleep(stall).await;
    let meanwhile = load.acked(OTHER, None, stopped) as f64;
    report.at_least(format!("{name}: acknowledged by the other"), meanwhile, "", load.rooms.len() as f64);
    pair.stale.resume();
    both_write(report, load, Instant::now(), name).await;
}

/// Appends that are on their way to the store when the other one takes over arrive behind its own.
async fn held_back(report: &mut Report, pair: &Pair, load: &Writers) {
    let stale = stale_appends(&pair.stale).await;
    let segments = pair.proxy.held();
    pair.proxy.set(Rules { holds: Some(Held::Requests), ..Rules::default() });
    let since = Instant::now();
    let overtaken = load.acks(OTHER, since, HELD).await.is_some();
    report.figure("held back: overtaken in every room", f64::from(u8::from(overtaken)), "");
    report.at_least("held back: acknowledged by the other", load.acked(OTHER, None, since) as f64, "", 1.0);
    report.at_least("held back: segments", (pair.proxy.held() - segments) as f64, "", 1.0);
    pair.proxy.set(Rules::default());
    both_write(report, load, Instant::now(), "held back").await;
    let tried = stale_appends(&pair.stale).await - stale;
    report.at_least("held back: stale appends tried", tried as f64, "", 1.0);
}

/// A bad way to the store for a while, and a good one again.
async fn under(report: &mut Report, pair: &Pair, load: &Writers, rules: Rules, name: &str) {
    pair.proxy.set(rules);
    let since = Instant::now();
    tokio::time::sleep(Duration::from_secs(4)).await;
    report.at_least(
        format!("{name}: acknowledged by the other"),
        load.acked(OTHER, None, since) as f64,
        "",
        1.0,
    );
    if rules.holds.is_some() {
        // What was on its way when it was cut has arrived by now, and what is sent later cannot be stored.
        let cut = since + Duration::from_millis(500);
        let acks = load.acked(STALE, None, cut);
        report.exactly(format!("{name}: acknowledged without the store"), acks, 0);
    }
    pair.proxy.set(Rules::default());
    both_write(report, load, Instant::now(), name).await;
}

fn clocks(report: &mut Report, load: &Writers, began: Instant) {
    let ahead = AHEAD_S * 1_000;
    let wrong = load.with_another_clock(STALE, began, ahead - NEARLY_MS..ahead + NEARLY_MS);
    report.exactly("acks by the first whose clock is not an hour ahead", wrong, 0);
    let wrong = load.with_another_clock(OTHER, began, -NEARLY_MS..NEARLY_MS);
    report.exactly("acks by the other whose clock is not right", wrong, 0);
}

/// A stale append that had been applied against its condition would be seen.
fn overwritten(report: &mut Report, history: &History) {
    let mut planted = history.clone();
    let log = planted.events.iter_mut().find_map(|event| match event {
        Event::Final { entries, .. } => Some(entries),
        _ => None,
    });
    let log = log.expect("a log was recorded");
    let (from, to) = (log.len() / 3, log.len() / 2);
    let (id, device) = (log[from].id, log[from].device);
    (log[to].id, log[to].device) = (id, device);
    let seen = check(&planted).len() > check(history).len();
    report.exactly("planted: an overwritten entry is seen", seen.into(), 1);
}

async fn counts(report: &mut Report, pair: &Pair) {
    for (gateway, who) in [(&pair.stale, "the first"), (&pair.other, "the other")] {
        let metrics = Metrics::of(gateway.http).await;
        for what in ["appends", "unknown", "opens"] {
            let count = metrics.get(&format!("whimbrel_store_{what}_total"));
            report.figure(format!("{who}: {what}"), count as f64, "");
        }
        report.at_least(
            format!("{who}: stale appends tried, none applied"),
            metrics.get("whimbrel_store_stale_total") as f64,
            "",
            1.0,
        );
    }
}

/// Appends that the store refused because their condition no longer held.
async fn stale_appends(gateway: &Gateway) -> u64 {
    Metrics::of(gateway.http).await.get("whimbrel_store_stale_total")
}
