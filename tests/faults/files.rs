//! F12: the node has no file descriptors left.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::args::Scale;
use crate::load::{record_log, room};
use crate::prober::{Answer, Attempt, Prober};
use crate::report::Report;
use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, hello};
use crate::support::soon;
use crate::support::usage::{cpu_percent, open_files};

/// File descriptors of the node; its own and those of the live devices fit well.
const FILES: usize = 128;
const LIVE: usize = 8;
/// Connections that want in, and come again when they are sent away.
const HOGS: usize = 400;
/// Of one processor, while nobody talks.
const CPU_PERCENT: f64 = 20.0;
const BYTES: usize = 32 * 1024;
/// A live device has its ack within this, out of files or not.
const ANSWER: Duration = Duration::from_secs(2);
/// A new device can log in so soon after the files are free.
const RECOVERY: Duration = Duration::from_secs(10);

pub async fn run(scale: Scale) -> Report {
    let mut report = Report::new();
    // Small, so that tables are written while there are no files: that needs some.
    let mut gateway = Gateway::prepare(Settings::new().set("store.memtable_bytes", 1 << 20));
    let limited = format!("ulimit -n {FILES}; exec \"$0\" \"$@\"");
    gateway.run_by(vec!["sh".into(), "-c".into(), limited]);
    gateway.launch().await;
    let (recorder, room) = room(&gateway).await;
    let mut live = Vec::new();
    for n in 0..LIVE {
        live.push(Prober::login(&recorder, &gateway, &format!("live{n}"), &room).await);
    }
    report.figure("files open before", open_files(gateway.pid()) as f64, "");
    let mut hogs = JoinSet::new();
    for _ in 0..HOGS {
        hogs.spawn(press(gateway.tcp));
    }
    soon("the files run out", async {
        while !gateway.log().contains("accept failed") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    report.at_least("files open at the worst", open_files(gateway.pid()) as f64, "", FILES as f64 - 2.0);
    let idle = cpu_percent(gateway.pid(), scale.pick(Duration::from_secs(6), Duration::from_secs(60))).await;
    report.at_most("processor while nobody talks", idle, "%", CPU_PERCENT);
    let attempts = talk(&mut live, scale.pick(25, 200)).await;
    unhurt(&mut report, &mut live, &attempts).await;
    report.at_least("accepts that failed", gateway.log().matches("accept failed").count() as f64, "", 10.0);
    hogs.abort_all();
    let freed = Instant::now();
    let token = gateway.token("bob");
    let back = tokio::time::timeout(2 * RECOVERY, async {
        while Raw::connect(gateway.tcp).await.try_hello(hello(&token, "new")).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    _ = back.await;
    let limit = RECOVERY.as_secs_f64();
    report.at_most("a new device logs in after they are free", freed.elapsed().as_secs_f64(), "s", limit);
    record_log(&recorder, &gateway, &room).await;
    report.history(&recorder.history());
    report
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
async fn talk(live: &mut [Prober], messages: usize) -> Vec<Attempt> {
    let each = live.iter_mut().map(async |prober| {
        let mut attempts = Vec::new();
        for _ in 0..messages {
            attempts.push(prober.attempt(BYTES, ANSWER).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        attempts
    });
    futures::future::join_all(each).await.into_iter().flatten().collect()
}

async fn unhurt(report: &mut Report, live: &mut [Prober], attempts: &[Attempt]) {
    let acked = attempts.iter().filter(|attempt| matches!(attempt.answer, Answer::Acked)).count();
    report.exactly("sends of live devices acknowledged", acked, attempts.len());
    let first = attempts.iter().find(|attempt| !matches!(attempt.answer, Answer::Acked));
    first.iter().for_each(|attempt| report.note(format!("the first that was not: {:?}", attempt.answer)));
    let times: Vec<Duration> = attempts.iter().map(|attempt| attempt.took).collect();
    report.percentiles("ack of a live device", &times, 50.0, 100.0, Some(ANSWER.as_secs_f64()));
    let mut answering = 0;
    for prober in live.iter_mut() {
        answering += usize::from(prober.answers().await);
    }
    report.exactly("live connections that live on", answering, LIVE);
}
