//! Devices that send and read while nodes restart.

use std::time::Duration;

use client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::nodes::Nodes;
use crate::support::device::{Recorder, Sender, watch_until};
use crate::support::history::History;
use crate::support::room::{MEMBERS, open_room, record_log};

const ROOMS: usize = 3;
/// Between two messages of one device.
const PAUSE: Duration = Duration::from_millis(40);
/// Everybody comes to rest within this.
const REST: Duration = Duration::from_secs(120);

/// A running load.
pub struct Load {
    recorder: Recorder,
    rooms: Vec<(String, watch::Sender<u64>)>,
    stop: watch::Sender<bool>,
    senders: JoinSet<usize>,
    readers: JoinSet<()>,
}

impl Load {
    pub async fn start(nodes: &Nodes) -> Load {
        let mut load = Load {
            recorder: Recorder::new(),
            rooms: Vec::new(),
            stop: watch::Sender::new(false),
            senders: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for number in 0..ROOMS {
            let room = open_room(&load.recorder, &nodes.connectors[0]).await;
            let (tip, known_tip) = watch::channel(0);
            for user in MEMBERS {
                let sender =
                    Sender::new(&load.recorder, &nodes.connectors[0], user, &format!("s{number}"), &room);
                let sender = sender.through(nodes.balancer.address);
                load.senders.spawn(sender.run_until(load.stop.subscribe(), PAUSE));
                let builder = Client::builder(nodes.balancer.url()).token(nodes.issuer.token(user));
                let reader = builder.installation(format!("r{number}")).connect().await.expect("it gets in");
                let watching = watch_until(load.recorder.clone(), reader, room.clone(), known_tip.clone());
                load.readers.spawn(async move { drop(watching.await) });
            }
            load.rooms.push((room, tip));
        }
        load
    }

    /// Waits until so many more sends are acknowledged.
    pub async fn goes_on(&self, more: u64) {
        self.recorder.more_acked(more).await;
    }

    /// Ends the sending, waits until everybody has seen everything; how many were sent, and the history.
    pub async fn finish(mut self, nodes: &Nodes) -> (usize, History) {
        self.stop.send_replace(true);
        let sent = ended(&mut self.senders, "everything is acknowledged in the end").await.into_iter().sum();
        for (room, tip) in &self.rooms {
            tip.send_replace(record_log(&self.recorder, &nodes.connectors[0], room).await);
        }
        ended(&mut self.readers, "the readers see everything").await;
        (sent, self.recorder.history())
    }
}

async fn ended<T: 'static>(tasks: &mut JoinSet<T>, what: &str) -> Vec<T> {
    let all = async {
        let mut ended = Vec::new();
        while let Some(task) = tasks.join_next().await {
            ended.push(task.expect("it does not break off"));
        }
        ended
    };
    tokio::time::timeout(REST, all).await.unwrap_or_else(|_| panic!("{what}: not within {REST:?}"))
}
