//! F11, second part: a sync fails. What the disk holds is unknown from then on, so it is never tried again.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::full::{fill, goes_on, joined, stopped};
use crate::prober::Prober;
use crate::report::Report;
use crate::support::disk::{Disk, Mode};
use crate::support::process::Gateway;
use crate::support::room::{record_log, room};

const PROBERS: usize = 4;
const NAME: &str = "failed sync";

pub async fn run() -> Report {
    let mut report = Report::new();
    let mut gateway = Gateway::prepare(Default::default());
    let disk = Disk::under(&mut gateway);
    gateway.launch().await;
    let (recorder, room) = room(&gateway).await;
    let mut senders = JoinSet::new();
    for n in 0..PROBERS {
        let prober = Prober::login(&recorder, &gateway, &format!("prober{n}"), &room).await;
        senders.spawn(fill(prober));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    disk.set(Mode::FailsOneSync);
    let (attempts, alive) = joined(senders).await;
    stopped(&mut report, NAME, &gateway, &attempts, alive).await;
    let syncs = disk.syncs();
    let count = |what: &str| syncs.iter().filter(|sync| sync.what == what).count();
    report.exactly("failed sync: syncs that failed", count("failed"), 1);
    report.exactly("failed sync: syncs of the journal after it", count("after"), 0);
    gateway.kill();
    disk.set(Mode::Works);
    gateway.launch().await;
    record_log(&recorder, &gateway, &room).await;
    report.history(&recorder.history());
    goes_on(&mut report, NAME, Prober::login(&recorder, &gateway, "after", &room).await).await;
    report
}
