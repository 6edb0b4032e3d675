//! The gateway under test: `whimbrel serve` in a process of its own, or the nodes of a cluster in one each.

mod node;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tempfile::TempDir;

use self::node::{Node, Role};
use crate::access::Access;
use crate::metrics::Metrics;
use crate::token::Minter;

/// How long one gateway may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// And each node of a cluster: those that come back wait for the leases of those that they were.
const NODE_READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where servers listen.
const PORTS: Range<u16> = 12_000..32_000;

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// The gateway that a verb starts by itself.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArgs {
    /// The gateway's binary [default: whimbrel beside this program]
    #[arg(long)]
    pub whimbrel: Option<PathBuf>,
    /// Directory for the store; choose the disk that is to be measured [default: the system's temporary directory]
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// A setting of the gateway, such as limits.outbox_bytes=65536; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// In place of one gateway: a cluster of a channel node and connectors, which meet on this ZooKeeper
    #[arg(long, value_name = "HOST:PORT")]
    pub zookeeper: Option<String>,
    /// How many connectors such a cluster has [default: 1]
    #[arg(long, value_name = "N", requires = "zookeeper", value_parser = clap::value_parser!(u16).range(1..))]
    pub connectors: Option<u16>,
}

impl ServerArgs {
    /// Processes that devices connect to.
    pub fn servers(&self) -> u32 {
        self.zookeeper.as_ref().map_or(1, |_| self.connectors.unwrap_or(1).into())
    }
}

/// A running gateway; stopped and its data removed when dropped.
pub struct Server {
    nodes: Vec<Node>,
    pub access: Access,
    data: TempDir,
}

impl Server {
    /// Starts a gateway and waits until it is ready. A `secure` one takes TLS and QUIC, too, but no WebSocket without
    /// TLS.
    ///
    /// # Errors
    /// If there is no binary, or it ends or is not ready in time; its log is in the error.
    pub fn start(args: &ServerArgs, secure: bool, cpu: Option<usize>) -> anyhow::Result<Server> {
        let data = match &args.data {
            Some(parent) => TempDir::new_in(parent),
            None => TempDir::new(),
        };
        let data = data.context("no directory for the store")?;
        let certificate = if secure { Some(certify(data.path())?) } else { None };
        let minter = Minter::default();
        let (devices, http) = (Vec::new(), Vec::new());
        let access = Access { devices, http, minter, certificate, host: "localhost".into() };
        let mut server = Server { nodes: Vec::new(), access, data };
        let cluster = format!("bench-{:08x}", rand::random::<u32>());
        for role in roles(args) {
            let node =
                Node::new(server.nodes.len(), role, args, &cluster, &server.access, server.data.path())?;
            if role != Role::Channel {
                server.access.devices.push(node.device);
                server.access.http.push(node.http);
            }
            server.nodes.push(node);
        }
        let binary = binary(args)?;
        for node in &mut server.nodes {
            node.launch(&binary, &args.settings, cpu)?;
        }
        server.wait_ready()?;
        Ok(server)
    }

    /// Kills the gateway and starts it again on the same data.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.kill();
        }
        for node in &mut self.nodes {
            node.relaunch()?;
        }
        self.wait_ready()
    }

    /// What all nodes have counted.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        let trust = self.access.certificate.as_deref();
        self.nodes.iter().map(|node| Metrics::read(&node.get("/metrics", trust)?)).sum()
    }

    /// The processes of the gateway.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::pid).collect()
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let trust = self.access.certificate.as_deref();
        let within = if self.nodes.len() == 1 { READY_TIMEOUT } else { NODE_READY_TIMEOUT };
        self.nodes.iter_mut().try_for_each(|node| node.wait_ready(within, trust))
    }
}

fn roles(args: &ServerArgs) -> Vec<Role> {
    match args.zookeeper {
        None => vec![Role::Whole],
        Some(_) => {
            let connectors = std::iter::repeat_n(Role::Connector, args.servers() as usize);
            std::iter::once(Role::Channel).chain(connectors).collect()
        }
    }
}

fn binary(args: &ServerArgs) -> anyhow::Result<PathBuf> {
    let binary = match &args.whimbrel {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("whimbrel"),
    };
    if !binary.exists() {
        bail!("{} is not there; build it with: cargo build --release --workspace", binary.display());
    }
    Ok(binary)
}

/// A port that is free for TCP and UDP, another one each time. It is below those that connections are given by the
/// system, so that none of them has it before whoever is to listen there.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    static FIRST: LazyLock<u16> = LazyLock::new(rand::random);
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    for _ in PORTS {
        let nth = FIRST.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + nth % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end)
}

fn certify(directory: &Path) -> anyhow::Result<PathBuf> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(directory.join(KEY), made.signing_key.serialize_pem())?;
    let certificate = directory.join(CERTIFICATE);
    std::fs::write(&certificate, made.cert.pem())?;
    Ok(certificate)
}
