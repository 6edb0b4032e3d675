//! The verbs, and what each of them does.

use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};

use super::{Common, PaceArgs};
use crate::load::plan::Pace;
use crate::target::Who;
use crate::work::{Load, Work};

#[derive(Args, Clone, Debug)]
pub struct Idle {
    /// How many connections; memory is measured from the first third of them on
    #[arg(long, default_value_t = 15_000)]
    pub connections: u32,
    /// Stored pushes that each connection gets and does not acknowledge. Its memory is measured before and after them
    #[arg(long, default_value_t = 0)]
    pub unacked: usize,
    /// Hold the connections for so many seconds of heartbeats, then tell each of them something: the memory of the whole
    /// machine, and whether everybody is reached
    #[arg(long, value_name = "S", conflicts_with = "unacked", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub hold: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}

impl Idle {
    pub fn run(self) -> anyhow::Result<()> {
        match (self.unacked, self.hold) {
            (0, None) => self.common.run("idle", Load::Idle { connections: self.connections }),
            (0, Some(hold)) => {
                let hold = Duration::from_secs(hold);
                self.common.run("idle", Load::Reach { devices: self.connections, hold })
            }
            _ => super::unacked::run(&self),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct Fanout {
    /// Devices that hear what is said
    #[arg(long, default_value_t = 1_000)]
    receivers: u32,
    /// Idle devices beside them, who are in no conversation
    #[arg(long, default_value_t = 0)]
    idle: u32,
    /// Devices of the conversation that log in and never read
    #[arg(long, default_value_t = 0)]
    stalled: u32,
    /// Store each message before it is delivered
    #[arg(long)]
    stored: bool,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    common: Common,
}

impl Fanout {
    pub fn run(self) -> anyhow::Result<()> {
        let Fanout { receivers: listeners, idle, stalled, stored, .. } = self;
        ensure!(listeners > 0, "somebody has to hear it: --receivers is at least 1");
        let pace = self.pace.pace()?;
        self.common.run("fanout", Load::Fanout { listeners, idle, stalled, pace, stored })
    }
}

#[derive(Args, Clone, Debug)]
pub struct Chat {
    /// How many pairs of a sender and a receiver
    #[arg(long, default_value_t = 100)]
    pairs: u32,
    /// Deliver without storing
    #[arg(long)]
    no_store: bool,
    /// In place of pairs: 100 senders that write into so many conversations whose other ends are away
    #[arg(long, value_name = "N", conflicts_with = "no_store")]
    conversations: Option<u32>,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    common: Common,
}

impl Chat {
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(self.pairs > 0, "--pairs is at least 1");
        let pace = self.pace.pace()?;
        let load = match (self.conversations, pace) {
            (Some(conversations), Pace::InFlight(in_flight)) => {
                Load::Scribes { scribes: self.pairs, conversations, in_flight }
            }
            (Some(_), Pace::Rate(_)) => {
                bail!("--conversations is a closed loop: give --in-flight, not --rate")
            }
            (None, pace) => Load::Pairs { pairs: self.pairs, pace, stored: !self.no_store, acked: true },
        };
        self.common.run("chat", load)
    }
}

#[derive(Args, Clone, Debug)]
pub struct History {
    /// Devices that read, each a conversation of its own
    #[arg(long, default_value_t = 100)]
    readers: u32,
    /// Messages that each conversation is filled with
    #[arg(long, default_value_t = 1_000)]
    messages: u32,
    /// Messages of one read
    #[arg(long, default_value_t = 50)]
    page: u32,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    common: Common,
}

impl History {
    pub fn run(self) -> anyhow::Result<()> {
        let History { readers, messages, page, .. } = self;
        ensure!(readers > 0 && messages > 0, "--readers and --messages are at least 1");
        ensure!(
            (1..=messages.min(256)).contains(&page),
            "--page is at least 1, at most 256 and at most --messages"
        );
        let pace = self.pace.pace()?;
        self.common.run("history", Load::Read { readers, messages, page, pace })
    }
}

#[derive(Args, Clone, Debug)]
pub struct Storm {
    /// How many devices
    #[arg(long, default_value_t = 15_000)]
    devices: u32,
    #[command(flatten)]
    common: Common,
}

impl Storm {
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(self.devices > 0, "--devices is at least 1");
        self.common.run("storm", Load::Storm { devices: self.devices })
    }
}

/// Sizes for the traffic that ceiling and peers are measured with.
#[derive(Args, Clone, Debug)]
pub struct Sizes {
    /// Receivers of a fan-out
    #[arg(long, default_value_t = 1_000)]
    receivers: u32,
    /// Pairs
    #[arg(long, default_value_t = 100)]
    pairs: u32,
    /// Messages a second for pairs, beside the closed loop
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Connections for logins, accepts and memory
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    #[command(flatten)]
    common: Common,
}

impl Sizes {
    fn fanout(&self, window: u32) -> Load {
        let pace = Pace::InFlight(window);
        Load::Fanout { listeners: self.receivers, idle: 0, stalled: 0, pace, stored: false }
    }

