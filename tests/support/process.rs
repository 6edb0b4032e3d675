//! A gateway process on a directory of its own: started, killed without warning, started again on the same data.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::tokens::{Issuer, KID};
use super::{PATIENCE, http};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");

/// What a test decides about its gateway, as lines `key = value` under `[section]`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: Vec<(&'static str, String)>,
}

impl Settings {
    pub fn new() -> Settings {
        Settings::default()
    }

    /// Sets `section.key` to a TOML value.
    pub fn set(mut self, key: &'static str, value: impl ToString) -> Settings {
        self.values.push((key, value.to_string()));
        self
    }

    /// These and others.
    #[allow(dead_code, reason = "not every test has a cluster")]
    pub fn and(mut self, others: Settings) -> Settings {
        self.values.extend(others.values);
        self
    }

    /// These, but where the others say something else.
    #[allow(dead_code, reason = "not every test has a cluster")]
    pub fn but(mut self, others: Settings) -> Settings {
        self.values.retain(|(key, _)| others.values.iter().all(|(other, _)| other != key));
        self.and(others)
    }

    fn in_section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = String> + 'a {
        let of = move |key: &'a str| key.strip_prefix(section)?.strip_prefix('.');
        self.values.iter().filter_map(move |(key, value)| Some(format!("{} = {value}\n", of(key)?)))
    }
}

/// How a gateway is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `whimbrel serve` with a configuration file.
    Serve,
    /// `whimbrel dev`: QUIC too, and users to sign in as.
    Dev,
    /// `whimbrel connector` and `whimbrel channel`, with a configuration file.
    Connector,
    Channel,
}

/// A running gateway, killed when it is dropped.
pub struct Gateway {
    directory: TempDir,
    mode: Mode,
    child: Option<Child>,
    /// What the program is started by, such as a shell that sets limits.
    prefix: Vec<String>,
    /// Variables it is started with.
    variables: Vec<(&'static str, PathBuf)>,
    /// How often it was started.
    starts: usize,
    pub issuer: Issuer,
    /// Devices over TCP.
    pub tcp: SocketAddr,
    /// WebSocket, the chat page and the probes.
    pub http: SocketAddr,
}

impl Gateway {
    /// A gateway that is ready.
    pub async fn start() -> Gateway {
        Gateway::with(Settings::new()).await
    }

    /// A gateway with these settings that is ready.
    pub async fn with(settings: Settings) -> Gateway {
        let mut gateway = Gateway::prepare(settings);
        gateway.launch().await;
        gateway
    }

    /// A gateway for development, with its users and with QUIC on the port of TCP.
    pub async fn dev() -> Gateway {
        let mut gateway = Gateway::new(Mode::Dev);
        gateway.launch().await;
        gateway.issuer = Issuer::of_dev(&gateway.data());
        gateway
    }

    /// Directory and configuration of a gateway that is not started yet.
    pub fn prepare(settings: Settings) -> Gateway {
        Gateway::configured(Mode::Serve, &Issuer::new(), |_| settings)
    }

    /// Another gateway that takes the same tokens, not started yet.
    #[allow(dead_code, reason = "not every test has two gateways")]
    pub fn prepare_beside(other: &Gateway, settings: Settings) -> Gateway {
        Gateway::configured(Mode::Serve, &other.issuer, |_| settings)
    }

    /// A connector of a cluster that is not started yet; it takes the tokens of this issuer.
    #[allow(dead_code, reason = "not every test has a cluster")]
    pub fn connector(settings: Settings, issuer: &Issuer) -> Gateway {
        Gateway::configured(Mode::Connector, issuer, |_| settings)
    }

    /// The same, with settings that depend on where it takes devices over TCP.
    #[allow(dead_code, reason = "not every test has a cluster")]
    pub fn connector_at(settings: impl FnOnce(SocketAddr) -> Settings, issuer: &Issuer) -> Gateway {
        Gateway::configured(Mode::Connector, issuer, settings)
    }

    /// A channel node of a cluster that is not started yet.
    #[allow(dead_code, reason = "not every test has a cluster")]
    pub fn channel(settings: Settings, issuer: &Issuer) -> Gateway {
        Gateway::configured(Mode::Channel, issuer, |_| settings)
    }

    fn configured(mode: Mode, issuer: &Issuer, settings: impl FnOnce(SocketAddr) -> Settings) -> Gateway {
        let mut gateway = Gateway::new(mode);
        gateway.issuer = issuer.clone();
        let settings = settings(gateway.tcp);
        fs::write(gateway.config(), gateway.config_text(&settings)).unwrap();
        gateway
    }

    fn new(mode: Mode) -> Gateway {
        let directory = TempDir::with_prefix("whimbrel-e2e-").unwrap();
        let (tcp, http) = (free_port(), free_port());
        let (prefix, variables) = (Vec::new(), Vec::new());
        let issuer = Issuer::new();
        Gateway { directory, mode, child: None, prefix, variables, starts: 0, issuer, tcp, http }
    }

