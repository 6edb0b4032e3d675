//! F11, first part: the disk is full.

use std::fs;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::args::Scale;
use crate::prober::{Answer, Attempt, Prober, acks_after_failure, only_retryable};
use crate::report::Report;
use crate::support::disk::{Disk, Mode, SmallDisk};
use crate::support::http;
use crate::support::process::{Gateway, Settings};
use crate::support::room::{record_log, room};

/// Acks end so soon after the first write that failed.
pub const ACKS_END_S: f64 = 1.0;
const PROBERS: usize = 4;
const BYTES: usize = 32 * 1024;
/// Mebibytes of the disk once there is room.
const LARGE: u32 = 1_024;
const ANSWER: Duration = Duration::from_secs(5);
/// How long the senders go on after their first failure, and at most in all.
const GO_ON: Duration = Duration::from_secs(3);
const AT_MOST: Duration = Duration::from_secs(60);
/// Between attempts that failed.
const PAUSE: Duration = Duration::from_millis(20);

pub async fn run(scale: Scale) -> Report {
    let mut report = full(Some(scale.pick(12, 96))).await;
    report.join(full(None).await);
    report.join(crate::fsync::run().await);
    report
}

/// On a file system of so many mebibytes, or with writes that fail.
async fn full(mebibytes: Option<u32>) -> Report {
    let mut report = Report::new();
    // Tables are written too while there is room.
    let mut gateway = Gateway::prepare(Settings::new().set("store.memtable_bytes", 2 << 20));
    fs::create_dir(gateway.data()).unwrap();
    let small = match mebibytes.map(|size| SmallDisk::mount(&gateway.data(), size)) {
        Some(Err(why)) => {
            report.note(format!("a small file system is not possible here ({why}): failing writes alone"));
            return report;
        }
        Some(Ok(small)) => Some(small),
        None => None,
    };
    let disk = Disk::under(&mut gateway);
    gateway.launch().await;
    let (recorder, room) = room(&gateway).await;
    let mut senders = JoinSet::new();
    for n in 0..PROBERS {
        let prober = Prober::login(&recorder, &gateway, &format!("prober{n}"), &room).await;
        senders.spawn(fill(prober));
    }
    if small.is_none() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        disk.set(Mode::Full);
    }
    let (attempts, alive) = joined(senders).await;
    let name = if mebibytes.is_some() { "small disk" } else { "failing writes" };
    stopped(&mut report, name, &gateway, &attempts, alive).await;
    gateway.kill();
    disk.set(Mode::Works);
    small.iter().for_each(|small| small.grow(LARGE));
    gateway.launch().await;
    record_log(&recorder, &gateway, &room).await;
    report.history(&recorder.history());
    goes_on(&mut report, name, Prober::login(&recorder, &gateway, "after", &room).await).await;
    report
}

/// Sends until some time after the first failure.
pub async fn fill(mut prober: Prober) -> (Vec<Attempt>, bool) {
    let (started, mut failed, mut attempts) = (Instant::now(), None::<Instant>, Vec::new());
    while started.elapsed() < AT_MOST && failed.is_none_or(|failed| failed.elapsed() < GO_ON) {
        let attempt = prober.attempt(BYTES, ANSWER).await;
        if !matches!(attempt.answer, Answer::Acked) {
            failed.get_or_insert_with(Instant::now);
            tokio::time::sleep(PAUSE).await;
        }
        attempts.push(attempt);
    }
    let alive = prober.answers().await;
    (attempts, alive)
}

/// All attempts, and how many connections live.
pub async fn joined(senders: JoinSet<(Vec<Attempt>, bool)>) -> (Vec<Attempt>, usize) {
    let ended = senders.join_all().await;
    let alive = ended.iter().filter(|(_, alive)| *alive).count();
    (ended.into_iter().flat_map(|(attempts, _)| attempts).collect(), alive)
}

/// What holds while the store takes nothing.
pub async fn stopped(report: &mut Report, name: &str, gateway: &Gateway, attempts: &[Attempt], alive: usize) {
    match acks_after_failure(attempts) {
        Some(after) => report.at_most(
            format!("{name}: acks end after the first failure"),
            after.as_secs_f64(),
            "s",
            ACKS_END_S,
        ),
        None => report.violation(format!("{name}: no send failed; the fault did not happen")),
    }
    let silent = attempts.iter().filter(|attempt| matches!(attempt.answer, Answer::Silent)).count();
    report.exactly(format!("{name}: sends without an answer"), silent, 0);
    let slowest = attempts.iter().map(|attempt| attempt.took).max().unwrap_or_default();
    report.at_most(format!("{name}: slowest answer"), slowest.as_secs_f64(), "s", ANSWER.as_secs_f64());
    only_retryable(report, name, attempts);
    report.exactly(format!("{name}: connections that live on"), alive, PROBERS);
    let ready = http::get(gateway.http, "/readyz").await.map_or(0, |answer| answer.status);
    report.exactly(format!("{name}: /readyz"), ready.into(), 503);
}

/// After the restart messages are stored again.
pub async fn goes_on(report: &mut Report, name: &str, mut prober: Prober) {
    let acked = matches!(prober.attempt(BYTES, ANSWER).await.answer, Answer::Acked);
    report.exactly(format!("{name}: appends go on after the restart"), acked.into(), 1);
}
