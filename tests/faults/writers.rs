//! Senders and readers of conversations that one or several gateways serve from one store, each as if it were the owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::prober::{Answer, Attempt, Prober};
use crate::report::Report;
use crate::support::device::{Recorder, entry};
use crate::support::fresh_id;
use crate::support::history::{Entry, Event, History};
use crate::support::process::Gateway;
use crate::support::raw::Raw;
use crate::support::room::{open_room, record_log};
use crate::tail::read;

/// Senders of one conversation that stay with one gateway.
const SENDERS: usize = 2;
const BYTES: usize = 64;
/// Between two messages of one device. A gateway that wakes up must not find that a device which has gone elsewhere has sent
/// more than what is remembered of it, 128 messages.
const PACE: Duration = Duration::from_millis(50);
/// Before a message is sent again.
const AGAIN: Duration = Duration::from_millis(30);
/// Everybody comes to rest within this after the faults.
const REST: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A running load.
pub struct Writers {
    recorder: Recorder,
    pub rooms: Vec<String>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// Where the logs of the rooms end, once they do.
    tips: watch::Sender<Vec<u64>>,
    senders: JoinSet<()>,
    readers: JoinSet<()>,
}

/// What all senders share.
struct Shared {
    limit: Duration,
    under_way: Vec<AtomicUsize>,
    heard: Mutex<Vec<Heard>>,
}

/// One attempt to send.
struct Heard {
    /// Which gateway, which room.
    door: usize,
    room: usize,
    attempt: Attempt,
    /// By how much the clock of an ack's owner was ahead.
    ahead_ms: Option<i64>,
}

impl Heard {
    fn is_ack(&self) -> bool {
        matches!(self.attempt.answer, Answer::Acked)
    }

    fn ended(&self) -> Instant {
        self.attempt.at + self.attempt.took
    }
}

