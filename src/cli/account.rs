//! Which server and which user, for `chat` and `send`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use client::{Builder, Client};
use idgen::{Clock, SystemClock};

use super::explain::explain;
use crate::dev_data::{self, DevData};

/// The server where neither a flag nor a data directory names one.
const DEFAULT_SERVER: &str = "tcp://127.0.0.1:7400";
/// How long a minted token holds; it is renewed before.
const TOKEN_TTL_S: i64 = 3600;

/// Server and user.
#[derive(Args)]
pub struct Account {
    /// tcp://, tls://, quic://, ws:// or wss:// with host and port; without it the gateway of `whimbrel dev`
    #[arg(long, value_name = "URL", env = "WHIMBREL_SERVER")]
    server: Option<String>,
    /// A token, as the tenant's backend signs it
    #[arg(long, env = "WHIMBREL_TOKEN", hide_env_values = true, conflicts_with = "user")]
    token: Option<String>,
    /// Sign in as this user of `whimbrel dev`
    #[arg(long)]
    user: Option<String>,
    /// The data directory of `whimbrel dev`
    #[arg(long, value_name = "DIR", default_value = dev_data::DEFAULT_DIR)]
    data: PathBuf,
    /// Name of this device; the same name is the same device, which is signed in once at a time
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Trust the server by this certificate (PEM) instead of the system's roots
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl Account {
    /// Connects and signs in. The error says what to do.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        self.builder()?.connect().await.map_err(explain)
    }

    fn builder(&self) -> anyhow::Result<Builder> {
        let dev = if self.token.is_none() { Some(Arc::new(DevData::open(&self.data)?)) } else { None };
        let server = self.server.clone().unwrap_or_else(|| server_of(dev.as_deref()));
        let mut builder = Client::builder(server.as_str()).app("whimbrel-cli", env!("CARGO_PKG_VERSION"));
        builder = match (&self.token, &self.user, &dev) {
            (Some(token), _, _) => builder.token(token),
            (None, Some(user), Some(dev)) => builder.token_source(minted(dev.clone(), user.clone())),
            _ => bail!("who are you? name --user (of `whimbrel dev`) or --token"),
        };
        if let Some(device) = &self.device {
            builder = builder.installation(device);
        }
        if let Some(certificate) = self.certificate(&server, dev.as_deref()) {
            let pem = std::fs::read(&certificate).with_context(|| certificate.display().to_string())?;
            builder = builder.trust_certificate(pem);
        }
        Ok(builder)
    }

    // The development gateway's own certificate is trusted where its secret is used.
    fn certificate(&self, server: &str, dev: Option<&DevData>) -> Option<PathBuf> {
        let own = dev.filter(|_| server.starts_with("quic://")).map(DevData::certificate_path);
        self.certificate.clone().or(own)
    }
}

fn server_of(dev: Option<&DevData>) -> String {
    let tcp = dev.and_then(DevData::addresses).and_then(|addresses| addresses.tcp);
    tcp.map_or_else(|| DEFAULT_SERVER.to_owned(), |tcp| format!("tcp://{tcp}"))
}

fn minted(
    dev: Arc<DevData>,
    user: String,
) -> impl Fn() -> std::future::Ready<Result<String, connector::auth::MintError>> + Send + Sync {
    move || {
        let now_s = SystemClock.unix_millis() / 1000;
        std::future::ready(dev.token(dev_data::identity(&user), now_s, TOKEN_TTL_S))
    }
}

/// How long a one-shot command waits for the server's answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
