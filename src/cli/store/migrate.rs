//! `whimbrel store migrate`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use storage::cql::driver::Report;

use super::super::run::runtime;
use super::super::settings::Settings;
use super::super::terminal::say;
use super::{configuration, environment};
use crate::config::setting::Backend;
use crate::store;

const HELP: &str = "\
Example:
  whimbrel store migrate --config cluster.toml

Run it once before the first start over a cluster, and again after an update that asks for it. It may be
run at any time and by several at once: what is there already stays. A schema that is newer than this
program is left alone, with exit code 1. An embedded store brings itself up to date when it is opened.";

/// Make the tables of a store in Scylla or Cassandra, or bring them up to date.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Migrate {
    /// The configuration file that names the store
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

impl Migrate {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = configuration(&self.config, environment(), self.settings.flags(Vec::new()))?;
        match loaded.config.store.backend {
            Backend::Embedded => {
                say("nothing to do: an embedded store brings itself up to date when it is opened")?;
                Ok(ExitCode::SUCCESS)
            }
            Backend::Cql => {
                let report = runtime(&loaded.config)?.block_on(store::migrate(&loaded.config))?;
                say(&told(&report, &store::place(&loaded.config)))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn told(report: &Report, place: &str) -> String {
    let Report { server, from, to, ledgers } = report;
    match from {
        None if *ledgers > 0 => format!("{place}: schema {to} was made, with {ledgers} ledgers ({server})"),
        None => format!("{place}: schema {to} was made ({server})"),
        Some(from) if from == to => format!("{place}: nothing to do, it has schema {to} ({server})"),
        Some(from) => format!("{place}: brought from schema {from} to {to} ({server})"),
    }
}