impl Writers {
    /// Begins to write to so many rooms through every gateway. An answer is waited for at most `limit`.
    pub async fn start(gateways: &[&Gateway], rooms: usize, limit: Duration) -> Writers {
        let mut load = Writers {
            recorder: Recorder::new(),
            rooms: Vec::new(),
            shared: Arc::new(Shared {
                limit,
                under_way: gateways.iter().map(|_| AtomicUsize::new(0)).collect(),
                heard: Mutex::default(),
            }),
            stop: watch::Sender::new(false),
            tips: watch::Sender::new(Vec::new()),
            senders: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for room in 0..rooms {
            load.rooms.push(open_room(&load.recorder, gateways[room % gateways.len()]).await);
            for door in 0..gateways.len() {
                for n in 0..SENDERS {
                    let user = ["alice", "bob"][door % 2];
                    load.send(gateways, (door, room), user, &format!("{room}-{n}"), false).await;
                }
                load.follow(gateways[door], door, room);
            }
            load.send(gateways, (0, room), "carol", &format!("{room}-wanders"), true).await;
        }
        load
    }

    async fn send(
        &mut self,
        gateways: &[&Gateway],
        (door, room): (usize, usize),
        user: &str,
        name: &str,
        wanders: bool,
    ) {
        let prober = Prober::login_as(&self.recorder, gateways[door], user, name, &self.rooms[room]).await;
        let doors = gateways.iter().map(|gateway| gateway.tcp).collect();
        let writer = Writer { prober, doors, door, room, wanders, shared: self.shared.clone() };
        self.senders.spawn(writer.run(self.stop.subscribe()));
    }

    fn follow(&mut self, gateway: &Gateway, door: usize, room: usize) {
        let (token, installation) = (gateway.token("carol"), format!("reader-{room}-{door}"));
        let place = (gateway.tcp, token, installation);
        let tips = self.tips.subscribe();
        self.readers.spawn(read(self.recorder.clone(), place, self.rooms[room].clone(), room, tips));
    }

    /// Waits until a gateway has acknowledged, in every room, something that was sent after `since`; how long it took from
    /// there. `None` if that does not happen in time.
    pub async fn acks(&self, door: usize, since: Instant, limit: Duration) -> Option<Duration> {
        while since.elapsed() < limit {
            let all = (0..self.rooms.len()).all(|room| self.acked(door, Some(room), since) > 0);
            if all {
                return Some(since.elapsed());
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    /// Acks of what was sent after `since`.
    pub fn acked(&self, door: usize, room: Option<usize>, since: Instant) -> usize {
        let heard = self.shared.heard.lock();
        let of = |h: &&Heard| h.door == door && room.is_none_or(|room| room == h.room) && h.is_ack();
        heard.iter().filter(of).filter(|heard| heard.attempt.at >= since).count()
    }

    /// Requests that a gateway has not answered.
    pub fn under_way(&self, door: usize) -> usize {
        self.shared.under_way[door].load(Ordering::Relaxed)
    }

    /// Shows the attempts through a gateway that began and ended within a time.
    pub fn within<T>(
        &self,
        door: usize,
        from: Instant,
        to: Instant,
        show: impl FnOnce(&[&Attempt]) -> T,
    ) -> T {
        let heard = self.shared.heard.lock();
        let of = |h: &&Heard| h.door == door && h.attempt.at >= from && h.ended() <= to;
        show(&heard.iter().filter(of).map(|heard| &heard.attempt).collect::<Vec<_>>())
    }

    /// How many acks of what was sent after `since` came from an owner whose clock was ahead by something else.
    pub fn with_another_clock(&self, door: usize, since: Instant, ahead_ms: std::ops::Range<i64>) -> usize {
        let heard = self.shared.heard.lock();
        let of = |heard: &&Heard| heard.door == door && heard.attempt.at >= since;
        let acks = heard.iter().filter(of).filter_map(|heard| heard.ahead_ms);
        acks.filter(|ahead| !ahead_ms.contains(ahead)).count()
    }

    /// Ends the load. The logs at its end, as each gateway reads them, are the same.
    pub async fn finish(mut self, report: &mut Report, gateways: &[&Gateway]) -> History {
        self.stop.send_replace(true);
        ended(&mut self.senders, "everything is acknowledged in the end").await;
        let (mut tips, mut differ) = (Vec::new(), 0);
        for room in &self.rooms {
            tips.push(record_log(&self.recorder, gateways[0], room).await);
            let log = self.recorder.with(|history| last_log(history));
            for other in &gateways[1..] {
                let (mut auditor, _) = Raw::login(other, "bob", "auditor").await;
                let read: Vec<Entry> = auditor.sync_all(room, 1).await.iter().map(entry).collect();
                differ += usize::from(read != log);
            }
        }
        report.figure("entries in the logs", tips.iter().sum::<u64>() as f64, "");
        report.exactly("logs that another gateway reads differently", differ, 0);
        self.tips.send_replace(tips);
        ended(&mut self.readers, "the readers see everything").await;
        self.recorder.history()
    }
}

fn last_log(history: &History) -> Vec<Entry> {
    let log = history.events.iter().rev().find_map(|event| match event {
        Event::Final { entries, .. } => Some(entries.clone()),
        _ => None,
    });
    log.expect("it was recorded")
}

async fn ended(tasks: &mut JoinSet<()>, what: &str) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.expect("it does not break off");
        }
    };
    assert!(tokio::time::timeout(REST, all).await.is_ok(), "{what}: not within {REST:?}");
}

/// A device that sends one message after the other, each until it is acknowledged.
struct Writer {
    prober: Prober,
    doors: Vec<std::net::SocketAddr>,
    door: usize,
    room: usize,
    /// Goes to the next gateway where one does not answer or refuses, and sends the same message there.
    wanders: bool,
    shared: Arc<Shared>,
}

impl Writer {
    async fn run(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let id = fresh_id();
            while !self.try_to_send(id).await {
                tokio::time::sleep(AGAIN).await;
                if self.wanders && self.doors.len() > 1 {
                    self.door = (self.door + 1) % self.doors.len();
                    self.prober.go_to(self.doors[self.door]);
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn try_to_send(&mut self, id: crate::support::history::MsgId) -> bool {
        self.shared.under_way[self.door].fetch_add(1, Ordering::Relaxed);
        let attempt = self.prober.attempt_of(id, BYTES, self.shared.limit).await;
        self.shared.under_way[self.door].fetch_sub(1, Ordering::Relaxed);
        let acked = matches!(attempt.answer, Answer::Acked);
        // A repetition's ack does not say when the message was stored.
        let ahead_ms = (acked && self.prober.owner_ms > 0).then(|| self.prober.owner_ms - unix_ms());
        let (door, room) = (self.door, self.room);
        self.shared.heard.lock().push(Heard { door, room, attempt, ahead_ms });
        acked
    }
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
