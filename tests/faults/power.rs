//! F10: power loss of the embedded store.
//!
//! The disk holds back a sync, so that what follows the last finished one is written and not acknowledged; then the
//! node is killed, and only bytes behind that point are lost or garbled, as a power loss would.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::Scale;
use crate::prober::{Answer, Prober};
use crate::report::{Report, acked, progress};
use crate::support::checker::{acked_is_durable, check};
use crate::support::device::Recorder;
use crate::support::disk::{Disk, Mode, Synced};
use crate::support::history::History;
use crate::support::process::Gateway;
use crate::support::room::{record_log, room};
use crate::support::soon;

const PROBERS: usize = 4;
/// Bytes of a message: enough that a commit spans several sectors.
const BYTES: usize = 3_000;
const LOADED: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the bytes behind the last sync.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// They had all been written back.
    Nothing,
    /// None had.
    Everything,
    /// The end is missing.
    Tail,
    /// A stretch of it reads as zeros: pages are written back in any order.
    Hole,
    /// The end is other bytes.
    Garbage,
}

const LOSSES: [Loss; 5] = [Loss::Tail, Loss::Hole, Loss::Garbage, Loss::Everything, Loss::Nothing];

pub async fn run(scale: Scale) -> Report {
    let mut report = Report::new();
    let (mut torn, mut recoveries, mut go_on) = (Vec::new(), Vec::new(), 0);
    let losses = scale.pick(LOSSES.len(), 20 * LOSSES.len());
    for round in 0..losses {
        progress(round, losses, "power losses");
        let (loss, stale) = (LOSSES[round % LOSSES.len()], round % 2 == 0);
        let mut node = Node::stalled().await;
        torn.push(node.lose(loss, stale) as f64);
        let started = Instant::now();
        node.gateway.launch().await;
        recoveries.push(started.elapsed());
        record_log(&node.recorder, &node.gateway, &node.room).await;
        let history = node.recorder.history();
        let found = check(&history);
        found.iter().for_each(|violation| report.violation(format!("{loss:?}: {violation}")));
        if round == 0 {
            report.history(&history);
        }
        // It goes on from there.
        let mut prober = Prober::login(&node.recorder, &node.gateway, "after", &node.room).await;
        go_on += usize::from(matches!(prober.attempt(BYTES, PATIENCE).await.answer, Answer::Acked));
    }
    report.exactly("power losses after which appends go on", go_on, losses);
    report.at_least("bytes at risk, least", torn.iter().copied().fold(f64::MAX, f64::min), "bytes", 1.0);
    report.percentiles("restart after the power loss", &recoveries, 50.0, 100.0, None);
    planted(&mut report).await;
    report
}

/// The row itself can fail: where acknowledged bytes are lost, the checker says so if the store cannot.
async fn planted(report: &mut Report) {
    let mut node = Node::stalled().await;
    let last = node.last_sync();
    let early =
        node.disk.syncs().into_iter().rev().find(|sync| sync.what == "synced" && sync.offset < last.offset);
    let early = early.expect("there was more than one commit");
    cut(&early.journal, early.offset);
    node.stale_watermark();
    node.disk.set(Mode::Works);
    node.gateway.launch().await;
    record_log(&node.recorder, &node.gateway, &node.room).await;
    let seen = acked_is_durable(&node.recorder.history());
    report.at_least("planted: an acknowledged commit lost, seen", seen.len() as f64, "", 1.0);
}

/// A node that was killed while its disk held back a sync.
struct Node {
    gateway: Gateway,
    disk: Disk,
    recorder: Recorder,
    room: String,
    /// The watermark as it was some commits before the end.
    watermark: Vec<u8>,
}

impl Node {
    async fn stalled() -> Node {
        let mut gateway = Gateway::prepare(Default::default());
        let disk = Disk::under(&mut gateway);
        gateway.launch().await;
        let (recorder, room) = room(&gateway).await;
        let (stop, stopped) = watch::channel(false);
        let mut probers = JoinSet::new();
        for n in 0..PROBERS {
            let prober = Prober::login(&recorder, &gateway, &format!("prober{n}"), &room).await;
            probers.spawn(send_until(prober, stopped.clone()));
        }
        tokio::time::sleep(LOADED / 2).await;
        let watermark = fs::read(gateway.data().join("store/COMMITTED")).unwrap();
        tokio::time::sleep(LOADED / 2).await;
        disk.set(Mode::Stalls);
        soon("a sync stalls", async {
            while disk.syncs().last().is_none_or(|sync| sync.what != "stalled") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        gateway.kill();
        stop.send_replace(true);
        probers.join_all().await;
        let node = Node { gateway, disk, recorder, room, watermark };
        assert!(acked(&node.history()).count() > PROBERS, "there was load");
        node
    }

    fn history(&self) -> History {
        self.recorder.history()
    }

    /// The last sync that came back.
    fn last_sync(&self) -> Synced {
        self.disk.syncs().into_iter().rev().find(|sync| sync.what == "synced").expect("there were syncs")
    }

    /// Loses bytes behind the last sync; how many there were.
    fn lose(&mut self, loss: Loss, stale: bool) -> u64 {
        let stalled = self.disk.syncs().into_iter().rev().find(|sync| sync.what == "stalled").unwrap();
        let last = self.last_sync();
        // A journal that was begun since has nothing in front of the stalled sync.
        let safe = if last.journal == stalled.journal { last.offset } else { 0 };
        tear(&stalled.journal, safe, stalled.offset, loss);
        if stale {
            self.stale_watermark();
        }
        self.disk.set(Mode::Works);
        stalled.offset - safe
    }

    /// The watermark is not synced with each commit: a power loss may bring back an older one.
    fn stale_watermark(&self) {
        fs::write(self.gateway.data().join("store/COMMITTED"), &self.watermark).unwrap();
    }
}

async fn send_until(mut prober: Prober, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if !matches!(prober.attempt(BYTES, PATIENCE).await.answer, Answer::Acked) {
            return;
        }
    }
}

/// Damages a file within `safe..written`.
fn tear(journal: &Path, safe: u64, written: u64, loss: Loss) {
    let at = rand::random_range(safe..written.max(safe + 1));
    let rest = usize::try_from(written - at).unwrap();
    let file = fs::File::options().write(true).open(journal).unwrap();
    match loss {
        Loss::Nothing => {}
        Loss::Everything => cut(journal, safe),
        Loss::Tail => cut(journal, at),
        Loss::Hole => file.write_all_at(&vec![0; rest.div_ceil(2)], at).unwrap(),
        Loss::Garbage => {
            let bytes: Vec<u8> = (0..rest).map(|_| rand::random()).collect();
            file.write_all_at(&bytes, at).unwrap();
        }
    }
}

/// Everything from `at` on is gone; the file keeps its length, which was synced when it was made.
fn cut(journal: &Path, at: u64) {
    let file = fs::File::options().write(true).open(journal).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(at).unwrap();
    file.set_len(length.max(at)).unwrap();
}
