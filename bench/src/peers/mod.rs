//! Peers: other servers, as Debian packages them, each started on a free port with a configuration of its own.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::load::plan::Speech;
use crate::measure::processors;

pub mod mosquitto;
pub mod nats;

const READY_TIMEOUT: Duration = Duration::from_secs(10);
const LOG: &str = "peer.log";

/// What to speak to it.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Mqtt,
    Nats,
}

/// A running peer; ended when dropped.
pub struct Peer {
    child: Child,
    pub address: SocketAddr,
    protocol: Protocol,
    _directory: TempDir,
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn speech(&self, qos: u8) -> Speech {
        match self.protocol {
            Protocol::Mqtt => Speech::Mqtt { qos },
            Protocol::Nats => Speech::Nats,
        }
    }

    /// Starts a program, found by its name in the usual places, and waits until it takes connections.
    fn start(
        program: &str,
        words: &[&str],
        configuration: (&str, String),
        address: SocketAddr,
        protocol: Protocol,
        cpu: Option<usize>,
    ) -> anyhow::Result<Peer> {
        let directory = TempDir::new()?;
        let (name, text) = configuration;
        std::fs::write(directory.path().join(name), text)?;
        let log = directory.path().join(LOG);
        let mut command = Command::new(find(program)?);
        command.args(words).arg(directory.path().join(name)).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let child =
            processors::spawn_on(cpu, &mut command).with_context(|| format!("cannot start {program}"))?;
        let mut peer = Peer { child, address, protocol, _directory: directory };
        let until = Instant::now() + READY_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = peer.child.try_wait()? {
                bail!("{program} ended with {status}:\n{}", said());
            }
            if Instant::now() > until {
                bail!("{program} was not ready after {READY_TIMEOUT:?}:\n{}", said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a program lies: packages put servers where a user's PATH need not look.
///
/// # Errors
/// How to get it, if it is nowhere.
pub fn find(program: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(std::path::PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(more).map(|place| place.join(program));
    places
        .find(|place| place.is_file())
        .with_context(|| format!("{program} is missing: apt-get install {program}"))
}
