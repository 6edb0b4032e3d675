//! `whimbrel send`

use anyhow::{Context, anyhow};
use clap::Args;
use client::{Client, Conversation, RequestError};
use tokio::runtime::Builder;

use super::account::{ANSWER_WITHIN, Account};
use super::terminal::say;

const EXAMPLES: &str = "\
Examples:
  whimbrel send --user alice --to bob \"hello\"
  whimbrel send --token \"$TOKEN\" --conversation team \"the build is green\"
  whimbrel send --user alice --to bob -- \"-1 is below 0\"

A text that begins with - stands behind --. The message's seq is printed once
it is stored. A failure is one line on standard error and exit code 1.";

/// Send one message.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Send {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    target: Target,
    /// The text
    text: String,
}

/// Where messages go.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the direct conversation with this user
    #[arg(long, value_name = "USER")]
    to: Option<String>,
    /// To this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
}

impl Send {
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
        runtime.block_on(async {
            let client = self.account.connect().await?;
            let outcome = self.send(&client).await;
            client.close().await;
            Ok(say(&outcome?.to_string())?)
        })
    }

    async fn send(&self, client: &Client) -> anyhow::Result<u64> {
        let sending = self.target.conversation(client).send(self.text.as_str());
        match tokio::time::timeout(ANSWER_WITHIN, sending).await {
            Ok(ack) => Ok(ack.map_err(failed)?.seq),
            Err(_) => Err(anyhow!(
                "no answer in {} s; the message may or may not be stored",
                ANSWER_WITHIN.as_secs()
            )),
        }
    }
}

impl Target {
    fn conversation(&self, client: &Client) -> Conversation {
        match (&self.to, &self.conversation) {
            (Some(user), _) => client.direct(user),
            (None, id) => client.conversation(id.clone().unwrap_or_default()),
        }
    }
}

fn failed(error: RequestError) -> anyhow::Error {
    anyhow!("not sent: {error}")
}
