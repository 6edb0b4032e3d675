//! The gateway under test: `whimbrel serve` in a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::token;

/// How long the gateway may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

const CONFIG: &str = "bench.toml";
const LOG: &str = "gateway.log";

/// Which gateway to test.
#[derive(Args)]
pub struct ServerArgs {
    /// The gateway's binary [default: whimbrel beside this program]
    #[arg(long)]
    whimbrel: Option<PathBuf>,
    /// Directory for the store; choose the disk that is to be measured [default: the system's temporary directory]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Pin the gateway to one processor, numbered from 0 (uses taskset)
    #[arg(long)]
    cpu: Option<u32>,
}

/// A running gateway; stopped and its data removed when dropped.
pub struct Server {
    child: Child,
    pub tcp: SocketAddr,
    pub http: SocketAddr,
    data: TempDir,
    binary: PathBuf,
    cpu: Option<u32>,
}

impl Server {
    /// Starts a gateway and waits until it is ready.
    pub async fn start(args: &ServerArgs) -> anyhow::Result<Server> {
        let data = match &args.data {
            Some(parent) => TempDir::new_in(parent),
            None => TempDir::new(),
        }
        .context("no directory for the store")?;
        let (tcp, http) = (free_port()?, free_port()?);
        std::fs::write(data.path().join(CONFIG), configuration(&data, tcp, http))?;
        let binary = binary(args)?;
        let child = spawn(&binary, args.cpu, data.path())?;
        let mut server = Server { child, tcp, http, data, binary, cpu: args.cpu };
        server.wait_ready().await?;
        Ok(server)
    }

    /// Kills the gateway and starts it again on the same data.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.binary, self.cpu, self.data.path())?;
        self.wait_ready().await
    }

    /// GETs a path of the HTTP port; the whole answer, head included.
    pub async fn get(&self, path: &str) -> std::io::Result<String> {
        get(self.http, path).await
    }

    /// The process id of the gateway.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_TIMEOUT;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended with {status}:\n{}", self.log());
            }
            if is_ready(self.http).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the gateway was not ready after {READY_TIMEOUT:?}:\n{}", self.log())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join(LOG)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, cpu: Option<u32>, data: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(data.join(LOG))?;
    let mut command = match cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(cpu.to_string()).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command.arg("serve").arg("--config").arg(data.join(CONFIG));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    child.with_context(|| format!("cannot start {}", binary.display()))
}

fn binary(args: &ServerArgs) -> anyhow::Result<PathBuf> {
    if let Some(binary) = &args.whimbrel {
        return Ok(binary.clone());
    }
    let beside = std::env::current_exe()?.with_file_name("whimbrel");
    if !beside.exists() {
        bail!("{} is not there; build it with: cargo build --release --workspace", beside.display());
    }
    Ok(beside)
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn configuration(data: &TempDir, tcp: SocketAddr, http: SocketAddr) -> String {
    format!(
        r#"
[node]
data_dir = {:?}
[tcp]
listen = "{tcp}"
[quic]
listen = ""
[http]
listen = "{http}"
[auth]
issuer = "{issuer}"
audience = "{audience}"
[[auth.keys]]
kid = "{kid}"
algorithm = "HS256"
secret = "{secret}"
"#,
        data.path().join("store"),
        issuer = token::ISSUER,
        audience = token::AUDIENCE,
        kid = token::KID,
        secret = token::SECRET,
    )
}

async fn is_ready(http: SocketAddr) -> bool {
    get(http, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

async fn get(http: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(http).await?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
