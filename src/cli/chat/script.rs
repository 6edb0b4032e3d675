//! Lines in, lines out.

use std::collections::VecDeque;

use anyhow::{anyhow, bail};
use client::{Client, Conversation, MessageStream, Sending, Since};
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::line;
use crate::cli::terminal::say;

/// Sends on their way above which no further line is read.
const SENDS: usize = 256;

/// Sends every line; ends when the input has ended and everything is stored.
pub async fn run(client: Client, opened: Option<Conversation>) -> anyhow::Result<()> {
    let Some(conversation) = opened else {
        bail!("name --to USER or --conversation ID where standard input is not a terminal");
    };
    let mut messages = conversation.messages(Since::Latest);
    let outcome = talk(&client, &conversation, &mut messages).await;
    drop((messages, conversation));
    client.close().await;
    outcome
}

async fn talk(client: &Client, to: &Conversation, messages: &mut MessageStream) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut sendings: VecDeque<Sending> = VecDeque::new();
    let mut open = true;
    while open || !sendings.is_empty() {
        tokio::select! {
            line = lines.next_line(), if open && sendings.len() < SENDS => match line? {
                Some(line) if line.is_empty() => {}
                Some(line) => sendings.push_back(to.send(line)),
                None => open = false,
            },
            message = messages.next() => match message {
                Some(message) => show(client, &message)?,
                None => bail!("{}", ended(messages)),
            },
            ack = first(&mut sendings) => {
                sendings.pop_front();
                ack.map_err(|error| anyhow!("not sent: {error}"))?;
            }
        }
    }
    Ok(())
}

/// The acks come in the order of the sends, so only the first is waited for.
async fn first(sendings: &mut VecDeque<Sending>) -> Result<client::Ack, client::SendError> {
    match sendings.front_mut() {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

fn show(client: &Client, message: &client::Message) -> anyhow::Result<()> {
    let own = message.sender_device == client.device_id();
    match message.text().filter(|_| !own && !message.hidden && message.change().is_none()) {
        Some(text) => Ok(say(&format!("{}: {}", line::plain(&message.sender), line::plain(text)))?),
        None => Ok(()),
    }
}

fn ended(messages: &MessageStream) -> String {
    let reason = messages.ended_because();
    reason.map_or_else(|| "the conversation has ended".to_owned(), |error| error.to_string())
}
