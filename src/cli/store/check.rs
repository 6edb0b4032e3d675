//! `whimbrel store check`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use storage::check::{self, Checked, News, Scope};

use super::super::run::runtime;
use super::super::settings::Settings;
use super::super::terminal::say;
use super::progress::Progress;
use super::{configuration, environment, open};

const HELP: &str = "\
Examples:
  whimbrel store check --config whimbrel.toml
  whimbrel store check --config whimbrel.toml --tenant shop
  whimbrel store check --config whimbrel.toml --tenant shop --conversation d:alice~bob --from 1 --to 500

What is checked of each conversation: its entries are 1, 2, 3 ... up to where it ends, and can be read;
no send is stored twice, and a retry of the latest ones would be recognised; members, cursors, unread
counts, edits and recalls agree with the entries; every member has it in the list of conversations.
Users and devices can be read.

Nothing is changed. An embedded store belongs to one process: stop the gateway first. A store in Scylla
or Cassandra may be checked while gateways run over it.

Each finding is one line on standard output: a code that stays the same, the conversation, what is
wrong. The last line is `conversations=N entries=N findings=N`. The exit code is 0 if nothing was
found, and 1 if something was or the store does not answer.";

/// Check whether what a store holds is whole and agrees with itself.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Check {
    /// The configuration file that names the store
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check this tenant only
    #[arg(long)]
    tenant: Option<String>,
    /// Check this conversation only
    #[arg(long, requires = "tenant")]
    conversation: Option<String>,
    /// The first entry to check; with a range, counts and members are not held against the entries
    #[arg(long, value_name = "SEQ", requires = "conversation", default_value_t = 1)]
    from: u64,
    /// The last entry to check
    #[arg(long, value_name = "SEQ", requires = "conversation")]
    to: Option<u64>,
    #[command(flatten)]
    settings: Settings,
}

impl Check {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = configuration(&self.config, environment(), self.settings.flags(Vec::new()))?;
        let checked = runtime(&loaded.config)?.block_on(async {
            let store = open(&self.config, &loaded, false).await?;
            let checked = self.check(&*store.shared()).await;
            store.close().await;
            checked
        })?;
        let Checked { conversations, entries, findings } = checked;
        say(&format!("conversations={conversations} entries={entries} findings={findings}"))?;
        Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn check(&self, store: &dyn storage::Store) -> anyhow::Result<Checked> {
        let scope = Scope {
            tenant: self.tenant.clone(),
            conversation: self.conversation.clone(),
            first: self.from,
            last: self.to.unwrap_or(u64::MAX),
        };
        let (_, entries) = check::size(store, &scope).await?;
        let mut progress = Progress::new("checking", entries);
        let mut tell = |news| match news {
            News::Found(finding) => progress.say(&finding.to_string()),
            News::Progress(checked) => progress.at(checked.entries),
        };
        let checked = check::check(store, &scope, &mut tell).await;
        progress.end();
        Ok(checked?)
    }
}
