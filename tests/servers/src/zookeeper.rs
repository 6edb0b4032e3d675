//! A ZooKeeper server or ensemble.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::ServerError;
use crate::fetched::jars;
use crate::guard::Guard;
use crate::java::Java;
use crate::port::Port;

/// How long a server may take to answer a word.
const WORD_TIMEOUT: Duration = Duration::from_secs(2);

/// The heap is small: tests store little.
const JVM: [&str; 8] = [
    "-Xms32m",
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dzookeeper.admin.enableServer=false",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Djava.net.preferIPv4Stack=true",
];

/// What a test decides about its servers.
#[derive(Clone, Debug)]
pub struct ZooKeeperSettings {
    /// One server, or an ensemble of three.
    pub nodes: u8,
    /// The unit of time of the servers, milliseconds. A lease lasts at least two.
    pub tick_ms: u32,
}

impl Default for ZooKeeperSettings {
    fn default() -> Self {
        ZooKeeperSettings { nodes: 1, tick_ms: 200 }
    }
}

/// A server or an ensemble; it ends with this value. Nodes count from 1.
pub struct ZooKeeper {
    nodes: Vec<Node>,
}

struct Node {
    java: Java,
    client: Port,
    peer: Port,
    election: Port,
}

impl ZooKeeper {
    /// Starts the servers and waits until all of them take clients.
    pub async fn start(settings: ZooKeeperSettings) -> Result<ZooKeeper, ServerError> {
        let guard = Arc::new(Guard::new()?);
        let nodes: Result<Vec<Node>, ServerError> =
            (1..=settings.nodes).map(|number| Node::new(&guard, number, settings.nodes > 1)).collect();
        let servers = ZooKeeper { nodes: nodes? };
        for number in 1..=settings.nodes {
            fs::write(guard.directory().join(format!("zoo{number}.cfg")), servers.config(number, &settings))?;
            servers.node(number).java.spawn()?;
        }
        for number in 1..=settings.nodes {
            servers.ready(number).await?;
        }
        Ok(servers)
    }

    fn config(&self, number: u8, settings: &ZooKeeperSettings) -> String {
        let (tick, port) = (settings.tick_ms, self.node(number).client.number);
        let alone = format!(
            "tickTime={tick}\nminSessionTimeout={}\nmaxSessionTimeout=60000\ndataDir=zoo{number}\n\
             clientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n\
             4lw.commands.whitelist=*\n",
            2 * tick
        );
        if self.nodes.len() == 1 {
            return alone;
        }
        let servers = self.nodes.iter().zip(1..).map(|(node, number)| {
            let (peer, election) = (node.peer.number, node.election.number);
            format!("server.{number}=127.0.0.1:{peer}:{election}:participant\n")
        });
        alone + "standaloneEnabled=false\ninitLimit=25\nsyncLimit=10\n" + &servers.collect::<String>()
    }

    /// What a client connects to: `127.0.0.1:PORT`, with commas between several.
    pub fn connect_string(&self) -> String {
        let addresses: Vec<String> =
            (1..=self.nodes.len() as u8).map(|number| self.address(number)).collect();
        addresses.join(",")
    }

    /// One node's address.
    pub fn address(&self, number: u8) -> String {
        format!("127.0.0.1:{}", self.node(number).client.number)
    }

    /// Ends a node as a crash does.
    pub fn kill(&self, number: u8) -> io::Result<()> {
        self.node(number).java.kill()
    }

    /// Starts a killed node on its data and waits until it takes clients.
    pub async fn restart(&self, number: u8) -> Result<(), ServerError> {
        self.node(number).java.spawn()?;
        self.ready(number).await
    }

    /// Stalls a node (SIGSTOP).
    pub fn stall(&self, number: u8) -> io::Result<()> {
        self.node(number).java.stall()
    }

    /// Lets a stalled node go on.
    pub fn resume(&self, number: u8) -> io::Result<()> {
        self.node(number).java.resume()
    }

    /// The process of a node, while it runs.
    pub fn pid(&self, number: u8) -> Option<u32> {
        self.node(number).java.pid()
    }

    /// What a node has printed since its latest start.
    pub fn log(&self, number: u8) -> String {
        self.node(number).java.log()
    }

    /// The node that leads an ensemble now.
    pub async fn leader(&self) -> Option<u8> {
        for number in 1..=self.nodes.len() as u8 {
            if word(&self.address(number), "srvr").await.is_ok_and(|said| said.contains("Mode: leader")) {
                return Some(number);
            }
        }
        None
    }

    async fn ready(&self, number: u8) -> Result<(), ServerError> {
        let address = self.address(number);
        // A server of an ensemble says its mode once it has joined a majority.
        let probe = async || word(&address, "srvr").await.is_ok_and(|said| said.contains("Mode: "));
        self.node(number).java.ready(probe).await
    }

    fn node(&self, number: u8) -> &Node {
        &self.nodes[usize::from(number) - 1]
    }
}

impl Node {
    fn new(guard: &Arc<Guard>, number: u8, in_ensemble: bool) -> Result<Node, ServerError> {
        let data = guard.directory().join(format!("zoo{number}"));
        fs::create_dir(&data)?;
        fs::write(data.join("myid"), number.to_string())?;
        fs::write(guard.directory().join("logback.xml"), crate::java::LOGBACK)?;
        let main = match in_ensemble {
            true => "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            false => "org.apache.zookeeper.server.ZooKeeperServerMain",
        };
        let logging = "-Dlogback.configurationFile=logback.xml";
        let path = format!("{}/*", jars()?.display());
        let config = format!("zoo{number}.cfg");
        let arguments = JVM.into_iter().chain([logging, "-cp", &path, main, &config]);
        let java =
            Java::new(guard.clone(), format!("zookeeper{number}"), arguments.map(str::to_owned).collect());
        let [client, peer, election] = [(); 3].map(|()| Port::reserve(1));
        Ok(Node { java, client, peer, election })
    }
}

/// Says one of the four-letter words to a server and returns its answer.
///
/// # Errors
/// The server does not run, or does not answer within two seconds.
pub async fn word(address: &str, word: &str) -> io::Result<String> {
    let ask = async {
        let (mut socket, mut answer) = (TcpStream::connect(address).await?, String::new());
        socket.write_all(word.as_bytes()).await?;
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(WORD_TIMEOUT, ask).await?
}
