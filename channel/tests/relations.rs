//! Edits, recalls and hidden messages as devices see them, and lists of what has changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use protocol::code::Code;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::relation::Kind;
use protocol::v1::server_frame::Body;
use protocol::v1::*;
use support::*;

fn id(n: u8) -> bytes::Bytes {
    vec![n; 16].into()
}

fn content(text: &str) -> Option<Content> {
    Some(Content { r#type: "text/plain".into(), data: text.to_owned().into() })
}

fn say(n: u8, text: &str) -> Send {
    Send { conversation: "room".into(), client_msg_id: id(n), content: content(text), ..Send::default() }
}

fn related(n: u8, kind: Kind, seq: u64, text: &str) -> Send {
    let content = if kind == Kind::Recall { None } else { content(text) };
    Send { content, relation: Some(Relation { kind: kind.into(), seq }), ..say(n, "") }
}

async fn send(at: &mut Connector, device: &Device, send: Send) -> Result<u64, Code> {
    match at.ask(device, Ask::Send(send)).await {
        Body::SendAck(ack) => Ok(ack.seq),
        Body::Error(error) => Err(Code::from_number(error.code).unwrap()),
        other => panic!("{other:?}"),
    }
}

async fn pull(at: &mut Connector, device: &Device, from: u64) -> Vec<Message> {
    let range = SyncRange { conversation: "room".into(), from, ..SyncRange::default() };
    match at.ask(device, Ask::Sync(Sync { ranges: vec![range] })).await {
        Body::SyncResult(mut result) => result.ranges.remove(0).messages,
        other => panic!("{other:?}"),
    }
}

async fn list(at: &mut Connector, device: &Device, asked: ListConversations) -> ConversationPage {
    match at.ask(device, Ask::ListConversations(asked)).await {
        Body::Conversations(page) => page,
        other => panic!("{other:?}"),
    }
}

async fn row(at: &mut Connector, device: &Device) -> ConversationSummary {
    list(at, device, ListConversations::default()).await.conversations.remove(0)
}

fn text(message: &Message) -> Option<&str> {
    message.content.as_ref().map(|content| std::str::from_utf8(&content.data).unwrap())
}

/// Alice and Bob have a room; Alice speaks from a connector where nobody listens.
async fn room(world: &World) -> (Connector, Device) {
    world.seed("room", vec![member("alice", 1), member("bob", 1)], &[], 5).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    (at, alice)
}

/// Bob, asked over a connector of his own where pushes are of no interest.
async fn bob_sees(world: &World, from: u64) -> (Vec<Message>, ConversationSummary) {
    let mut at = world.connector(2);
    let bob = at.login("bob", "phone").await;
    let seen = (pull(&mut at, &bob, from).await, row(&mut at, &bob).await);
    at.detach(&bob);
    seen
}

#[tokio::test]
async fn an_edit_is_an_entry_and_shows_in_the_list() {
    let world = World::new().await;
    let (mut at, alice) = room(&world).await;
    assert_eq!(send(&mut at, &alice, say(1, "helo")).await, Ok(2));
    assert_eq!(send(&mut at, &alice, related(2, Kind::Edit, 2, "hello")).await, Ok(3));
    let (seen, row) = bob_sees(&world, 2).await;
    let texts: Vec<Option<&str>> = seen.iter().map(text).collect();
    assert_eq!(texts, [Some("helo"), Some("hello")], "both entries are served");
    assert_eq!(seen[1].relation, Some(Relation { kind: Kind::Edit.into(), seq: 2 }));
    let last = row.last_message.unwrap();
    assert_eq!((row.tip, row.unread, last.seq, last.edited), (3, 1, 2, 3));
    assert_eq!(text(&last), Some("hello"));
}

#[tokio::test]
async fn what_was_recalled_is_served_to_nobody() {
    let world = World::new().await;
    let (mut at, alice) = room(&world).await;
    assert_eq!(send(&mut at, &alice, say(1, "the secret")).await, Ok(2));
    assert_eq!(send(&mut at, &alice, related(2, Kind::Edit, 2, "the secret word")).await, Ok(3));
    assert_eq!(send(&mut at, &alice, related(3, Kind::Recall, 2, "")).await, Ok(4));
    for from in 2..=4 {
        let (seen, row) = bob_sees(&world, from).await;
        assert_eq!(
            seen.iter().map(|message| message.seq).collect::<Vec<_>>(),
            (from..=4).collect::<Vec<_>>()
        );
        assert!(seen.iter().all(|message| message.content.is_none() && message.sender == "alice"));
        assert!(seen.iter().all(|message| message.recalled == (message.seq < 4)));
        let last = row.last_message.unwrap();
        assert_eq!((last.seq, last.recalled, last.content, last.edited), (2, true, None, 0));
    }
    let again = send(&mut at, &alice, related(4, Kind::Edit, 2, "again")).await;
    assert_eq!(again, Err(Code::INVALID_REQUEST));
}

#[tokio::test]
async fn hidden_messages_are_stored_and_not_counted() {
    let world = World::new().await;
    let (mut at, alice) = room(&world).await;
    assert_eq!(send(&mut at, &alice, say(1, "seen")).await, Ok(2));
    for n in 2..5 {
        let hidden = Send { hidden: true, ..say(n, "state") };
        assert_eq!(send(&mut at, &alice, hidden).await, Ok(u64::from(n) + 1));
    }
    let (seen, row) = bob_sees(&world, 1).await;
    assert_eq!(seen.iter().filter(|message| message.hidden).count(), 3);
    assert_eq!((row.tip, row.unread, row.last_message.unwrap().seq), (5, 1, 2));
}

#[tokio::test]
async fn an_edit_of_an_old_message_reads_the_log() {
    let world = World::new().await;
    let texts: Vec<Vec<u8>> = (0..300).map(|n| format!("text {n}").into_bytes()).collect();
    world.seed("room", vec![member("alice", 1), member("bob", 1)], &texts, 5).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let bob_at = &mut world.connector(2);
    let bob = bob_at.login("bob", "phone").await;
    assert_eq!(send(bob_at, &bob, related(1, Kind::Recall, 3, "")).await, Err(Code::NOT_ALLOWED));
    bob_at.detach(&bob);
    assert_eq!(send(&mut at, &alice, related(1, Kind::Edit, 3, "new")).await, Ok(302));
    assert_eq!(send(&mut at, &alice, related(2, Kind::Recall, 3, "")).await, Ok(303));
    assert_eq!(send(&mut at, &alice, related(3, Kind::Recall, 304, "")).await, Err(Code::INVALID_REQUEST));
}

#[tokio::test]
async fn only_what_changed_is_listed_and_everything_for_an_unknown_version() {
    let world = World::new().await;
    for n in 0..7 {
        world.seed(&format!("room-{n}"), vec![member("alice", 1)], &[], 5).await;
    }
    let (mut at, alice) = room(&world).await;
    let first = list(&mut at, &alice, ListConversations { limit: 3, ..Default::default() }).await;
    assert!(!first.version.is_empty() && !first.next_page.is_empty());
    let since = |version: &bytes::Bytes, limit| ListConversations {
        since_version: version.clone(),
        limit,
        ..Default::default()
    };
    let nothing = list(&mut at, &alice, since(&first.version, 3)).await;
    assert_eq!((nothing.conversations.len(), nothing.next_page.len()), (0, 0));

    assert_eq!(send(&mut at, &alice, say(1, "x")).await, Ok(2));
    let mark = Mark { conversation: "room-3".into(), read: 1, delivered: 1 };
    assert!(matches!(at.ask(&alice, Ask::Mark(mark)).await, Body::Cursor(_)));
    let mut names = Vec::new();
    let mut page = list(&mut at, &alice, since(&first.version, 1)).await;
    loop {
        names.extend(page.conversations.iter().map(|row| row.conversation.clone()));
        assert_eq!(page.version.is_empty(), !page.next_page.is_empty(), "said when all is told");
        if page.next_page.is_empty() {
            break;
        }
        let asked = ListConversations { page: page.next_page, limit: 1, ..Default::default() };
        page = list(&mut at, &alice, asked).await;
    }
    assert_eq!(names, ["room", "room-3"]);
    let nothing = list(&mut at, &alice, since(&page.version, 3)).await;
    assert_eq!(nothing.conversations.len(), 0);

    // Another store's version.
    let mut foreign = page.version.to_vec();
    foreign[0] ^= 1;
    let all = list(&mut at, &alice, since(&foreign.into(), 0)).await;
    assert_eq!((all.conversations.len(), all.version.is_empty()), (8, false));
    let bad = at.ask(&alice, Ask::ListConversations(since(&b"short"[..].into(), 0))).await;
    assert!(matches!(bad, Body::Error(error) if error.code == Code::INVALID_REQUEST.number()));
}
