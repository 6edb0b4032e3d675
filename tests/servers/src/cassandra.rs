//! A Cassandra cluster of one to three nodes on 127.0.0.1–3.

mod files;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::ServerError;
use crate::guard::Guard;
use crate::java::Java;
use crate::port::Port;

/// How long a node that is up may take to answer the first question of the protocol.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// A node with passwords has made its first role when it says so.
const ROLE_MADE: &str = "Created default superuser role";

/// What a test decides about its cluster.
#[derive(Clone, Debug)]
pub struct CassandraSettings {
    /// One to three.
    pub nodes: u8,
    /// Whether clients must name a user and a password: at first `cassandra` and `cassandra`.
    pub passwords: bool,
    /// How long writes are gathered before they are synced and answered, milliseconds.
    pub sync_window_ms: u32,
    /// How long a node waits for others or for its disk before it answers that it does not know, milliseconds. Longer than
    /// its own default of two seconds, so that a busy machine fails no test.
    pub timeout_ms: u32,
    /// All of Java's compilers, for measurements: starts slower, runs faster.
    pub optimise: bool,
    /// Further lines for cassandra.yaml.
    pub yaml: String,
}

impl Default for CassandraSettings {
    fn default() -> Self {
        CassandraSettings {
            nodes: 1,
            passwords: false,
            sync_window_ms: 1,
            timeout_ms: 10_000,
            optimise: false,
            yaml: String::new(),
        }
    }
}

/// A cluster; it ends with this value. Nodes count from 1, node N listens on 127.0.0.N.
pub struct Cassandra {
    nodes: Vec<Java>,
    native: Port,
    storage: Port,
    passwords: bool,
}

impl Cassandra {
    /// Starts the nodes and waits until all of them take clients and see each other.
    pub async fn start(settings: CassandraSettings) -> Result<Cassandra, ServerError> {
        let guard = Arc::new(Guard::new()?);
        let (native, storage) = (Port::reserve(settings.nodes), Port::reserve(settings.nodes));
        let mut nodes = Vec::new();
        for number in 1..=settings.nodes {
            let node = files::Node { number, native: native.number, storage: storage.number };
            let directory = guard.directory().join(format!("cassandra{number}"));
            files::write(&directory, &node, &settings)?;
            let arguments = files::arguments(&directory, &settings)?;
            nodes.push(Java::new(guard.clone(), format!("cassandra{number}"), arguments));
        }
        let cluster = Cassandra { nodes, native, storage, passwords: settings.passwords };
        // The others ask the first one who is there.
        cluster.restart(1).await?;
        for number in 2..=settings.nodes {
            cluster.node(number).spawn()?;
        }
        for number in 2..=settings.nodes {
            cluster.ready(number).await?;
        }
        for viewer in 1..=settings.nodes {
            cluster.sees(viewer, |other| other != viewer, 0).await?;
        }
        Ok(cluster)
    }

    /// Where clients reach the nodes.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (1..=self.nodes.len() as u8).map(|number| self.address(number)).collect()
    }

    /// Where clients reach one node.
    pub fn address(&self, number: u8) -> SocketAddr {
        address(number, self.native.number)
    }

    /// Ends a node as a crash does.
    pub fn kill(&self, number: u8) -> io::Result<()> {
        self.node(number).kill()
    }

    /// Starts a node that does not run, on its data, and waits until it takes clients, and it and those that run see each
    /// other. None of them may be stalled.
    pub async fn restart(&self, number: u8) -> Result<(), ServerError> {
        let others: Vec<u8> =
            (1..=self.nodes.len() as u8).filter(|&other| self.pid(other).is_some()).collect();
        let before: Vec<usize> = others.iter().map(|&other| self.times_seen(other, number)).collect();
        self.node(number).spawn()?;
        self.ready(number).await?;
        self.sees(number, |other| others.contains(&other), 0).await?;
        for (&viewer, times) in others.iter().zip(before) {
            self.sees(viewer, |other| other == number, times).await?;
        }
        Ok(())
    }

    /// Stalls a node (SIGSTOP): its connections stay, nothing answers.
    pub fn stall(&self, number: u8) -> io::Result<()> {
        self.node(number).stall()
    }

    /// Lets a stalled node go on (SIGCONT).
    pub fn resume(&self, number: u8) -> io::Result<()> {
        self.node(number).resume()
    }

    /// The process of a node, while it runs.
    pub fn pid(&self, number: u8) -> Option<u32> {
        self.node(number).pid()
    }

    /// What a node has printed since its latest start.
    pub fn log(&self, number: u8) -> String {
        self.node(number).log()
    }

    /// Waits until a node has seen some others come up more often than `before`.
    async fn sees(&self, viewer: u8, whom: impl Fn(u8) -> bool, before: usize) -> Result<(), ServerError> {
        let whom: Vec<u8> = (1..=self.nodes.len() as u8).filter(|&other| whom(other)).collect();
        let seen = async || whom.iter().all(|&other| self.times_seen(viewer, other) > before);
        self.node(viewer).ready(seen).await
    }

    /// How often a node says that it has seen another one come up, since its own start.
    fn times_seen(&self, viewer: u8, other: u8) -> usize {
        let line = format!("/{} is now UP", address(other, self.storage.number));
        self.log(viewer).matches(&line).count()
    }

    async fn ready(&self, number: u8) -> Result<(), ServerError> {
        let (address, node) = (self.address(number), self.node(number));
        node.ready(async || answers(address).await.is_ok()).await?;
        // The first node makes the first role, once.
        if self.passwords && number == 1 {
            node.ready(async || node.full_log().contains(ROLE_MADE)).await?;
        }
        Ok(())
    }

    fn node(&self, number: u8) -> &Java {
        &self.nodes[usize::from(number) - 1]
    }
}

fn address(number: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, number), port).into()
}

/// Asks a node for its options, the one question of CQL's protocol that needs no login.
async fn answers(address: SocketAddr) -> io::Result<()> {
    const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
    const SUPPORTED: u8 = 6;
    let ask = async {
        let (mut socket, mut header) = (TcpStream::connect(address).await?, [0; OPTIONS.len()]);
        socket.write_all(&OPTIONS).await?;
        socket.read_exact(&mut header).await?;
        let expected = header[4] == SUPPORTED;
        expected.then_some(()).ok_or_else(|| io::Error::other("something else listens there"))
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await?
}
