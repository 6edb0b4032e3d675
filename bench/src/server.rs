//! The gateway under test: `whimbrel serve` in a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use tempfile::TempDir;

use crate::access::Access;
use crate::http;
use crate::measure::processors;
use crate::token::Minter;

/// How long the gateway may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

const CONFIG: &str = "bench.toml";
const LOG: &str = "gateway.log";
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
}

/// A running gateway; stopped and its data removed when dropped.
pub struct Server {
    child: Child,
    pub access: Access,
    data: TempDir,
    binary: PathBuf,
    settings: Vec<String>,
    cpu: Option<usize>,
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
        let (device, http) = (free_port()?, free_port()?);
        let certificate = if secure { Some(certify(data.path())?) } else { None };
        let access = Access {
            devices: vec![device],
            http: vec![http],
            minter: Minter::default(),
            certificate,
            host: "localhost".into(),
        };
        std::fs::write(data.path().join(CONFIG), configuration(data.path(), &access))?;
        let (binary, settings) = (binary(args)?, args.settings.clone());
        let child = spawn(&binary, &settings, cpu, data.path())?;
        let mut server = Server { child, access, data, binary, settings, cpu };
        server.wait_ready()?;
        Ok(server)
    }

    /// Kills the gateway and starts it again on the same data.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.binary, &self.settings, self.cpu, self.data.path())?;
        self.wait_ready()
    }

    /// GETs a path of the HTTP port; the whole answer, head included.
    pub fn get(&self, path: &str) -> anyhow::Result<String> {
        http::get(self.access.http[0], path, self.access.certificate.as_deref())
    }

    /// The process id of the gateway.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_TIMEOUT;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended with {status}:\n{}", self.log());
            }
            if self.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
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

fn spawn(binary: &Path, settings: &[String], cpu: Option<usize>, data: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(data.join(LOG))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(data.join(CONFIG));
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    processors::spawn_on(cpu, &mut command).with_context(|| format!("cannot start {}", binary.display()))
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

/// A port that is free for TCP and UDP.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    loop {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

fn certify(directory: &Path) -> anyhow::Result<PathBuf> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(directory.join(KEY), made.signing_key.serialize_pem())?;
    let certificate = directory.join(CERTIFICATE);
    std::fs::write(&certificate, made.cert.pem())?;
    Ok(certificate)
}

/// The load comes from one machine and all at once: the limits on that are lifted, and nothing else.
fn configuration(data: &Path, access: &Access) -> String {
    let (device, http, minter) = (access.devices[0], access.http[0], &access.minter);
    let (quic, tls) = match access.certificate {
        Some(_) => (device.to_string(), format!("[tls]\ncert = \"{CERTIFICATE}\"\nkey = \"{KEY}\"\n")),
        None => (String::new(), String::new()),
    };
    format!(
        r#"
[node]
data_dir = {:?}
[tcp]
listen = "{device}"
plaintext = "allow"
[quic]
listen = "{quic}"
[http]
listen = "{http}"
{tls}[limits]
accepts_per_second = 1000000
[auth]
issuer = "{}"
audience = "{}"
[[auth.keys]]
kid = "{}"
algorithm = "HS256"
secret = "{}"
"#,
        data.join("store"),
        minter.issuer,
        minter.audience,
        minter.kid,
        minter.secret,
    )
}
