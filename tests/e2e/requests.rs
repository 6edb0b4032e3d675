//! Requests that are refused, on connections that stay.

use protocol::code::Code;
use protocol::limit::*;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::*;

use crate::support::process::Gateway;
use crate::support::raw::{Raw, hello, refused, text, text_to};
use crate::support::tokens::TENANT;

/// What a device is told, the texts included.
async fn error(raw: &mut Raw, body: Ask) -> Error {
    match raw.request(body).await {
        Told::Error(error) => error,
        other => panic!("no Error: {other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_request_is_unimplemented() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    // ClientFrame { id: 77, field 200: <two bytes> }
    raw.bytes(&[0, 0, 0, 8, 0, 0x10, 77, 0xC2, 0x0C, 0x02, 0x08, 0x01]).await;
    assert_eq!(refused(raw.answer(77).await), Code::UNIMPLEMENTED);
    raw.send(text_to("bob", "the connection stays")).await;
}

#[tokio::test]
async fn what_one_may_not_see_looks_like_what_is_not_there() {
    let gateway = Gateway::start().await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let (mut mallory, _) = Raw::login(&gateway, "mallory", "phone").await;
    let room = alice.create(&["bob"]).await;
    let direct = alice.send(text_to("bob", "private")).await.conversation;
    let absent = format!("g:{}", "0".repeat(26));
    for conversation in [&room, &direct] {
        for (forbidden, nothing) in asked_of(conversation).into_iter().zip(asked_of(&absent)) {
            let (forbidden, nothing) =
                (error(&mut mallory, forbidden).await, error(&mut mallory, nothing).await);
            assert_eq!(forbidden.code, Code::NOT_FOUND.number(), "{forbidden:?}");
            assert_eq!(forbidden, nothing, "{conversation}");
        }
        let (forbidden, nothing) = (mallory.sync(conversation, 1).await, mallory.sync(&absent, 1).await);
        assert_eq!(forbidden.error.as_ref().map(|error| error.code), Some(Code::NOT_FOUND.number()));
        assert_eq!(forbidden, SyncedRange { conversation: conversation.clone(), ..nothing });
    }
    alice.send(text(&room, "nothing happened")).await;
    assert_eq!(alice.sync_all(&room, 1).await.len(), 2);
}

/// Every request about one conversation.
fn asked_of(conversation: &str) -> Vec<Ask> {
    let conversation = conversation.to_owned();
    let add = vec![NewMember { user: "mallory".into(), role: 0, with_history: true }];
    vec![
        Ask::Send(text(&conversation, "let me in")),
        Ask::Mark(Mark { conversation: conversation.clone(), read: 1, delivered: 0 }),
        Ask::ListMembers(ListMembers { conversation: conversation.clone(), after: String::new(), limit: 0 }),
        Ask::ChangeMembers(ChangeMembers {
            conversation: conversation.clone(),
            client_msg_id: vec![7; 16].into(),
            add,
            remove: vec![],
        }),
        Ask::Signal(Signal { conversation, r#type: "typing".into(), data: Default::default() }),
    ]
}

#[tokio::test]
async fn tenants_do_not_meet() {
    let gateway = Gateway::start().await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let room = alice.create(&["bob"]).await;
    // The same name in another tenant is somebody else.
    let mut other = Raw::connect(gateway.tcp).await;
    other.hello(hello(&gateway.issuer.lasting("other", "bob", 3_600), "phone")).await.unwrap();
    assert_eq!(refused(other.request(Ask::Send(text(&room, "hi"))).await), Code::NOT_FOUND);
    assert_eq!(other.sync(&room, 1).await.messages, []);
    let direct = other.send(text_to("alice", "another alice")).await;
    assert_eq!((direct.conversation.as_str(), direct.seq), ("d:alice~bob", 2));
    assert_eq!(alice.sync("d:alice~bob", 1).await.messages, [], "tenant {TENANT} has no such conversation");
}

#[tokio::test]
async fn content_above_the_limit_is_refused_and_at_the_limit_is_not() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let sized = |bytes: usize| Ask::Send(text_to("bob", &"x".repeat(bytes)));
    assert_eq!(refused(raw.request(sized(MAX_CONTENT_BYTES + 1)).await), Code::CONTENT_TOO_LARGE);
    let Told::SendAck(ack) = raw.request(sized(MAX_CONTENT_BYTES)).await else { panic!("it fits") };
    let stored = raw.sync(&ack.conversation, ack.seq).await.messages;
    assert_eq!(stored[0].content.as_ref().map(|content| content.data.len()), Some(MAX_CONTENT_BYTES));
}

#[tokio::test]
async fn malformed_fields_are_invalid_requests() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let good = text_to("bob", "x");
    let bad = [
        Send { client_msg_id: vec![1; 15].into(), ..good.clone() },
        Send { client_msg_id: Default::default(), ..good.clone() },
        Send { content: None, ..good.clone() },
        Send { to_user: "a~b".into(), ..good.clone() },
        Send { to_user: "x".repeat(MAX_USER_BYTES + 1), ..good.clone() },
        Send { to_user: "line\nbreak".into(), ..good.clone() },
        Send { to_user: String::new(), conversation: String::new(), ..good.clone() },
        Send { after: vec![1; 3].into(), ..good.clone() },
    ];
    for send in bad {
        let told = raw.request(Ask::Send(send.clone())).await;
        assert_eq!(refused(told), Code::INVALID_REQUEST, "{send:?}");
    }
    raw.send(good).await;
}

#[tokio::test]
async fn more_than_the_limit_allows_is_too_many() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let ranges =
        vec![SyncRange { conversation: "d:alice~bob".into(), ..SyncRange::default() }; MAX_SYNC_RANGES + 1];
    assert_eq!(refused(raw.request(Ask::Sync(Sync { ranges })).await), Code::TOO_MANY);
    let conversations = vec!["d:alice~bob".to_owned(); MAX_WATCHED + 1];
    assert_eq!(refused(raw.request(Ask::Watch(Watch { conversations })).await), Code::TOO_MANY);
    let member = |n: usize| NewMember { user: format!("u{n}"), ..NewMember::default() };
    let members = (0..=MAX_MEMBERS_PER_CHANGE).map(member).collect();
    let create = CreateConversation { client_msg_id: vec![1; 16].into(), title: String::new(), members };
    assert_eq!(refused(raw.request(Ask::CreateConversation(create)).await), Code::TOO_MANY);
}

#[tokio::test]
async fn a_send_after_one_that_was_refused_is_out_of_order() {
    let gateway = Gateway::start().await;
    let (mut raw, _) = Raw::login(&gateway, "alice", "phone").await;
    let first = Send { content: None, ..text_to("bob", "") };
    let second = Send { after: first.client_msg_id.clone(), ..text_to("bob", "second") };
    let (first, second) = (raw.ask(Ask::Send(first)).await, raw.ask(Ask::Send(second)).await);
    assert_eq!(refused(raw.answer(first).await), Code::INVALID_REQUEST);
    assert_eq!(refused(raw.answer(second).await), Code::OUT_OF_ORDER);
    assert_eq!(raw.sync("d:alice~bob", 1).await.messages, []);
}

#[tokio::test]
async fn who_has_left_sees_nothing_new() {
    let gateway = Gateway::start().await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    let room = alice.create(&["bob"]).await;
    alice.send(text(&room, "before")).await;
    let leave = ChangeMembers {
        conversation: room.clone(),
        client_msg_id: vec![9; 16].into(),
        add: vec![],
        remove: vec!["bob".into()],
    };
    let Told::SendAck(left) = bob.request(Ask::ChangeMembers(leave)).await else {
        panic!("anybody may leave")
    };
    alice.send(text(&room, "after")).await;
    assert_eq!(refused(bob.request(Ask::Send(text(&room, "hello?"))).await), Code::NOT_FOUND);
    let seen = bob.sync(&room, 1).await;
    assert_eq!(seen.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), [1, 2, left.seq]);
    assert!(seen.tip <= left.seq, "the tip beyond is not his to know: {}", seen.tip);
}
