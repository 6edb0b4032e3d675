//! What one generator process is to play.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::token::Minter;

/// How devices reach the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Transport {
    Tcp,
    Websocket,
    Tls,
    Quic,
}

impl Transport {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Websocket => "websocket",
            Transport::Tls => "tls",
            Transport::Quic => "quic",
        }
    }

    /// Whether the server needs a certificate for it.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Quic)
    }
}

/// What a device is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Logs in and is silent.
    Idle,
    /// Says what all listeners hear.
    Speaker,
    Listener,
    /// A listener that logs in and never reads again.
    Stalled,
    /// Of a pair: sends to the receiver with its number.
    Sender,
    Receiver,
    /// Sends into many conversations whose other ends are away.
    Scribe,
    /// Fills a conversation of its own, then reads it.
    Reader,
    /// Tells each idle device of its process something; there is one in every process.
    Caller,
}

/// Devices with the same part, numbered in a row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Crowd {
    pub part: Part,
    pub first: u32,
    pub count: u32,
}

/// What devices speak, and what they need for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Speech {
    Gateway {
        transport: Transport,
        minter: Minter,
        /// PEM of whom to trust; with TLS and QUIC.
        certificate: Option<PathBuf>,
        /// The name in the server's certificate.
        host: String,
        /// The conversation of all listeners.
        group: String,
    },
    /// Bare frames of the payload's size, to the ceiling's server.
    Bare,
    Mqtt {
        qos: u8,
    },
    Nats,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// So many a second in all, whatever has come back: an open loop.
    Rate(f64),
    /// So many unanswered, per sender: a closed loop.
    InFlight(u32),
}

/// What the devices do once all of them are there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Deed {
    /// Nothing.
    Hold,
    /// The speaker says something to all listeners.
    Fanout { pace: Pace, stored: bool },
    /// Listeners hear what the server sends by itself, in batches of so many frames.
    Listen { batch: u64 },
    /// Each sender tells its receiver something.
    Pairs { pace: Pace, stored: bool, accepted: bool },
    /// Each scribe writes into so many conversations in turn.
    Scribes { in_flight: u32, conversations: u32 },
    /// Each reader fills its conversation with so many messages and reads `page` of them from random places.
    Read { pace: Pace, messages: u32, page: u32 },
    /// Each caller tells every idle device of its process something, not stored.
    Call { in_flight: u32 },
}

/// The whole of it, the first line that a generator process reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub speech: Speech,
    /// Devices are spread over them in turn.
    pub addresses: Vec<SocketAddr>,
    pub crowds: Vec<Crowd>,
    pub deed: Deed,
    /// Bytes of each payload.
    pub bytes: usize,
    /// Logins under way at once.
    pub at_once: usize,
    /// The processor it stays on.
    pub cpu: Option<usize>,
}

impl Plan {
    pub fn devices(&self) -> u32 {
        self.crowds.iter().map(|crowd| crowd.count).sum()
    }

    /// The places of a part's devices among all.
    pub fn places(&self, part: Part) -> Range<usize> {
        let mut first = 0;
        for crowd in &self.crowds {
            let end = first + crowd.count as usize;
            if crowd.part == part {
                return first..end;
            }
            first = end;
        }
        0..0
    }

    /// Whether the server tells senders that it has accepted a message.
    pub fn accepts(&self) -> bool {
        match self.speech {
            Speech::Gateway { .. } => true,
            Speech::Mqtt { qos } => qos > 0,
            Speech::Bare => matches!(self.deed, Deed::Pairs { accepted: true, .. }),
            Speech::Nats => false,
        }
    }
}