    fn pairs(&self, pace: Pace, acked: bool) -> Load {
        Load::Pairs { pairs: self.pairs, pace, stored: false, acked }
    }
}

#[derive(Args, Clone, Debug)]
pub struct Ceiling {
    /// Records of one fsync
    #[arg(long, default_value_t = 64)]
    batch: u32,
    #[command(flatten)]
    sizes: Sizes,
}

impl Ceiling {
    pub fn run(self) -> anyhow::Result<()> {
        let Ceiling { batch, sizes } = self;
        let rate = Pace::Rate(sizes.rate);
        let loads = [
            ("fan-out, lockstep", sizes.fanout(1)),
            ("stream, single", Load::Stream { listeners: sizes.receivers, batch: 1 }),
            ("stream, 32 a write", Load::Stream { listeners: sizes.receivers, batch: 32 }),
            ("relay", sizes.pairs(Pace::InFlight(1), false)),
            ("relay with ack", sizes.pairs(Pace::InFlight(1), true)),
            ("relay with ack, rate", sizes.pairs(rate, true)),
            ("accepts", Load::Accepts { connections: sizes.connections }),
            ("idle sockets", Load::Idle { connections: sizes.connections }),
            ("appends", Load::Append { batch, formed_by: None }),
        ];
        let works = loads.map(|(label, load)| (label.to_owned(), Work::new(Who::Ceiling, load)));
        sizes.common.rounds_of(&works)
    }
}

/// A peer to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PeerName {
    Mosquitto,
    Nats,
}

#[derive(Args, Clone, Debug)]
pub struct Peers {
    /// Which ones
    #[arg(long, value_enum, value_delimiter = ',', default_value = "mosquitto,nats")]
    peers: Vec<PeerName>,
    #[command(flatten)]
    sizes: Sizes,
}

impl Peers {
    pub fn run(self) -> anyhow::Result<()> {
        let mut works = Vec::new();
        for peer in &self.peers {
            let who = match peer {
                PeerName::Mosquitto => Who::Mosquitto,
                PeerName::Nats => Who::Nats,
            };
            works.extend(self.works(who));
        }
        self.sizes.common.rounds_of(&works)
    }

    fn works(&self, who: Who) -> Vec<(String, Work)> {
        let sizes = &self.sizes;
        let closed = sizes.pairs(Pace::InFlight(1), false);
        let mut loads = vec![
            ("fan-out, 1 in flight", 0, sizes.fanout(1)),
            ("fan-out, 64 in flight", 0, sizes.fanout(64)),
            ("pairs", 0, closed.clone()),
            ("pairs, rate", 0, sizes.pairs(Pace::Rate(sizes.rate), false)),
            ("idle", 0, Load::Idle { connections: sizes.connections }),
        ];
        if who == Who::Mosquitto {
            loads.push(("pairs, QoS 1", 1, closed));
        }
        let label = |load: &str| format!("{} {load}", who.name());
        loads
            .into_iter()
            .map(|(name, qos, load)| (label(name), Work { qos, ..Work::new(who, load) }))
            .collect()
    }
}
