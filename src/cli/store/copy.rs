//! `whimbrel store copy`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use storage::Store;
use storage::check::{self, Scope};
use storage::copy::{self, Copied, News};

use super::super::run::runtime;
use super::super::terminal::{note, say};
use super::progress::Progress;
use super::{configuration, open};
use crate::config::Loaded;
use crate::store::{OpenStore, place};

const HELP: &str = "\
Example, from one machine's directory to a cluster:
  whimbrel store migrate --config cluster.toml
  whimbrel store copy --from whimbrel.toml --to cluster.toml --tenant shop

Copied are users, devices with their ids, conversations with all entries, members and cursors. At the
end the copy is checked and compared with the source. Not copied is the presence stream: who is online
is about connections, and starts afresh.

Stop the gateways over both stores first. The source's logs are taken over, so that a gateway that
still runs over it is cut off; if it opens them again and goes on, the copy says so at the end.
The source is not changed, and nothing in the target is overwritten: where the target has another
conversation of the same name, or another id for a device, the copy stops.

A copy that was interrupted, or whose source went on, is completed by running it again. Devices find
their conversations and what they had read; each asks for its list of conversations once anew.

The environment (WHIMBREL_...) does not count, since it could not say which of the two files it means.
The last line is `conversations=N entries=N users=N devices=N`, of what the target has now. The exit code
is 0 if the copy is whole, and 1 if it stopped or something was found in it.";

/// Copy a tenant from one store to another, in either direction.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Copy {
    /// The configuration file that names the store to copy from
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The configuration file that names the store to copy to
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The tenant to copy
    #[arg(long)]
    tenant: String,
}

impl Copy {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let of = |file: &Path| configuration(file, Vec::new(), Vec::new());
        let (from, to) = (of(&self.from)?, of(&self.to)?);
        if place(&from.config) == place(&to.config) {
            bail!("both files name the same store: {}", place(&from.config));
        }
        let (copied, findings) = runtime(&from.config)?.block_on(self.open_and_copy(&from, &to))?;
        let Copied { conversations, entries, users, devices, appended } = copied;
        note(&format!("{appended} entries were copied now, {} were there already", entries - appended));
        if findings > 0 {
            note(&format!("whimbrel: the copy is not whole: {findings} findings"));
        }
        say(&format!("conversations={conversations} entries={entries} users={users} devices={devices}"))?;
        Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn open_and_copy(&self, from: &Loaded, to: &Loaded) -> anyhow::Result<(Copied, u64)> {
        let source: OpenStore = open(&self.from, from, false).await?;
        let target = open(&self.to, to, true).await?;
        let copied = self.copy(&*source.shared(), &*target.shared()).await;
        target.close().await;
        source.close().await;
        copied
    }

    async fn copy(&self, source: &dyn Store, target: &dyn Store) -> anyhow::Result<(Copied, u64)> {
        let (_, entries) = check::size(source, &Scope::tenant(&*self.tenant)).await?;
        let mut findings = 0;
        let mut progress = Progress::new("copying", entries);
        let mut verifying = false;
        let mut tell = |news| match news {
            News::Copied(copied) => progress.at(copied.entries),
            News::Verified(checked) => {
                if !std::mem::replace(&mut verifying, true) {
                    progress.begin("checking the copy", entries);
                }
                progress.at(checked);
            }
            News::Found(finding) => {
                findings += 1;
                progress.say(&finding.to_string());
            }
        };
        let copied = copy::copy(source, target, &self.tenant, &mut tell).await;
        progress.end();
        Ok((copied?, findings))
    }
}
