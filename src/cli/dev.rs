//! `whimbrel dev`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use connector::auth::Verifier;
use idgen::{Clock, SystemClock};

use super::check_config::{read, refuse};
use super::run::{Stop, runtime, until_stopped};
use super::settings::Settings;
use super::terminal::say;
use crate::config::{Config, Loaded, Problem, Sources, load, validate};
use crate::dev_data::{self, Addresses, DEFAULT_DIR, DevData};
use crate::gateway::{Gateway, GatewayError, GatewayParts};
use crate::store::StoreOpenError;
use crate::{http, telemetry};

const EXAMPLES: &str = "\
Examples:
  whimbrel dev        then open http://localhost:7480
  whimbrel dev --data /tmp/w --tcp 0 --http 0
                      a second one, on free ports

Everything is on 127.0.0.1 and in one directory; remove the directory to start
afresh.";

/// Run everything on this machine, with users to try it.
///
/// Makes a data directory, a secret, a certificate for QUIC, the tenant `demo` with alice, bob, ada (an agent) and
/// vera (a visitor), and two conversations. For development: whoever reaches it may sign in as any of them.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Dev {
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    data: PathBuf,
    /// Port for TCP and, on UDP, for QUIC; 0 takes free ones
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,
    /// Port for the page and WebSockets; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,
    #[command(flatten)]
    settings: Settings,
}

impl Dev {
    pub fn run(self) -> anyhow::Result<()> {
        let (loaded, mut problems) = self.load()?;
        // A level that is none is among the problems below.
        _ = telemetry::start(&loaded.config.log.level, loaded.config.log.format);
        problems.extend(validate::validate_dev(&loaded));
        refuse(problems)?;
        runtime(&loaded.config)?.block_on(self.serve(&loaded.config))
    }

    fn load(&self) -> anyhow::Result<(Loaded, Vec<Problem>)> {
        let mut flags = vec![("--data", "node.data_dir", self.data.display().to_string())];
        if let Some(port) = self.tcp {
            flags.push(("--tcp", "tcp.listen", format!("127.0.0.1:{port}")));
            flags.push(("--tcp", "quic.listen", format!("127.0.0.1:{port}")));
        }
        if let Some(port) = self.http {
            flags.push(("--http", "http.listen", format!("127.0.0.1:{port}")));
        }
        let flags = self.settings.flags(flags);
        read(&Sources { file: None, environment: load::environment(), flags })
    }

    async fn serve(&self, config: &Config) -> anyhow::Result<()> {
        let mut stop = Stop::listen()?;
        let data = Arc::new(DevData::create(&self.data)?);
        let parts = GatewayParts {
            config: config.clone(),
            verifier: Verifier::new(data.auth())?,
            tls: None,
            quic: Some(data.certificate()?),
            seed: true,
            pages: http::dev_router(data.clone()),
        };
        let gateway = Gateway::start(parts).await.map_err(|error| with_fix(error, data.addresses()))?;
        let addresses = gateway.addresses();
        data.put_addresses(&addresses)?;
        say(&block(&self.data, &data, &addresses)?)?;
        until_stopped(gateway, &mut stop, config).await;
        Ok(())
    }
}

// `last` is where the directory's gateway listens or listened last.
fn with_fix(error: GatewayError, last: Option<Addresses>) -> anyhow::Error {
    let fix = match &error {
        GatewayError::Listen { port: "HTTP", .. } => {
            "stop it or choose another port with --http PORT".to_owned()
        }
        GatewayError::Listen { .. } => "stop it or choose another port with --tcp PORT".to_owned(),
        GatewayError::Store(StoreOpenError::Embedded(storage::embedded::OpenError::Locked { .. })) => {
            let page = last
                .and_then(|last| last.http)
                .map(|at| format!(" (its page is http://localhost:{})", at.port()));
            format!("stop it{} or choose another directory with --data DIR", page.unwrap_or_default())
        }
        _ => return error.into(),
    };
    anyhow!("{error}; {fix}")
}

// What to do next, ready to be copied.
fn block(dir: &Path, data: &DevData, addresses: &Addresses) -> anyhow::Result<String> {
    let now_s = SystemClock.unix_millis() / 1000;
    let shown = |address: Option<std::net::SocketAddr>| address.map_or("off".to_owned(), |at| at.to_string());
    let page = addresses.http.map_or("off".to_owned(), |at| format!("http://localhost:{}", at.port()));
    let command = command();
    let data_flag =
        if dir == Path::new(DEFAULT_DIR) { String::new() } else { format!(" --data {}", quoted(dir)) };
    let mut lines = vec![
        format!("whimbrel {} is ready", env!("CARGO_PKG_VERSION")),
        String::new(),
        format!("  page   {page}"),
        format!("  TCP    {}", shown(addresses.tcp)),
        format!("  QUIC   {} (certificate {})", shown(addresses.quic), data.certificate_path().display()),
        format!("  HTTP   {} (WebSocket /v1/ws, /healthz, /readyz, /metrics)", shown(addresses.http)),
        format!("  data   {}", std::fs::canonicalize(dir)?.display()),
        String::new(),
        format!("Users of tenant {} and tokens that hold for 7 days:", dev_data::TENANT),
        String::new(),
    ];
    for (user, name, _) in dev_data::USERS {
        let token = data.token(dev_data::identity(user), now_s, http::DEV_TOKEN_TTL_S)?;
        lines.push(format!("  {user:<6} {name:<15} {token}"));
    }
    lines.extend([
        String::new(),
        "Open the page in a browser, or talk in other terminals:".to_owned(),
        String::new(),
        format!("  {command} chat{data_flag} --user alice --to bob"),
    ]);
    // By number: a name may stand for an IPv6 address first, where nobody answers.
    let quic =
        addresses.quic.map(|at| format!(" --server quic://127.0.0.1:{}", at.port())).unwrap_or_default();
    lines.push(format!("  {command} chat{data_flag}{quic} --user bob --to alice"));
    lines.push(String::new());
    lines.push("Ctrl-C stops it; the next start goes on with the same data.".to_owned());
    Ok(lines.join("\n"))
}

// How this process was started, so that the next commands work as they are printed.
fn command() -> String {
    if std::env::var("CARGO_PKG_NAME").is_ok_and(|package| package == env!("CARGO_PKG_NAME")) {
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        return format!("cargo run{release} --");
    }
    std::env::args_os().next().map_or("whimbrel".to_owned(), |program| quoted(Path::new(&program)))
}

// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
