//! Answers every direct message with its own text: `echo ADDRESS TOKEN USER`.

use futures::StreamExt;
use whimbrel_client::{Client, Since};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, token, user] = arguments()?;
    let client = Client::builder(address).token(token).installation("echo").connect().await?;
    let conversation = client.direct(&user);
    let mut messages = conversation.messages(Since::Latest);
    while let Some(message) = messages.next().await {
        if message.sender == user
            && let Some(text) = message.text()
        {
            conversation.send(text).await?;
        }
    }
    Ok(())
}

fn arguments() -> Result<[String; 3], String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| "usage: echo ADDRESS TOKEN USER".to_owned())
}
