//! `whimbrel check-config`

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::terminal::{note, say};
use crate::config::{Loaded, Problem, Sources, load, validate};

/// Check a configuration file as `serve` would, and print its problems with their lines.
///
/// First every line is read for itself; when all can be read, the values are judged together. The environment
/// counts too, as it does for `serve`. Files that the configuration names are read; nothing is started or changed.
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
        let readable = !problems.iter().any(Problem::is_error);
        // What a key meant is unknown while it is misspelt, so only a readable file is judged as a whole.
        if readable {
            problems.extend(validate::validate(&loaded));
        }
        problems.iter().for_each(|problem| note(&problem.to_string()));
        if !readable {
            note("what the values mean together is checked when all of them can be read");
        }
        match problems.iter().filter(|problem| problem.is_error()).count() {
            0 => Ok(say("OK")?),
            1 => bail!("{} has 1 problem", self.file.display()),
            count => bail!("{} has {count} problems", self.file.display()),
        }
    }
}

/// What the sources say, with warnings; fails with the errors if something cannot be read.
pub fn read(sources: &Sources) -> anyhow::Result<(Loaded, Vec<Problem>)> {
    let (loaded, problems) = load(sources);
    if problems.iter().any(Problem::is_error) {
        return Err(crate::config::Problems(problems).into());
    }
    Ok((loaded, problems))
}

/// Fails with the errors among problems, one per line; warnings are logged.
pub fn refuse(problems: Vec<Problem>) -> anyhow::Result<()> {
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(Problem::is_error);
    for warning in warnings {
        tracing::warn!(target: "whimbrel", "{}: {}", warning.at, warning.message);
    }
    if errors.is_empty() { Ok(()) } else { Err(crate::config::Problems(errors).into()) }
}
