//! `whimbrel serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use axum::Router;
use clap::Args;
use connector::tls::Identity;

use super::check_config::refuse;
use super::run::{Stop, runtime, until_stopped};
use super::settings::Settings;
use crate::config::{Loaded, Problems, Sources, keys, load, validate};
use crate::dev_data::Addresses;
use crate::gateway::{Gateway, GatewayParts};
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  whimbrel config default > whimbrel.toml      a file to start from; add a key under [[auth.keys]]
  whimbrel serve --config whimbrel.toml
  WHIMBREL_LOG__LEVEL=debug whimbrel serve --config whimbrel.toml --set tcp.listen=0.0.0.0:7400

SIGTERM and SIGINT drain: devices are sent away to connect again, and what is in flight is finished.";

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
        let loaded = self.load()?;
        telemetry::start(&loaded.config.log.level, loaded.config.log.format)?;
        refuse(validate::validate(&loaded))?;
        runtime(&loaded.config)?.block_on(serve(loaded))
    }

    fn load(&self) -> anyhow::Result<Loaded> {
        let data = self.data.iter().map(|dir| ("--data", "node.data_dir", dir.clone())).collect();
        let flags = self.settings.flags(data);
        let (loaded, problems) =
            load(&Sources { file: self.config.clone(), environment: load::environment(), flags });
        if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems).into()) }
    }
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let config = loaded.config.clone();
    let verifier = keys::verifier(&loaded).map_err(Problems)?;
    let tls = match (config.tls.cert.get(), config.tls.key.get()) {
        (Some(cert), Some(key)) => Some(Identity::from_pem_files(cert, key)?),
        _ => None,
    };
    let parts = GatewayParts {
        config: config.clone(),
        verifier,
        quic: tls.clone(),
        tls,
        seed: false,
        pages: Router::new(),
    };
    let gateway = Gateway::start(parts).await.context("the gateway does not start")?;
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

fn shown(address: Option<SocketAddr>) -> String {
    address.map_or("off".to_owned(), |address| address.to_string())
}
