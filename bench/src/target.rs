//! What is under load: a gateway of our own or a foreign one, the ceiling, or a peer.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::ceiling::process::Running;
use crate::http;
use crate::load::plan::{Speech, Transport};
use crate::measure::processors;
use crate::metrics::Metrics;
use crate::peers::{self, Peer};
use crate::server::{Server, ServerArgs};
use crate::token::Minter;

/// Who is to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The gateway.
    Ours,
    /// Bare epoll sockets.
    Ceiling,
    Mosquitto,
    Nats,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Ours => "ours",
            Who::Ceiling => "ceiling",
            Who::Mosquitto => "mosquitto",
            Who::Nats => "nats",
        }
    }
}

/// Where the gateway is, and who runs on which processor.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    #[command(flatten)]
    pub own: ServerArgs,
    /// Load this server instead of starting one, as HOST:PORT of its device port (its HTTP port with --transport
    /// websocket); repeat it for each node. It has to believe the tokens below
    #[arg(long = "server", value_name = "HOST:PORT")]
    pub servers: Vec<String>,
    /// Process of such a server, if it runs on this machine: its processor time and memory are told then
    #[arg(long = "server-pid", value_name = "PID", requires = "servers")]
    pub pids: Vec<u32>,
    /// Where such a server tells its metrics, as HOST:PORT of its HTTP port
    #[arg(long, value_name = "HOST:PORT", requires = "servers")]
    pub metrics: Option<String>,
    /// PEM file of whom to trust, for such a server over TLS or QUIC
    #[arg(long, value_name = "FILE", requires = "servers")]
    pub certificate: Option<PathBuf>,
    #[command(flatten)]
    pub minter: Minter,
    /// Processor that the server stays on [default: 0 where there are two or more]
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Processor that the load stays on [default: 1 where there are two or more]
    #[arg(long, value_name = "N")]
    pub load_cpu: Option<usize>,
    /// Let server and load run where the system wants
    #[arg(long, conflicts_with_all = ["cpu", "load_cpu"])]
    pub unpinned: bool,
}

impl TargetArgs {
    pub fn server_cpu(&self) -> Option<usize> {
        self.pinned(self.cpu, 0)
    }

    pub fn load_cpu(&self) -> Option<usize> {
        self.pinned(self.load_cpu, 1)
    }

    fn pinned(&self, asked: Option<usize>, default: usize) -> Option<usize> {
        match self.unpinned {
            true => None,
            false => asked.or_else(|| (processors::count() > 1).then_some(default)),
        }
    }

    /// The gateway: a new one, or the foreign one that was named.
    pub fn gateway(&self, transport: Transport) -> anyhow::Result<Target> {
        if self.servers.is_empty() {
            return Ok(Target::Own(Server::start(&self.own, transport.is_secure(), self.server_cpu())?));
        }
        let addresses: Vec<SocketAddr> =
            self.servers.iter().map(|text| resolve(text)).collect::<Result<_, _>>()?;
        let host = self.servers[0].rsplit_once(':').map_or("localhost", |(host, _)| host);
        let access = Access {
            devices: addresses.clone(),
            http: addresses,
            minter: self.minter.clone(),
            certificate: self.certificate.clone(),
            host: host.trim_matches(['[', ']']).to_owned(),
        };
        let metrics = self.metrics.as_deref().map(resolve).transpose()?;
        Ok(Target::Foreign { access, pids: self.pids.clone(), metrics })
    }
}

fn resolve(text: &str) -> anyhow::Result<SocketAddr> {
    let mut found = text.to_socket_addrs().with_context(|| format!("{text} is not HOST:PORT"))?;
    found.next().with_context(|| format!("{text} has no address"))
}

/// Something that takes load.
pub enum Target {
    Own(Server),
    Foreign { access: Access, pids: Vec<u32>, metrics: Option<SocketAddr> },
    Ceiling(Running),
    Peer(Peer),
}

impl Target {
    /// Starts a ceiling's server or a peer.
    pub fn other(who: Who, bytes: usize, args: &TargetArgs) -> anyhow::Result<Target> {
        let cpu = args.server_cpu();
        Ok(match who {
            Who::Ours => bail!("the gateway is started with its transport"),
            Who::Ceiling => {
                let words = ["serve".to_owned(), "--bytes".to_owned(), bytes.to_string()];
                Target::Ceiling(Running::start(&words, cpu)?)
            }
            Who::Mosquitto => Target::Peer(peers::mosquitto::start(cpu)?),
            Who::Nats => Target::Peer(peers::nats::start(cpu)?),
        })
    }

    /// The processes of it, as far as they are known.
    pub fn pids(&self) -> Vec<u32> {
        match self {
            Target::Own(server) => server.pids(),
            Target::Foreign { pids, .. } => pids.clone(),
            Target::Ceiling(running) => vec![running.pid()],
            Target::Peer(peer) => vec![peer.pid()],
        }
    }

    /// How devices get in; the gateway only.
    pub fn access(&self) -> anyhow::Result<&Access> {
        match self {
            Target::Own(server) => Ok(&server.access),
            Target::Foreign { access, .. } => Ok(access),
            Target::Ceiling(_) | Target::Peer(_) => bail!("only the gateway can do this"),
        }
    }

    pub fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        match self {
            Target::Own(server) => server.access.addresses(transport).to_vec(),
            Target::Foreign { access, .. } => access.addresses(transport).to_vec(),
            Target::Ceiling(running) => vec![running.address],
            Target::Peer(peer) => vec![peer.address],
        }
    }

    /// What devices speak to it.
    pub fn speech(&self, transport: Transport, group: &str, qos: u8) -> Speech {
        match self {
            Target::Own(server) => server.access.speech(transport, group),
            Target::Foreign { access, .. } => access.speech(transport, group),
            Target::Ceiling(_) => Speech::Bare,
            Target::Peer(peer) => peer.speech(qos),
        }
    }

    /// What the gateway counts; None where that is not told.
    pub fn metrics(&self) -> Option<Metrics> {
        let answer = match self {
            Target::Own(server) => return server.metrics().ok(),
            Target::Foreign { access, metrics: Some(address), .. } => {
                http::get(*address, "/metrics", access.certificate.as_deref()).ok()?
            }
            _ => return None,
        };
        Metrics::read(&answer).ok()
    }
}
