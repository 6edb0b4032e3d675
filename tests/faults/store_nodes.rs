//! F8: one of three nodes of the store is lost, then a second one, and they come back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use servers::{Cassandra, CassandraSettings};

use crate::args::Scale;
use crate::prober::Answer;
use crate::report::Report;
use crate::store_cut::{ANSWER, goes_on, out_of_reach};
use crate::stored;
use crate::support::keyspace::{Keyspace, migrate};
use crate::support::process::Gateway;
use crate::writers::Writers;

/// With one node down errors end within this.
const ERRORS: Duration = Duration::from_secs(5);

pub async fn run(scale: Scale) -> Report {
    let (rooms, rounds, lasting) =
        scale.pick((2, 1, Duration::from_secs(12)), (6, 3, Duration::from_secs(30)));
    let (mut report, keyspace) = (Report::new(), Keyspace::new(3));
    let started = Cassandra::start(CassandraSettings { nodes: 3, ..CassandraSettings::default() }).await;
    let cluster = started.unwrap_or_else(|error| panic!("{error}; ./test servers fetches it"));
    let points: Vec<SocketAddr> = cluster.addresses();
    let mut gateway = Gateway::prepare(keyspace.settings(1, &points));
    migrate(&gateway).await;
    gateway.launch().await;
    let load = Writers::start(&[&gateway], rooms, ANSWER).await;
    for _ in 0..rounds {
        one_lost(&mut report, &load, &cluster, lasting).await;
        cluster.kill(3).expect("it runs");
        let lost = Instant::now();
        tokio::time::sleep(lasting).await;
        out_of_reach(&mut report, &load, &gateway, lost, "two of three down").await;
        cluster.restart(3).await.expect("it comes back");
        goes_on(&mut report, &load, &gateway, "two of three again").await;
        cluster.restart(2).await.expect("it comes back");
        goes_on(&mut report, &load, &gateway, "three of three again").await;
    }
    stored::lived_through(&mut report, load, &keyspace, &mut gateway, &points).await;
    report
}

/// Whatever failed has failed soon, and acks go on.
async fn one_lost(report: &mut Report, load: &Writers, cluster: &Cassandra, lasting: Duration) {
    cluster.kill(2).expect("it runs");
    let lost = Instant::now();
    tokio::time::sleep(lasting).await;
    load.within(0, lost, Instant::now(), |attempts| {
        let bad = attempts.iter().filter(|attempt| !matches!(attempt.answer, Answer::Acked));
        let last = bad.map(|attempt| attempt.at + attempt.took).max().unwrap_or(lost);
        report.at_most(
            "one of three down: errors end after",
            (last - lost).as_secs_f64(),
            "s",
            ERRORS.as_secs_f64(),
        );
    });
    let later = load.acked(0, None, lost + ERRORS);
    report.at_least("one of three down: acks after that", later as f64, "", load.rooms.len() as f64);
}
