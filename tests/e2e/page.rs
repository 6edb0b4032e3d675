//! The chat page, in a browser, with somebody on the Rust SDK at the other end.

use std::time::Duration;

use client::{Client, Since};
use futures::StreamExt;
use serde_json::json;

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

/// Two people, each in a window of an own browser: what one changes the other sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_recalls_are_seen_by_the_other() {
    let gateway = Gateway::dev().await;
    let (alice, bob) = tokio::join!(sign_in(&gateway, "Alice"), sign_in(&gateway, "Bob"));
    alice.type_into("#new-chat-user", "bob\u{E007}").await;
    alice.type_into("#text", "see you at sevn\u{E007}").await;
    alice.wait_for("#messages .mine.sent .text", "see you at sevn").await;
    bob.click("#list button", "Alice").await;
    bob.wait_for("#messages .theirs .text", "see you at sevn").await;
    bob.type_into("#text", "fine\u{E007}").await;
    alice.wait_for("#messages .theirs .text", "fine").await;
    // With the mouse: menu, Edit, the text anew.
    alice.click("#messages .mine .more", "").await;
    alice.screenshot("page-menu.png").await;
    alice.click("#menu button", "Edit").await;
    alice.wait_for("#editing", "Editing a message").await;
    alice.screenshot("page-editing.png").await;
    alice.type_into("#text", "\u{E009}a\u{E009}see you at seven\u{E007}").await;
    for page in [&alice, &bob] {
        page.wait_for("#messages .text", "see you at seven").await;
        page.wait_for("#messages .meta", "edited").await;
    }
    assert_eq!(bob.count("#messages article").await, 2, "an edit is no message of its own");
    assert_eq!(bob.count("#messages .theirs .more").await, 0, "nobody changes what another wrote");
    // With the keyboard: arrow up edits the latest own message, Escape leaves it as it was.
    bob.type_into("#text", "\u{E013}").await;
    bob.wait_for("#editing", "").await;
    bob.type_into("#text", " indeed\u{E00C}").await;
    assert_eq!(bob.run("return document.getElementById('text').value", json!([])).await, "");
    bob.type_into("#text", "\u{E013}").await;
    bob.type_into("#text", " with me\u{E007}").await;
    alice.wait_for("#messages .theirs .text", "fine with me").await;
    alice.wait_for("#list .row-preview", "fine with me").await;
    // A recall, by keys alone: from the composer back to the message, its menu, the question.
    bob.type_into("#messages .mine .more", "\u{E007}").await;
    bob.keys("\u{E015}\u{E007}").await;
    bob.wait_for("#recall", "Recall this message?").await;
    bob.screenshot("page-recall.png").await;
    bob.keys("\u{E004}\u{E007}").await;
    for page in [&alice, &bob] {
        page.wait_for("#messages .muted .text", "This message was recalled").await;
    }
    assert!(!alice.text().await.contains("fine with me"), "nothing is left of what was recalled");
    alice.wait_for("#messages .mine.read", "").await;
    alice.screenshot("page-changed.png").await;
    alice.resize(390, 844).await;
    alice.screenshot("page-changed-phone.png").await;
    // Who comes anew sees the same.
    bob.open(&url(&gateway)).await;
    bob.click("#list button", "Alice").await;
    bob.wait_for("#messages .theirs .text", "see you at seven").await;
    bob.wait_for("#messages .mine.muted .text", "This message was recalled").await;
}

/// A page that nobody looks at for a while is away; its user's other end is told, and told again when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_stays_hidden_is_away() {
    let gateway = Gateway::dev().await;
    let (alice, bob) = tokio::join!(sign_in(&gateway, "Alice"), sign_in(&gateway, "Bob"));
    alice.type_into("#new-chat-user", "bob\u{E007}").await;
    alice.type_into("#text", "there?\u{E007}").await;
    alice.wait_for("#open-about", "online").await;
    // The moment passes in which the page is away, and the server's grace.
    bob.minimize().await;
    let patience = Duration::from_secs(60);
    alice.wait_long("#open-about", "away", patience).await;
    alice.wait_for(".open-head .avatar.away", "").await;
    alice.wait_for("#list .avatar.away", "").await;
    alice.screenshot("page-away.png").await;
    bob.resize(1100, 800).await;
    alice.wait_for("#open-about", "online").await;
}

async fn sign_in(gateway: &Gateway, name: &str) -> Browser {
    let page = Browser::start().await;
    page.open(&url(gateway)).await;
    page.click("#signin-list button", &format!("Sign in as {name}")).await;
    page.wait_for("#connection", "Connected").await;
    page
}

fn url(gateway: &Gateway) -> String {
    format!("http://localhost:{}/", gateway.http.port())
}
