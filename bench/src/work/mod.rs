//! Work: who takes which load, and what comes of it.
//!
//! | file | noun |
//! |---|---|
//! | `steady` | traffic over a time: fan-out, pairs, scribes, readers |
//! | `arrival` | logins: idle connections, storms, accepts |
//! | `reach` | devices that stay for long, and are each told something |
//! | `settled` | a run that is repeated where others kept the machine busy |

use std::time::Duration;

use clap::Args;

use crate::load::crew::PER_PROCESS;
use crate::load::plan::{Pace, Transport};
use crate::measure::descriptors;
use crate::measure::figures::Figures;
use crate::target::{TargetArgs, Who};

mod arrival;
mod reach;
pub mod settled;
mod steady;

pub use arrival::{FELL, FIRST_PART};

/// What a load is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// One speaker, many listeners; beside them devices that are idle, and listeners that never read.
    Fanout { listeners: u32, idle: u32, stalled: u32, pace: Pace, stored: bool },
    /// The ceiling's own stream: so many frames a write, to all listeners.
    Stream { listeners: u32, batch: u64 },
    /// Pairs of a sender and a receiver. `acked`: the ceiling's receivers answer each frame.
    Pairs { pairs: u32, pace: Pace, stored: bool, acked: bool },
    /// Senders that write into many conversations each.
    Scribes { scribes: u32, conversations: u32, in_flight: u32 },
    /// Random reads of filled conversations.
    Read { readers: u32, messages: u32, page: u32, pace: Pace },
    /// Connections that do nothing: memory of each.
    Idle { connections: u32 },
    /// Devices that stay for so long and are then told something, each its own: the memory of the whole machine.
    Reach { devices: u32, hold: Duration },
    /// Logins and, of the gateway, resumptions: processor time of each.
    Logins { connections: u32 },
    /// All devices come back at once.
    Storm { devices: u32 },
    /// Bare connections accepted.
    Accepts { connections: u32 },
    /// Appends to a file: so many an fsync, or as many as another run of the same round had.
    Append { batch: u32, formed_by: Option<&'static str> },
}

/// Who takes which load.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    pub who: Who,
    pub transport: Transport,
    /// MQTT's quality of service.
    pub qos: u8,
    pub load: Load,
    /// Longer than usual, where a state has to build up first.
    pub warm_up: Option<Duration>,
    /// It is about a cluster with so many connectors, unless another number is asked for.
    pub connectors: Option<u16>,
}

impl Work {
    pub fn new(who: Who, load: Load) -> Work {
        Work { who, transport: Transport::Tcp, qos: 0, load, warm_up: None, connectors: None }
    }

    /// Connections that the server has to hold.
    fn connections(&self) -> u32 {
        match self.load {
            Load::Fanout { listeners, idle, stalled, .. } => listeners + idle + stalled + 1,
            Load::Stream { listeners, .. } => listeners,
            Load::Pairs { pairs, .. } => 2 * pairs,
            Load::Scribes { scribes, .. } => scribes,
            Load::Read { readers, .. } => readers,
            Load::Idle { connections } => connections,
            Load::Logins { connections } => connections + arrival::WARM_UP,
            Load::Reach { devices, .. } => devices + devices.div_ceil(PER_PROCESS),
            Load::Storm { devices } => devices + 1,
            Load::Accepts { connections } => connections,
            Load::Append { .. } => 0,
        }
    }

    /// The same with every count times `scale`, at least 1 (2 where one would be no crowd).
    pub fn scaled(mut self, scale: f64) -> Work {
        let by = |count: &mut u32, least: u32| {
            if *count > 0 {
                *count = ((f64::from(*count) * scale).round() as u32).max(least);
            }
        };
        match &mut self.load {
            Load::Fanout { listeners, idle, stalled, .. } => {
                by(listeners, 2);
                by(idle, 1);
                by(stalled, 1);
            }
            Load::Stream { listeners, .. } => by(listeners, 2),
            Load::Pairs { pairs, pace, .. } => {
                by(pairs, 2);
                if let Pace::Rate(rate) = pace {
                    *rate = (*rate * scale).max(10.0);
                }
            }
            Load::Scribes { scribes, conversations, .. } => {
                by(scribes, 2);
                by(conversations, 2);
            }
            Load::Read { readers, .. } => by(readers, 1),
            Load::Idle { connections } | Load::Logins { connections } | Load::Accepts { connections } => {
                by(connections, 10);
            }
            Load::Storm { devices } => by(devices, 10),
            Load::Reach { devices, hold } => {
                by(devices, 10);
                *hold = hold.mul_f64(scale.min(1.0)).max(Duration::from_secs(1));
                self.connectors = self.connectors.map(|count| (f64::from(count) * scale).ceil() as u16);
            }
            Load::Append { .. } => {}
        }
        self
    }
}

/// How long, and with what.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Bytes of each message
    #[arg(long, default_value_t = 256)]
    pub bytes: usize,
    /// Seconds that count
    #[arg(long, default_value_t = 5.0, value_name = "S", value_parser = seconds, help_heading = "Phases")]
    pub seconds: f64,
    /// Seconds of traffic before, which do not count
    #[arg(long, default_value_t = 2.0, value_name = "S", value_parser = seconds, help_heading = "Phases")]
    pub warm_up: f64,
    /// Do a run again, at most so often, if something else took more than 20 % of the machine meanwhile
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Phases")]
    pub again: u32,
    #[command(flatten, next_help_heading = "Server and load")]
    pub target: TargetArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds are between 0.1 and 600".into()),
    }
}

impl Work {
    /// Starts whoever takes the load, loads it, and ends it.
    ///
    /// # Errors
    /// If it cannot be started or reached, ends meanwhile, refuses, or loses something. What was counted until then is
    /// in the error's chain.
    pub fn perform(&self, settings: &Settings) -> anyhow::Result<Figures> {
        let mut settings = settings.clone();
        let own = &mut settings.target.own;
        own.connectors = own.connectors.or(self.connectors);
        let (settings, servers) = (&settings, settings.target.own.servers());
        let own_server = self.who != Who::Ours || settings.target.servers.is_empty();
        let own_server = own_server && self.transport != Transport::Quic;
        descriptors::ensure_room(self.connections(), own_server.then_some(servers))?;
        match &self.load {
            Load::Idle { connections } => arrival::idle(self, *connections, settings),
            Load::Reach { devices, hold } => reach::perform(self, *devices, *hold, settings),
            Load::Logins { connections } => arrival::logins(self, *connections, settings),
            Load::Storm { devices } => arrival::storm(self, *devices, settings),
            Load::Accepts { connections } => arrival::accepts(self, *connections, settings),
            Load::Append { batch, .. } => steady::append(*batch, settings),
            _ => steady::perform(self, settings),
        }
    }
}
