//! `whimbrel connector` and `whimbrel channel`

use std::path::PathBuf;

use clap::Args;

use super::check_config::{read, refuse};
use super::run::{Stop, finish, runtime};
use super::serve::certificate;
use super::settings::Settings;
use crate::channel_node::ChannelProcess;
use crate::config::{Config, Loaded, Problem, Problems, Sources, keys, load, validate};
use crate::connector_node::ConnectorNode;
use crate::telemetry;

const CONNECTOR_EXAMPLES: &str = "\
Examples:
  whimbrel connector --config whimbrel.toml --set cluster.zookeeper=10.0.0.1:2181

It waits for ZooKeeper and for a channel node; /readyz on the HTTP port says when
it takes devices. SIGTERM and SIGINT send its devices to the other connectors.";

const CHANNEL_EXAMPLES: &str = "\
Examples:
  whimbrel channel --config whimbrel.toml --set cluster.zookeeper=10.0.0.1:2181

Any number of channel nodes share a store in a cluster (store.backend = \"cql\").
One whose store is on its own disk works alone; a second one is refused.";

/// Run a connector of a cluster: it takes devices and hands them on to channel nodes.
#[derive(Args)]
#[command(after_help = CONNECTOR_EXAMPLES)]
pub struct ConnectorCommand {
    #[command(flatten)]
    sources: NodeSources,
}

/// Run a channel node of a cluster: it stores and routes what connectors bring.
#[derive(Args)]
#[command(after_help = CHANNEL_EXAMPLES)]
pub struct ChannelCommand {
    #[command(flatten)]
    sources: NodeSources,
}

/// Where a node's configuration comes from.
#[derive(Args)]
pub struct NodeSources {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl NodeSources {
    /// The configuration, if it says all that `validate` asks for.
    pub fn load(self, validate: fn(&Loaded) -> Vec<Problem>) -> anyhow::Result<Loaded> {
        let flags = self.settings.flags(Vec::new());
        let (loaded, mut problems) =
            read(&Sources { file: self.config, environment: load::environment(), flags })?;
        // A level that is none is among the problems below.
        _ = telemetry::start(&loaded.config.log.level, loaded.config.log.format);
        problems.extend(validate(&loaded));
        refuse(problems)?;
        Ok(loaded)
    }
}

impl ConnectorCommand {
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = self.sources.load(validate::validate_connector)?;
        runtime(&loaded.config)?.block_on(connector(&loaded))
    }
}

impl ChannelCommand {
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = self.sources.load(validate::validate_channel)?;
        runtime(&loaded.config)?.block_on(channel(&loaded.config))
    }
}

async fn connector(loaded: &Loaded) -> anyhow::Result<()> {
    let (config, mut stop) = (&loaded.config, Stop::listen()?);
    let verifier = keys::verifier(loaded).map_err(Problems)?;
    let tls = certificate(config)?;
    let node = tokio::select! {
        node = ConnectorNode::start(config, verifier, tls) => node?,
        // While it waits it holds nothing.
        () = stop.asked() => return Ok(()),
    };
    let shown = |address: Option<std::net::SocketAddr>| address.map_or("off".to_owned(), |at| at.to_string());
    let (tcp, quic, http) = (node.addresses.tcp, node.addresses.quic, node.addresses.http);
    tracing::info!(
        tcp = shown(tcp),
        quic = shown(quic),
        http = shown(http),
        "whimbrel connector {} is ready",
        env!("CARGO_PKG_VERSION")
    );
    let over = tokio::select! {
        () = stop.asked() => Ok(()),
        over = node.over() => over,
    };
    finish(|deadline| node.drain(deadline), &mut stop, config).await;
    Ok(over?)
}

async fn channel(config: &Config) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let node = tokio::select! {
        node = ChannelProcess::start(config) => node?,
        () = stop.asked() => return Ok(()),
    };
    tracing::info!(links = %node.links, "whimbrel channel {} is ready", env!("CARGO_PKG_VERSION"));
    let over = tokio::select! {
        () = stop.asked() => Ok(()),
        over = node.over() => over,
    };
    finish(|deadline| node.drain(deadline), &mut stop, config).await;
    Ok(over?)
}
