//! `whimbrel serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::anyhow;
use axum::Router;
use clap::Args;
use connector::tls::{Identity, TlsError};

use super::check_config::{read, refuse};
use super::run::{Stop, runtime, until_stopped};
use super::settings::Settings;
use crate::config::{Config, Loaded, Problem, Problems, Sources, keys, load, validate};
use crate::dev_data::Addresses;
use crate::gateway::{Gateway, GatewayError, GatewayParts};
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  whimbrel config default > whimbrel.toml
      a file to start from; add a key under [[auth.keys]]
  whimbrel serve --config whimbrel.toml
  WHIMBREL_LOG__LEVEL=debug whimbrel serve --config whimbrel.toml
  whimbrel serve --config whimbrel.toml --set tcp.listen=0.0.0.0:7400

SIGTERM and SIGINT drain: devices are sent away to connect again, and what
is in flight is finished.";

/// Run a production node from a configuration file.
///
/// A value of the file gives way to an environment variable (WHIMBREL_SECTION__KEY), that to a flag.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory (node.data_dir)
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        let (loaded, mut problems) = self.load()?;
        // A level that is none is among the problems below.
        _ = telemetry::start(&loaded.config.log.level, loaded.config.log.format);
        problems.extend(validate::validate(&loaded));
        refuse(problems).map_err(|error| self.with_hint(error))?;
        runtime(&loaded.config)?.block_on(serve(loaded))
    }

    fn load(&self) -> anyhow::Result<(Loaded, Vec<Problem>)> {
        let data = self.data.iter().map(|dir| ("--data", "node.data_dir", dir.clone())).collect();
        let flags = self.settings.flags(data);
        read(&Sources { file: self.config.clone(), environment: load::environment(), flags })
    }

    fn with_hint(&self, error: anyhow::Error) -> anyhow::Error {
        if self.config.is_some() {
            return error;
        }
        anyhow!(
            "{error}\nno --config FILE is named; `whimbrel config default > whimbrel.toml` writes one to start from"
        )
    }
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let config = loaded.config.clone();
    let verifier = keys::verifier(&loaded).map_err(Problems)?;
    let tls = certificate(&config)?;
    let parts = GatewayParts {
        config: config.clone(),
        verifier,
        quic: tls.clone(),
        tls,
        seed: false,
        pages: Router::new(),
    };
    let gateway = tokio::select! {
        started = Box::pin(Gateway::start(parts)) => started.map_err(with_fix)?,
        // It may wait for its store.
        () = stop.asked() => {
            tracing::info!("stopped before it was ready");
            return Ok(());
        }
    };
    let Addresses { tcp, quic, http } = gateway.addresses();
    tracing::info!(
        tcp = shown(tcp),
        quic = shown(quic),
        http = shown(http),
        "whimbrel {} is ready",
        env!("CARGO_PKG_VERSION")
    );
    until_stopped(gateway, &mut stop, &config).await;
    Ok(())
}

/// The certificate of the TCP, QUIC and HTTP ports, if there is one.
pub fn certificate(config: &Config) -> Result<Option<Identity>, TlsError> {
    let files = config.tls.cert.get().zip(config.tls.key.get());
    files.map(|(cert, key)| Identity::from_pem_files(cert, key)).transpose()
}

// An error's text names its cause already.
fn with_fix(error: GatewayError) -> anyhow::Error {
    let key = match &error {
        GatewayError::Listen { port: "TCP", .. } => "tcp.listen",
        GatewayError::Listen { port: "HTTP", .. } => "http.listen",
        GatewayError::Listen { .. } => "quic.listen",
        _ => return anyhow!("the gateway does not start: {error}"),
    };
    anyhow!("the gateway does not start: {error}; change {key}")
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map_or("off".to_owned(), |address| address.to_string())
}
