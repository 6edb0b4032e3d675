//! F12: the node has no file descriptors left.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::args::Scale;
use crate::prober::{Answer, Attempt, Prober};
use crate::report::Report;
use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, hello};
use crate::support::room::{record_log, room};
use crate::support::soon;
use crate::support::usage::{cpu_percent, open_files};

/// File descriptors of the node; its own and those of the live devices fit well.
const FILES: usize = 128;
const LIVE: usize = 8;
/// Connections that want in, and come again when they are sent away.
const HOGS: usize = 400;
/// Of one processor, while nobody talks.
const CPU_PERCENT: f64 = 20.0;
/// A live device has its ack within this, out of files or not.
const ANSWER: Duration = Duration::from_secs(2);
/// A new device can log in so soon after the files are free.
const RECOVERY: Duration = Duration::from_secs(10);

pub async fn run(scale: Scale) -> Report {
    let mut report = pressed(Cause::Connections, scale).await;
    report.join(pressed(Cause::Squeeze, scale).await);
    report
}

/// Why there are no files.
#[derive(Clone, Copy, PartialEq)]
enum Cause {
    /// More connections than there may be. What is no connection still has files: tables are written meanwhile.
    Connections,
    /// The limit falls below what is open: `accept` itself fails.
    Squeeze,
}

async fn pressed(cause: Cause, scale: Scale) -> Report {
    let mut report = Report::new();
    let (name, bytes, memtable) = match cause {
        Cause::Connections => ("crowd", 32 * 1024, 1 << 20),
        Cause::Squeeze => ("squeeze", 100, 16 << 20),
    };
    let mut gateway = Gateway::prepare(Settings::new().set("store.memtable_bytes", memtable));
    let limited = format!("ulimit -n {FILES}; exec \"$0\" \"$@\"");
    gateway.run_by(vec!["sh".into(), "-c".into(), limited]);
    gateway.launch().await;
    let (recorder, room) = room(&gateway).await;
    let mut live = Vec::new();
    for n in 0..LIVE {
        live.push(Prober::login(&recorder, &gateway, &format!("live{n}"), &room).await);
    }
    let before = open_files(gateway.pid());
    if cause == Cause::Squeeze
        && let Err(why) = set_limit(&gateway, before)
    {
        report
            .note(format!("the limit of a running process cannot be lowered here ({why}): the crowd alone"));
        return report;
    }
    let mut hogs = JoinSet::new();
    for _ in 0..HOGS {
        hogs.spawn(press(gateway.tcp));
    }
    soon("nobody else can log in", async {
        while can_log_in(&gateway).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    report.figure(format!("{name}: files open before"), before as f64, "");
    report.figure(format!("{name}: files open under pressure"), open_files(gateway.pid()) as f64, "");
    let idle = cpu_percent(gateway.pid(), scale.pick(Duration::from_secs(5), Duration::from_secs(60))).await;
    report.at_most(format!("{name}: processor while nobody talks"), idle, "%", CPU_PERCENT);
    let attempts = talk(&mut live, scale.pick(25, 200), bytes).await;
    unhurt(&mut report, name, &mut live, &attempts).await;
    report.exactly(format!("{name}: new devices that could log in"), can_log_in(&gateway).await.into(), 0);
    if cause == Cause::Squeeze {
        let failed = gateway.log().matches("accept failed").count();
        report.at_least(format!("{name}: accepts that failed"), failed as f64, "", 10.0);
        set_limit(&gateway, FILES).expect("it could be set before");
    }
    hogs.abort_all();
    recovered(&mut report, name, &gateway).await;
    record_log(&recorder, &gateway, &room).await;
    report.history(&recorder.history());
    report
}

/// How long it takes until a device can log in again.
async fn recovered(report: &mut Report, name: &str, gateway: &Gateway) {
    let freed = Instant::now();
    while !can_log_in(gateway).await && freed.elapsed() < 2 * RECOVERY {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (name, limit) = (format!("{name}: a new device logs in afterwards"), RECOVERY.as_secs_f64());
    report.at_most(name, freed.elapsed().as_secs_f64(), "s", limit);
}

/// Sets the limit of the running gateway on its files.
fn set_limit(gateway: &Gateway, files: usize) -> Result<(), String> {
    let (pid, limit) = (gateway.pid().to_string(), format!("--nofile={files}:"));
    let output = Command::new("prlimit").args(["--pid", &pid, &limit]).output();
    let output = output.map_err(|error| format!("prlimit: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().into()) }
}

/// Whether a device that comes now is in within a second.
async fn can_log_in(gateway: &Gateway) -> bool {
    let token = gateway.token("bob");
    let login = async {
        let stream = TcpStream::connect(gateway.tcp).await.ok()?;
        Raw::on(stream).try_hello(hello(&token, "new")).await
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), login).await, Ok(Some(_)))
}

/// Connects, says nothing, and does it again when it is sent away.
async fn press(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let mut said = [0; 256];
            while matches!(stream.read(&mut said).await, Ok(1..)) {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every live device sends so many messages, one at a time.
async fn talk(live: &mut [Prober], messages: usize, bytes: usize) -> Vec<Attempt> {
    let each = live.iter_mut().map(async |prober| {
        let mut attempts = Vec::new();
        for _ in 0..messages {
            attempts.push(prober.attempt(bytes, ANSWER).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        attempts
    });
    futures::future::join_all(each).await.into_iter().flatten().collect()
}

async fn unhurt(report: &mut Report, name: &str, live: &mut [Prober], attempts: &[Attempt]) {
    let acked = attempts.iter().filter(|attempt| matches!(attempt.answer, Answer::Acked)).count();
    report.exactly(format!("{name}: sends of live devices acknowledged"), acked, attempts.len());
    let first = attempts.iter().find(|attempt| !matches!(attempt.answer, Answer::Acked));
    first.iter().for_each(|attempt| report.note(format!("the first that was not: {:?}", attempt.answer)));
    let times: Vec<Duration> = attempts.iter().map(|attempt| attempt.took).collect();
    report.percentiles(
        &format!("{name}: ack of a live device"),
        &times,
        50.0,
        100.0,
        Some(ANSWER.as_secs_f64()),
    );
    let mut answering = 0;
    for prober in live.iter_mut() {
        answering += usize::from(prober.answers().await);
    }
    report.exactly(format!("{name}: live connections that live on"), answering, LIVE);
}
