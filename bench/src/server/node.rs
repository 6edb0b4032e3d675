//! One process of the gateway, with its configuration and its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{CERTIFICATE, KEY, ServerArgs, free_port};
use crate::access::Access;
use crate::http;
use crate::measure::processors;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Whole,
    Channel,
    Connector,
}

impl Role {
    fn verb(self) -> &'static str {
        match self {
            Role::Whole => "serve",
            Role::Channel => "channel",
            Role::Connector => "connector",
        }
    }
}

pub(super) struct Node {
    role: Role,
    /// Where devices connect; not to a channel node.
    pub device: SocketAddr,
    pub http: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    running: Option<Child>,
    started: Option<Started>,
}

/// How it was started.
#[derive(Clone)]
struct Started {
    binary: PathBuf,
    settings: Vec<String>,
    cpu: Option<usize>,
}

impl Node {
    /// The node with this place among those of a cluster, not started yet.
    pub fn new(
        place: usize,
        role: Role,
        args: &ServerArgs,
        cluster: &str,
        access: &Access,
        data: &Path,
    ) -> anyhow::Result<Node> {
        let file = |kind: &str| data.join(format!("{}-{place}.{kind}", role.verb()));
        let (device, http) = (free_port()?, free_port()?);
        let node =
            Node { role, device, http, config: file("toml"), log: file("log"), running: None, started: None };
        let mut text = node.configuration(&file("data"), access);
        if let Some(zookeeper) = &args.zookeeper {
            // A place of its own: a ZooKeeper path belongs to one cluster.
            text += &format!("[cluster]\nname = \"{cluster}\"\nzookeeper = \"{zookeeper}\"\n");
            text += &format!("zookeeper_path = \"/{cluster}\"\n");
            if role == Role::Channel {
                text += &format!("listen = \"{}\"\n", free_port()?);
            }
        }
        std::fs::write(&node.config, text)?;
        Ok(node)
    }

    pub fn launch(&mut self, binary: &Path, settings: &[String], cpu: Option<usize>) -> anyhow::Result<()> {
        self.started = Some(Started { binary: binary.into(), settings: settings.to_vec(), cpu });
        self.relaunch()
    }

    /// Starts it as it was started before.
    pub fn relaunch(&mut self) -> anyhow::Result<()> {
        let Started { binary, settings, cpu } = self.started.as_ref().context("it never ran")?;
        let mut command = Command::new(binary);
        command.arg(self.role.verb()).arg("--config").arg(&self.config);
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        let log = std::fs::File::create(&self.log)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = processors::spawn_on(*cpu, &mut command);
        self.running = Some(child.with_context(|| format!("cannot start {}", binary.display()))?);
        Ok(())
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            // Failing means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    /// GETs a path of its HTTP port; the whole answer, head included.
    pub fn get(&self, path: &str, trust: Option<&Path>) -> anyhow::Result<String> {
        http::get(self.http, path, trust)
    }

    pub fn wait_ready(&mut self, within: Duration, trust: Option<&Path>) -> anyhow::Result<()> {
        let (until, what) = (Instant::now() + within, self.what());
        while Instant::now() < until {
            let ended = self.running.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("{what} ended with {status}:\n{}", self.log());
            }
            if self.get("/readyz", trust).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{what} was not ready after {within:?}:\n{}", self.log())
    }

    fn what(&self) -> &'static str {
        match self.role {
            Role::Whole => "the gateway",
            Role::Channel => "the channel node",
            Role::Connector => "a connector",
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The load comes from one machine and all at once: the limits on that are lifted, and nothing else.
    fn configuration(&self, data: &Path, access: &Access) -> String {
        let Node { device, http, .. } = self;
        let minter = &access.minter;
        let (quic, tls) = match access.certificate {
            Some(_) => (device.to_string(), format!("[tls]\ncert = \"{CERTIFICATE}\"\nkey = \"{KEY}\"\n")),
            None => (String::new(), String::new()),
        };
        format!(
            r#"
[node]
data_dir = {data:?}
[tcp]
listen = "{device}"
plaintext = "allow"
[quic]
listen = "{quic}"
[http]
listen = "{http}"
{tls}[limits]
accepts_per_second = 1000000
creations_at_once = 1000000
[auth]
issuer = "{}"
audience = "{}"
[[auth.keys]]
kid = "{}"
algorithm = "HS256"
secret = "{}"
"#,
            minter.issuer, minter.audience, minter.kid, minter.secret,
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
