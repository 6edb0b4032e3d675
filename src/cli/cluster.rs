//! `whimbrel cluster`: what an operator asks of a cluster.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use cluster::zookeeper::{ask_to_drain, look};
use cluster::{NodeRecord, View};
use idgen::WorkerNumber;
use tokio::runtime::Builder;

use super::node::NodeSources;
use super::terminal::say;
use crate::config::{Config, Loaded, Problem, validate};
use crate::membership::zookeeper;

const EXAMPLES: &str = "\
Examples:
  whimbrel cluster status --config whimbrel.toml
  whimbrel cluster drain --config whimbrel.toml 2091";

/// See a cluster's nodes, or send one away.
#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum ClusterCommand {
    Status(StatusCommand),
    Drain(DrainCommand),
}

/// Print the nodes that are alive: number, kind, address, share of slots, devices, versions.
#[derive(Args)]
pub struct StatusCommand {
    #[command(flatten)]
    sources: NodeSources,
}

/// Ask a node to go: its devices are sent to other connectors, what is in flight is finished, the process ends.
#[derive(Args)]
pub struct DrainCommand {
    /// The node's number, as `status` prints it
    node: u16,
    #[command(flatten)]
    sources: NodeSources,
}

impl ClusterCommand {
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
        match self {
            ClusterCommand::Status(command) => {
                let loaded = command.sources.load(asks)?;
                runtime.block_on(status(&loaded.config))
            }
            ClusterCommand::Drain(command) => {
                let number = WorkerNumber::new(command.node)?;
                let loaded = command.sources.load(asks)?;
                runtime.block_on(drain(&loaded.config, number))
            }
        }
    }
}

fn asks(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    validate::cluster(loaded, &mut problems);
    problems
}

async fn status(config: &Config) -> anyhow::Result<()> {
    let view = look(&zookeeper(config)).await?;
    say(&table(&config.cluster.name, &view))?;
    Ok(())
}

async fn drain(config: &Config, number: WorkerNumber) -> anyhow::Result<()> {
    let zookeeper = zookeeper(config);
    let view = look(&zookeeper).await?;
    let Some(record) = view.nodes().iter().find(|record| record.node.number() == number) else {
        bail!("no node of {} has number {number}; `whimbrel cluster status` lists them", config.cluster.name);
    };
    ask_to_drain(&zookeeper, number).await?;
    say(&format!("{:#} was asked to go", record.node))?;
    Ok(())
}

fn table(name: &str, view: &View) -> String {
    let mut lines = vec![format!("cluster {name}: {} nodes", view.nodes().len())];
    let head = ["number", "kind", "address", "slots", "devices", "protocol", "state", "program"];
    let rows = view.nodes().iter().map(|record| row(view, record));
    let rows: Vec<[String; 8]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        lines.push(cells.join("  ").trim_end().to_owned());
    }
    lines.join("\n")
}

fn row(view: &View, record: &NodeRecord) -> [String; 8] {
    let is_channel = record.is_channel();
    let address = if is_channel { record.link.clone() } else { record.node.addr().to_string() };
    let (min, max) = record.versions;
    let versions = if min == max { min.to_string() } else { format!("{min}-{max}") };
    let of = |is: bool, value: String| if is { value } else { "-".to_owned() };
    [
        record.node.number().to_string(),
        record.node.node_type().to_string(),
        address,
        of(is_channel, view.owned_by(record.node).count().to_string()),
        of(!is_channel, record.connections.to_string()),
        versions,
        if record.draining { "going" } else { "there" }.to_owned(),
        record.program.clone(),
    ]
}
