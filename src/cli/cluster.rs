//! `whimbrel cluster`: what an operator asks of a cluster.

use anyhow::Context;
use clap::{Args, Subcommand};
use cluster::zookeeper::{ask_to_drain, look};
use cluster::{NodeRecord, View};
use idgen::WorkerNumber;
use tokio::runtime::Builder;

use super::node::NodeSources;
use super::rebalance::RebalanceCommand;
use super::terminal::say;
use crate::config::{Config, Loaded, Problem, validate};
use crate::membership::zookeeper;

const EXAMPLES: &str = "\
Examples:
  whimbrel cluster status --config whimbrel.toml
  whimbrel cluster drain --config whimbrel.toml 2091
  whimbrel cluster rebalance --config whimbrel.toml --share 10% 2091";

/// See a cluster's nodes, send one away, or have a connector hand devices on.
#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum ClusterCommand {
    Status(StatusCommand),
    Drain(DrainCommand),
    Rebalance(RebalanceCommand),
}

/// Print the nodes that are alive: number, kind, address, share of slots, devices, links, lag, versions.
///
/// `links` says to how many of the channel nodes a connector is linked; `lag` for how long the oldest message has waited
/// that one of them has not confirmed, 0 where it is less than 4 s. Both are what a node last said of itself: within 10 s.
#[derive(Args)]
pub struct StatusCommand {
    /// For programs
    #[arg(long)]
    json: bool,
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
                let as_json = command.json;
                let loaded = command.sources.load(asks)?;
                runtime.block_on(status(&loaded.config, as_json))
            }
            ClusterCommand::Drain(command) => {
                let number = WorkerNumber::new(command.node)?;
                let loaded = command.sources.load(asks)?;
                runtime.block_on(drain(&loaded.config, number))
            }
            ClusterCommand::Rebalance(command) => runtime.block_on(command.run()),
        }
    }
}

pub(super) fn asks(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    validate::cluster(loaded, &mut problems);
    problems
}

async fn status(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let view = look(&zookeeper(config)).await?;
    let name = &config.cluster.name;
    say(&if as_json { json(name, &view).to_string() } else { table(name, &view) })?;
    Ok(())
}

/// The same for programs. What does not apply to a node is `null`.
fn json(name: &str, view: &View) -> serde_json::Value {
    let node = |record: &NodeRecord| {
        let (is_channel, (min, max)) = (record.is_channel(), record.versions);
        serde_json::json!({
            "number": record.node.number().get(),
            "kind": record.node.node_type().to_string(),
            "address": address(record),
            "endpoints": record.endpoints,
            "slots": is_channel.then(|| view.owned_by(record.node).count()),
            "devices": (!is_channel).then_some(record.connections),
            "links": (!is_channel).then_some(record.links),
            "lag_ms": (!is_channel).then_some(record.lag_ms),
            "protocol": [min, max],
            "draining": record.draining,
            "program": record.program,
        })
    };
    serde_json::json!({"cluster": name, "nodes": view.nodes().iter().map(node).collect::<Vec<_>>()})
}

fn address(record: &NodeRecord) -> String {
    if record.is_channel() { record.link.clone() } else { record.node.addr().to_string() }
}

/// The node with this number.
pub(super) fn find<'a>(
    config: &Config,
    view: &'a View,
    number: WorkerNumber,
) -> anyhow::Result<&'a NodeRecord> {
    let found = view.nodes().iter().find(|record| record.node.number() == number);
    let name = &config.cluster.name;
    found.with_context(|| {
        format!("no node of {name} has number {number}; `whimbrel cluster status` lists them")
    })
}

async fn drain(config: &Config, number: WorkerNumber) -> anyhow::Result<()> {
    let zookeeper = zookeeper(config);
    let view = look(&zookeeper).await?;
    let record = find(config, &view, number)?;
    ask_to_drain(&zookeeper, number).await?;
    say(&format!("{:#} was asked to go", record.node))?;
    Ok(())
}

fn table(name: &str, view: &View) -> String {
    let mut lines = vec![format!("cluster {name}: {} nodes", view.nodes().len())];
    let head =
        ["number", "kind", "address", "slots", "devices", "links", "lag", "protocol", "state", "program"];
    let rows = view.nodes().iter().map(|record| row(view, record));
    let rows: Vec<[String; 10]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        lines.push(cells.join("  ").trim_end().to_owned());
    }
    lines.join("\n")
}

fn row(view: &View, record: &NodeRecord) -> [String; 10] {
    let is_channel = record.is_channel();
    let (min, max) = record.versions;
    let versions = if min == max { min.to_string() } else { format!("{min}-{max}") };
    let of = |is: bool, value: String| if is { value } else { "-".to_owned() };
    [
        record.node.number().to_string(),
        record.node.node_type().to_string(),
        address(record),
        of(is_channel, view.owned_by(record.node).count().to_string()),
        of(!is_channel, record.connections.to_string()),
        of(!is_channel, format!("{}/{}", record.links, view.channels().count())),
        of(!is_channel, format!("{} s", record.lag_ms.div_ceil(1_000))),
        versions,
        if record.draining { "going" } else { "there" }.to_owned(),
        record.program.clone(),
    ]
}
