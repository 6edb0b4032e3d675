//! `whimbrel check-config`

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::terminal::{note, say};
use crate::config::{Problem, Sources, load, validate};

/// Check a configuration file as `serve` would, and print every problem with its line.
///
/// The environment counts too, as it does for `serve`. Files that the configuration names are read; nothing is
/// started or changed.
#[derive(Args)]
#[command(after_help = "Example:\n  whimbrel check-config whimbrel.toml && systemctl restart whimbrel")]
pub struct CheckConfig {
    /// The file to check
    file: PathBuf,
}

impl CheckConfig {
    pub fn run(self) -> anyhow::Result<()> {
        let sources =
            Sources { file: Some(self.file.clone()), environment: load::environment(), flags: Vec::new() };
        let (loaded, mut problems) = load(&sources);
        let readable = problems.is_empty();
        // What a key meant is unknown while it is misspelt, so only a readable file is judged as a whole.
        if readable {
            problems.extend(validate::validate(&loaded));
        }
        problems.iter().for_each(|problem| note(&problem.to_string()));
        match problems.iter().filter(|problem| problem.is_error()).count() {
            0 => Ok(say("OK")?),
            1 => bail!("{} has 1 problem", self.file.display()),
            count => bail!("{} has {count} problems", self.file.display()),
        }
    }
}

/// Fails with the errors among problems, one per line; warnings are logged.
pub fn refuse(problems: Vec<Problem>) -> anyhow::Result<()> {
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(Problem::is_error);
    for warning in warnings {
        tracing::warn!(target: "whimbrel", "{}: {}", warning.at, warning.message);
    }
    if errors.is_empty() { Ok(()) } else { Err(crate::config::Problems(errors).into()) }
}
