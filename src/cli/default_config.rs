//! `whimbrel config default`

use clap::Args;

use super::terminal::say;
use crate::config::template::default_file;

/// Print the default configuration, every value with its explanation.
#[derive(Args)]
#[command(after_help = "Example:\n  whimbrel config default > whimbrel.toml")]
pub struct DefaultConfig {}

impl DefaultConfig {
    pub fn run(self) -> anyhow::Result<()> {
        Ok(say(default_file().trim_end())?)
    }
}