    fn config_text(&self, settings: &Settings) -> String {
        let own = [
            ("node", format!("data_dir = {:?}\n", self.data())),
            ("cluster", String::new()),
            ("tcp", format!("listen = \"{}\"\n", self.tcp)),
            ("quic", "listen = \"\"\n".to_owned()),
            ("http", format!("listen = \"{}\"\n", self.http)),
            ("limits", String::new()),
            ("admin", String::new()),
            ("devices", String::new()),
            ("presence", String::new()),
            ("store", String::new()),
            ("cql", String::new()),
            ("log", "level = \"info\"\n".to_owned()),
        ];
        let sections = own.map(|(name, lines)| {
            let chosen: Vec<String> = settings.in_section(name).collect();
            let replaced = |line: &&str| {
                let key = line.split(' ').next().unwrap_or_default();
                !chosen.iter().any(|line| line.starts_with(&format!("{key} ")))
            };
            let kept: String = lines.lines().filter(replaced).map(|line| format!("{line}\n")).collect();
            format!("[{name}]\n{kept}{}", chosen.concat())
        });
        let key = format!("[[auth.keys]]\nkid = \"{KID}\"\nsecret = \"{}\"\n", self.issuer.secret());
        sections.concat() + &key
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("whimbrel.toml")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Everything the process has printed so far, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Starts the process and waits until it is ready.
    pub async fn launch(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Starts the process.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.command();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{PROGRAM}: {error}")));
        self.starts += 1;
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut words = self.prefix.iter().map(String::as_str).chain([PROGRAM]);
        let mut command = Command::new(words.next().unwrap_or(PROGRAM));
        command.args(words).envs(self.variables.iter().map(|(name, value)| (name, value)));
        match self.mode {
            Mode::Serve => command.arg("serve").arg("--config").arg(self.config()),
            Mode::Connector => command.arg("connector").arg("--config").arg(self.config()),
            Mode::Channel => command.arg("channel").arg("--config").arg(self.config()),
            Mode::Dev => command.arg("dev").arg("--data").arg(self.data()).args([
                "--tcp".to_owned(),
                self.tcp.port().to_string(),
                "--http".to_owned(),
                self.http.port().to_string(),
            ]),
        };
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Has the program started by a command that becomes it, such as `ip netns exec NAME`.
    #[allow(dead_code, reason = "not every test has a bad machine")]
    pub fn run_by(&mut self, prefix: Vec<String>) {
        self.prefix = prefix;
    }

    /// Has the program started with a variable.
    #[allow(dead_code, reason = "not every test has a bad machine")]
    pub fn set_env(&mut self, name: &'static str, value: &Path) {
        self.variables.push((name, value.into()));
    }

    /// The process.
    #[allow(dead_code, reason = "not every test measures")]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Waits until the gateway says that it takes devices.
    async fn ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready().await {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log());
            assert!(Instant::now() < deadline, "not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// It has said so, and its probe agrees.
    async fn is_ready(&self) -> bool {
        self.log().matches(" is ready").count() == self.starts
            && http::get(self.http, "/readyz").await.is_ok_and(|answer| answer.status == 200)
    }

    /// Ends the process as a crash does: no handler runs (SIGKILL, to this process alone).
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stalls the process (SIGSTOP): its connections stay, nothing answers.
    #[allow(dead_code, reason = "not every test stalls")]
    pub fn stall(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a stalled process go on (SIGCONT).
    #[allow(dead_code, reason = "not every test stalls")]
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process has a number");
        kill_process(pid, signal).expect("it runs");
    }

    /// Kills it and starts it again on the same data and ports.
    pub async fn crash_and_restart(&mut self) {
        self.kill();
        self.launch().await;
    }

    /// Asks it to stop (SIGTERM) and waits for it.
    pub async fn stop(&mut self) -> ExitStatus {
        let child = self.child.as_ref().expect("it runs");
        let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.ended().await
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = wait(self.child.as_mut().expect("it runs")).await;
        let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", self.log()));
        self.child = None;
        status
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub fn token(&self, user: &str) -> String {
        self.issuer.token(user)
    }

    /// What the SDK connects to over TCP.
    pub fn tcp_url(&self) -> String {
        format!("tcp://{}", self.tcp)
    }

    /// What the SDK connects to over QUIC.
    pub fn quic_url(&self) -> String {
        format!("quic://{}", self.tcp)
    }

    /// The certificate of a development gateway.
    pub fn certificate(&self) -> Vec<u8> {
        fs::read(self.data().join("dev-cert.pem")).unwrap()
    }

    /// What the SDK and browsers connect to over WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.http)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Nothing to do about a process that is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- log of the gateway\n{}", tail(&self.log()));
        }
    }
}

/// Waits for a child to end; `None` if it does not.
pub async fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// The last lines of a text.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A loopback address nobody listens on, TCP and UDP. Below the range from which outgoing connections get their ports, so
/// that none of them takes it while a gateway is down, and never the same twice in one process.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 11_000 + (std::process::id() % 180) as u16 * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// Where what a failed run leaves for people goes.
pub fn artifacts() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-artifacts");
    fs::create_dir_all(&directory).unwrap();
    directory
}
