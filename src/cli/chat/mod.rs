//! `whimbrel chat`
//!
//! | file | noun |
//! |---|---|
//! | [`script`] | standard input is a file or pipe: lines in, lines out |
//! | [`talk`] | a person at a terminal: the loop |
//! | [`room`] | the conversation on the screen |
//! | [`list`] | the conversations to choose from |
//! | [`input`] | lines typed at the prompt |
//! | [`screen`] | lines shown above the prompt |
//! | [`word`] | pure: slash commands |
//! | [`line`] | pure: how messages, names and times look |

use std::io::IsTerminal;

use anyhow::Context;
use clap::Args;
use client::{Client, Conversation};
use tokio::runtime::Builder;

use super::account::Account;

mod input;
mod line;
mod list;
mod room;
mod screen;
mod script;
mod talk;
mod word;

const EXAMPLES: &str = "\
Examples:
  whimbrel chat --user alice                     choose a conversation, then type
  whimbrel chat --user alice --to bob
  tail -f log | whimbrel chat --user ada --conversation team     every line becomes a message

At the prompt /help lists the commands. From a pipe every line is sent as it is, lines from others are printed, and
the end of input waits until everything is stored.";

/// Talk in a terminal, or from a script.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Chat {
    #[command(flatten)]
    account: Account,
    /// Open the direct conversation with this user
    #[arg(long, value_name = "USER", conflicts_with = "conversation")]
    to: Option<String>,
    /// Open this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
}

impl Chat {
    pub fn run(self) -> anyhow::Result<()> {
        // A second thread keeps messages coming while one writes to a slow terminal.
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().context("no runtime")?;
        runtime.block_on(async {
            let client = self.account.connect().await?;
            let opened = self.opened(&client);
            match std::io::stdin().is_terminal() {
                true => talk::run(client, opened).await,
                false => script::run(client, opened).await,
            }
        })
    }

    fn opened(&self, client: &Client) -> Option<Conversation> {
        let direct = self.to.as_ref().map(|user| client.direct(user));
        direct.or_else(|| self.conversation.as_ref().map(|id| client.conversation(id)))
    }
}
