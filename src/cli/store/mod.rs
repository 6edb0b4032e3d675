//! `whimbrel store`: what an operator does with a store beside running a gateway over it.
//!
//! | file | noun |
//! |---|---|
//! | [`check`] | `whimbrel store check` |
//! | [`copy`] | `whimbrel store copy` |
//! | [`migrate`] | `whimbrel store migrate` |
//! | [`progress`] | how far it is |

mod check;
mod copy;
mod migrate;
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Subcommand;

use super::check_config::{read, refuse};
use crate::config::{Loaded, Sources, load, validate};
use crate::store::OpenStore;
use crate::telemetry;

/// Check a store, copy a tenant to another, or make its tables.
#[derive(Subcommand)]
pub enum StoreCommand {
    Check(check::Check),
    Copy(copy::Copy),
    Migrate(migrate::Migrate),
}

impl StoreCommand {
    /// The exit code is 1 where something was found, too.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            StoreCommand::Check(command) => command.run(),
            StoreCommand::Copy(command) => command.run(),
            StoreCommand::Migrate(command) => command.run(),
        }
    }
}

/// What a configuration file says of its store. Nothing else of it has to be in order.
fn configuration(
    file: &Path,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String, String)>,
) -> anyhow::Result<Loaded> {
    let (loaded, mut problems) = read(&Sources { file: Some(PathBuf::from(file)), environment, flags })?;
    problems.extend(validate::store(&loaded));
    _ = telemetry::start(&loaded.config.log.level, loaded.config.log.format);
    refuse(problems)?;
    Ok(loaded)
}

/// The environment of a command with one configuration.
fn environment() -> Vec<(String, String)> {
    load::environment()
}

/// Opens the store of a file; one that is not there yet only if it may be made.
async fn open(file: &Path, loaded: &Loaded, make: bool) -> anyhow::Result<OpenStore> {
    let opened = match make {
        true => OpenStore::open(&loaded.config).await,
        false => OpenStore::open_existing(&loaded.config).await,
    };
    opened.map_err(|error| anyhow!("the store of {} does not open: {error}", file.display()))
}
