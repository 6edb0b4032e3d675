//! Prints a conversation from its beginning and as it goes on: `tail ADDRESS TOKEN CONVERSATION`.

use std::io::Write;

use futures::StreamExt;
use whimbrel_client::{Client, Since};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, token, conversation] = arguments()?;
    let client = Client::builder(address).token(token).connect().await?;
    let mut messages = client.conversation(conversation).messages(Since::Start);
    let mut out = std::io::stdout();
    while let Some(message) = messages.next().await {
        // Who was added or removed is an entry, too, without a text.
        if message.members_changed.is_none() {
            writeln!(out, "{} {}: {}", message.seq, message.sender, message.text().unwrap_or("(not text)"))?;
        }
    }
    messages.ended_because().map_or(Ok(()), |error| Err(error.into()))
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: tail ADDRESS TOKEN CONVERSATION".to_owned())
}
