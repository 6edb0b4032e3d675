//! `bench routing`: how a message finds the node of its receiver, on paper. Five routings, from few nodes to thousands;
//! nothing is run, everything is counted.
//!
//! | file | noun |
//! |---|---|
//! | `layout` | which node a user, a device or a conversation is with, under each routing |
//! | `sends` | messages between nodes that a send costs |
//! | `census` | every device looked at once: what the fullest node keeps, what moves when nodes come and go |
//! | `figures` | all of that for one size, and sizes side by side |
//! | `page` | the figures as Markdown and as a plot |

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

mod census;
mod figures;
mod layout;
mod page;
mod sends;

use figures::Sizes;
use layout::{MAX_NODES, MIN_NODES};

#[derive(Args, Clone, Debug)]
pub struct Routing {
    /// Sizes of the cluster, 3 to 4096 nodes each
    #[arg(long, value_delimiter = ',', default_values_t = [3, 10, 30, 100, 300, 1_000, 3_000],
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_NODES)..=i64::from(MAX_NODES)))]
    nodes: Vec<u32>,
    /// Devices for each node; all of them are looked at, none is stored
    #[arg(long, default_value_t = 33_334, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    devices_per_node: u64,
    /// What the draws of senders and receivers begin with; the same seed gives the same figures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a page of Markdown here instead of printing the tables
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a plot here (SVG)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Routing {
    pub fn run(self) -> anyhow::Result<()> {
        let sizes = self.sizes();
        let grids = sizes.grids();
        match &self.markdown {
            Some(path) => std::fs::write(path, page::markdown(&grids))?,
            None => print!("{}", page::tables(&grids)),
        }
        if let Some(path) = &self.svg {
            std::fs::write(path, page::svg(&grids))?;
        }
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        for &nodes in &self.nodes {
            let (started, devices) = (Instant::now(), u64::from(nodes) * self.devices_per_node);
            sizes.add(nodes, devices, self.seed);
            eprintln!("{nodes} nodes, {devices} devices: {:.1?}", started.elapsed());
        }
        sizes
    }
}
