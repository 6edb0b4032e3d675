//! `whimbrel cluster rebalance`

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use cluster::record::{Rebalance, WHOLE};
use cluster::zookeeper::{ask_to_rebalance, look};
use cluster::{NodeRecord, View};
use idgen::WorkerNumber;
use tokio::time::Instant;

use super::cluster::{asks, find};
use super::node::NodeSources;
use super::terminal::say;
use crate::membership::zookeeper;

/// How often the node is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long it may take to begin, and to go on: it says how far it is once a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// Have a connector send a share of its devices to the other connectors, so many a second, and say how far it is.
/// They connect again at once; nothing is lost. Interrupted, the connector goes on.
#[derive(Args)]
pub struct RebalanceCommand {
    /// The connector's number, as `status` prints it
    node: u16,
    /// How many of its devices: 10%
    #[arg(long, value_parser = share, required_unless_present = "to_even", conflicts_with = "to_even")]
    share: Option<u32>,
    /// As many as it has more than connectors have on average
    #[arg(long)]
    to_even: bool,
    /// How many a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_second: u32,
    #[command(flatten)]
    sources: NodeSources,
}

impl RebalanceCommand {
    pub async fn run(self) -> anyhow::Result<()> {
        let number = WorkerNumber::new(self.node)?;
        let loaded = self.sources.load(asks)?;
        let zookeeper = zookeeper(&loaded.config);
        let view = look(&zookeeper).await?;
        let record = find(&loaded.config, &view, number)?;
        if record.is_channel() {
            bail!("{:#} is a channel node: it holds no devices", record.node);
        }
        if record.draining || !view.connectors().any(|other| other.node != record.node && !other.draining) {
            bail!("{:#} has no other connector to hand devices to, or is going anyway", record.node);
        }
        let share = self.share.unwrap_or_else(|| surplus(&view, record));
        if share == 0 {
            say(&format!("{:#} has no more devices than connectors have on average", record.node))?;
            return Ok(());
        }
        let (id, per_second) = (rand::random(), self.per_second);
        let asked = Rebalance { id, share, per_second, devices: 0, moved: 0, done: false };
        ask_to_rebalance(&zookeeper, number, asked).await?;
        let place = format!("{:#}", record.node);
        follow(&place, id, async || {
            let view = look(&zookeeper).await?;
            Ok(find(&loaded.config, &view, number)?.rebalance)
        })
        .await
    }
}

/// Prints how far a node is whenever that has changed, until it is done.
async fn follow(
    place: &str,
    id: u64,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<Rebalance>>,
) -> anyhow::Result<()> {
    let mut last: Option<Rebalance> = None;
    let mut heard = Instant::now();
    loop {
        let now = look().await?.filter(|now| now.id == id);
        if now != last {
            heard = Instant::now();
            if let Some(now) = now {
                say(&line(place, now))?;
            }
        }
        match now {
            Some(now) if now.done => return Ok(()),
            None if last.is_some() => bail!("{place} was asked for something else meanwhile"),
            _ if heard.elapsed() > PATIENCE => bail!("{place} does not go on"),
            _ => {}
        }
        last = now;
        tokio::time::sleep(LOOK).await;
    }
}

fn line(place: &str, now: Rebalance) -> String {
    let Rebalance { per_second, devices, moved, done, .. } = now;
    let left = devices.saturating_sub(moved).div_ceil(per_second.max(1));
    match done {
        true => format!("{place}: {moved} of {devices} devices were sent to other connectors"),
        false => format!("{place}: {moved} of {devices} devices, {per_second}/s, {left} s left"),
    }
}

/// What a connector has beyond the average of those that stay, of a thousand.
fn surplus(view: &View, record: &NodeRecord) -> u32 {
    let staying: Vec<u64> =
        view.connectors().filter(|one| !one.draining).map(|one| one.connections.into()).collect();
    let average = staying.iter().sum::<u64>() / staying.len().max(1) as u64;
    let own = u64::from(record.connections);
    let share = own.saturating_sub(average) * u64::from(WHOLE) / own.max(1);
    u32::try_from(share).unwrap_or(WHOLE)
}

/// A percentage with at most one digit after the point, in thousandths.
fn share(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let share = number.map(|percent| percent * 10.0).filter(|share| (1.0..=f64::from(WHOLE)).contains(share));
    // It is between 1 and 1,000.
    share.map(|share| share.round() as u32).ok_or_else(|| "a share is 0.1% to 100%".to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use idgen::{NodeId, NodeType};

    use super::*;

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!([share("10%"), share("0.1%"), share("100%")], [Ok(100), Ok(1), Ok(1_000)]);
        for bad in ["10", "0%", "101%", "-5%", "x%", "%", "NaN%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_surplus_is_what_is_above_the_average_of_those_that_stay() {
        let connector = |number, connections| {
            let number = WorkerNumber::new(number).unwrap();
            let node = NodeId::new(NodeType::Connector, number, Ipv4Addr::LOCALHOST, 1).unwrap();
            NodeRecord { connections, ..NodeRecord::new(node, 1) }
        };
        let full = connector(1, 300);
        let going = NodeRecord { draining: true, ..connector(3, 5_000) };
        let view = View::new(1, vec![full.clone(), connector(2, 100), going]);
        assert_eq!(surplus(&view, &full), 333, "100 of 300");
        assert_eq!(surplus(&view, &connector(2, 100)), 0);
        assert_eq!(surplus(&view, &connector(2, 0)), 0);
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let now = Rebalance { id: 1, share: 100, per_second: 50, devices: 120, moved: 20, done: false };
        assert_eq!(line("c", now), "c: 20 of 120 devices, 50/s, 2 s left");
    }
}
