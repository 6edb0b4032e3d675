//! The chat page, in a browser, with somebody on the Rust SDK at the other end.

use client::{Client, Since};
use futures::StreamExt;

use crate::support::browser::Browser;
use crate::support::process::Gateway;
use crate::support::soon;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_in_a_browser_talks_with_a_device() {
    let mut gateway = Gateway::dev().await;
    let bob = Client::builder(gateway.tcp_url()).token(gateway.token("bob")).connect().await.unwrap();
    let room = bob.direct("alice");
    let mut messages = room.messages(Since::Start);
    let page = Browser::start().await;
    page.open(&format!("http://localhost:{}/", gateway.http.port())).await;

    page.click("#signin-list button", "Sign in as Alice").await;
    page.wait_for("#connection", "Connected").await;
    page.type_into("#new-chat-user", "bob\u{E007}").await;
    page.type_into("#text", "hello from the page\u{E007}").await;
    let heard = async {
        while let Some(message) = messages.next().await {
            if message.text() == Some("hello from the page") {
                return message;
            }
        }
        panic!("the stream ended: {:?}", messages.ended_because())
    };
    let heard = soon("the page's message", heard).await;
    assert_eq!(heard.sender, "alice");

    room.send("hello from the device <b>not bold</b>").await.unwrap();
    page.wait_for("#messages .theirs .text", "hello from the device <b>not bold</b>").await;
    page.screenshot("page.png").await;

    // The page survives a crash of the gateway: what is typed meanwhile goes out once it is back.
    gateway.kill();
    page.type_into("#text", "typed while the gateway was down\u{E007}").await;
    gateway.launch().await;
    page.wait_for(
        "#messages .mine.sent .text, #messages .mine.read .text",
        "typed while the gateway was down",
    )
    .await;
    let history = room.history(10).await.unwrap();
    let texts: Vec<&str> = history.messages.iter().filter_map(|message| message.text()).collect();
    let expected =
        ["hello from the page", "hello from the device <b>not bold</b>", "typed while the gateway was down"];
    assert!(texts.ends_with(&expected), "{texts:?}");
    page.screenshot("page-after-crash.png").await;
}
