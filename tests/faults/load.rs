//! Senders and readers in one conversation, whose history is checked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Client, Event as Happened, Since};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::report::acked;
use crate::support::device::{Recorder, Sender, shown};
use crate::support::history::{Event, History};
use crate::support::process::Gateway;
use crate::support::room::{record_log, room};

/// Devices that send, and how many messages of theirs may be unanswered.
const SENDERS: [(&str, &str, usize); 3] =
    [("alice", "phone", 1), ("bob", "phone", 4), ("carol", "laptop", 16)];
const READERS: [&str; 2] = ["bob", "carol"];
/// Time everybody gets to come to rest after the fault.
const REST: Duration = Duration::from_secs(180);

/// A running load.
pub struct Load {
    pub recorder: Recorder,
    pub room: String,
    tip: watch::Sender<u64>,
    progress: Vec<watch::Receiver<Progress>>,
    senders: JoinSet<()>,
    readers: JoinSet<()>,
}

/// How far a reader is.
#[derive(Clone, Copy)]
struct Progress {
    connected: Instant,
    seen: u64,
}

impl Load {
    /// Begins to send so many messages from each sender, through `address`.
    pub async fn start(gateway: &Gateway, address: SocketAddr, messages_each: usize) -> Load {
        let mut load = Load::reading(gateway, address).await;
        load.send(gateway, address, messages_each);
        load
    }

    /// Begins to read through `address` what will be sent.
    pub async fn reading(gateway: &Gateway, address: SocketAddr) -> Load {
        let (recorder, room) = room(gateway).await;
        let (tip, known_tip) = watch::channel(0);
        let mut load = Load {
            recorder,
            room,
            tip,
            progress: Vec::new(),
            senders: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for user in READERS {
            let builder = Client::builder(format!("tcp://{address}")).token(gateway.token(user));
            let client = builder.installation("reader").connect().await.unwrap();
            let (sender, progress) = watch::channel(Progress { connected: Instant::now(), seen: 0 });
            load.progress.push(progress);
            let reader = read(load.recorder.clone(), client, load.room.clone(), known_tip.clone(), sender);
            load.readers.spawn(reader);
        }
        load
    }

    /// Every sender begins to send so many messages.
    pub fn send(&mut self, gateway: &Gateway, address: SocketAddr, messages_each: usize) {
        for (user, installation, pipelined) in SENDERS {
            let sender = Sender::new(&self.recorder, gateway, user, installation, &self.room);
            self.senders.spawn(sender.through(address).run(messages_each, pipelined));
        }
    }

    /// Waits until everything is sent.
    pub async fn sent(&mut self) {
        let ended = tokio::time::timeout(REST, all_of(&mut self.senders)).await;
        ended.expect("all is sent in the end");
    }

    /// Messages all senders send together.
    pub fn total(messages_each: usize) -> u64 {
        (SENDERS.len() * messages_each) as u64
    }

    /// The highest seq acknowledged so far.
    fn acked_tip(&self) -> u64 {
        self.recorder.with(|history| acked(history).max().unwrap_or_default())
    }

    /// Messages that are acknowledged and have not come to every reader.
    pub fn unseen(&self) -> u64 {
        let seen = self.progress.iter().map(|progress| progress.borrow().seen).min();
        self.acked_tip().saturating_sub(seen.unwrap_or_default())
    }

    /// For each reader how long after `fault` it was connected again, and how long after that it had seen everything
    /// acknowledged until then.
    pub async fn readers_back(&self, fault: Instant) -> Vec<(Duration, Duration)> {
        let back = self.progress.iter().map(async |progress| {
            let mut progress = progress.clone();
            let connected = progress.wait_for(|progress| progress.connected > fault).await.unwrap().connected;
            let tip = self.acked_tip();
            progress.wait_for(|progress| progress.seen >= tip).await.unwrap();
            (connected - fault, connected.elapsed())
        });
        let all = tokio::time::timeout(REST, futures::future::join_all(back)).await;
        all.expect("the readers come back and see everything")
    }

    /// Waits until everything is sent and seen; the history with the log at its end.
    pub async fn finish(mut self, gateway: &Gateway) -> History {
        self.sent().await;
        let tip = record_log(&self.recorder, gateway, &self.room).await;
        self.tip.send_replace(tip);
        let ended = tokio::time::timeout(REST, all_of(&mut self.readers)).await;
        ended.expect("the readers see everything");
        self.recorder.history()
    }
}

async fn all_of(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("it does not break off");
    }
}

/// Reads with the SDK and records, until the last seq has been seen.
async fn read(
    recorder: Recorder,
    client: Client,
    room: String,
    mut last: watch::Receiver<u64>,
    progress: watch::Sender<Progress>,
) {
    let (device, user) = (client.device_id(), client.user().to_owned());
    recorder.with(|h| h.push(Event::Follows { device, user, conversation: room.clone(), from: 1 }));
    let mut events = client.events();
    let mut messages = client.conversation(&room).messages(Since::Start);
    loop {
        let (end, seen) = (*last.borrow_and_update(), progress.borrow().seen);
        if end != 0 && seen >= end {
            return recorder.with(|h| h.push(Event::CaughtUp { device, conversation: room.clone() }));
        }
        tokio::select! {
            Ok(()) = last.changed() => {}
            Some(event) = events.next() => if matches!(event, Happened::Connected { .. }) {
                progress.send_modify(|progress| progress.connected = Instant::now());
            },
            message = messages.next() => {
                let message = message.unwrap_or_else(|| panic!("the stream ended: {:?}", messages.ended_because()));
                let entry = shown(&message);
                recorder.with(|h| h.push(Event::Saw { device, conversation: room.clone(), entry }));
                progress.send_modify(|progress| progress.seen = message.seq);
            }
        }
    }
}
