//! The frames that have a golden encoding: every body with typical and edge values.

use bytes::Bytes;
use whimbrel_protocol::code::Code;
use whimbrel_protocol::frame::FLAG_BATCH;
use whimbrel_protocol::v1::{self, ClientFrame, ServerFrame, client_frame, server_frame};

/// One fixture. `raw` is a frame body that means `messages` but is not what an encoder writes.
pub struct Case<M> {
    pub name: &'static str,
    pub batch: bool,
    pub messages: Vec<M>,
    pub raw: Option<Bytes>,
}

impl<M> Case<M> {
    pub fn flags(&self) -> u8 {
        if self.batch { FLAG_BATCH } else { 0 }
    }
}

pub fn client_cases() -> Vec<Case<ClientFrame>> {
    let mut cases = client_plain();
    cases.extend(client_requests());
    cases.extend(client_unusual());
    cases
}

pub fn server_cases() -> Vec<Case<ServerFrame>> {
    let mut cases = server_session();
    cases.extend(server_messages());
    cases.extend(server_answers());
    cases.extend(crate::presence::server_presence());
    cases.extend(server_unusual());
    cases
}

/// A message with every field set.
pub fn full_message() -> v1::Message {
    v1::Message {
        conversation: "d:alice~bob".into(),
        seq: 42,
        at_ms: 1_767_225_600_123,
        sender: "alice".into(),
        sender_device: 0x0123_4567_89ab_cdef,
        client_msg_id: id(7),
        content: text("héllo, 世界 🐦"),
        relation: Some(v1::Relation { kind: v1::relation::Kind::Reply.into(), seq: 41 }),
        hidden: true,
        members_changed: Some(members_changed()),
        recalled: true,
        edited: u64::MAX,
    }
}

fn client_plain() -> Vec<Case<ClientFrame>> {
    use client_frame::Body::*;
    let hello = v1::Hello {
        version_min: 1,
        version_max: 1,
        features: 0,
        client: Some(v1::ClientInfo { name: "app".into(), version: "1.2.3".into(), platform: "web".into() }),
        token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into(),
        installation: "tab-5f2d".into(),
        device_type: 1,
        resume: Some(v1::Resume { token: Bytes::from_static(&[0, 1, 254, 255]), last_seq: u64::MAX }),
        receive_window: u32::MAX,
    };
    let empty_resume = v1::Hello { resume: Some(Default::default()), ..Default::default() };
    vec![
        one("no_body", ClientFrame::default()),
        one("ack_only", ClientFrame { ack: 300, id: 0, body: None }),
        one("largest_ack_and_id", ClientFrame { ack: u64::MAX, id: u64::MAX, body: None }),
        one("hello", client(1, Hello(hello))),
        one("hello_empty", client(0, Hello(v1::Hello::default()))),
        one("hello_with_empty_resume", client(1, Hello(empty_resume))),
        one("ping", client(127, Ping(v1::Ping {}))),
        one("bye", client(128, Bye(v1::Bye {}))),
        one("refresh_auth", client(2, RefreshAuth(v1::RefreshAuth { token: "a.b.c".into() }))),
        one("ping_with_ack", ClientFrame { ack: 9, id: 0, body: Some(Ping(v1::Ping {})) }),
    ]
}

fn client_requests() -> Vec<Case<ClientFrame>> {
    use client_frame::Body::*;
    let send = v1::Send {
        conversation: "g:000000000000000000000000000".into(),
        to_user: String::new(),
        client_msg_id: id(1),
        content: text("Grüße 👩‍👩‍👧 עולם"),
        relation: Some(v1::Relation { kind: v1::relation::Kind::Recall.into(), seq: u64::MAX }),
        no_store: true,
        hidden: true,
        after: id(0),
    };
    let to_user = v1::Send {
        to_user: "bob".into(),
        client_msg_id: id(2),
        content: Some(v1::Content { r#type: "application/octet-stream".into(), data: Bytes::new() }),
        relation: Some(v1::Relation::default()),
        ..Default::default()
    };
    let ranges = vec![
        v1::SyncRange { conversation: "a".into(), from: 1, backwards: false, limit: 0 },
        v1::SyncRange { conversation: "d:alice~bob".into(), from: 0, backwards: true, limit: 50 },
        v1::SyncRange { conversation: "最".into(), from: u64::MAX, backwards: true, limit: u32::MAX },
        v1::SyncRange::default(),
    ];
    let create = v1::CreateConversation {
        client_msg_id: id(3),
        title: "Küche & Bad".into(),
        members: vec![member("bob", v1::Role::Owner, true), member("", v1::Role::Member, false)],
    };
    let change = v1::ChangeMembers {
        conversation: "g:1".into(),
        client_msg_id: id(4),
        add: vec![member("carol", v1::Role::Agent, false)],
        remove: vec!["dave".into(), String::new(), "eve".into()],
    };
    let members = v1::ListMembers { conversation: "g:1".into(), after: "bob".into(), limit: 100 };
    let mark = v1::Mark { conversation: "g:1".into(), read: 128, delivered: 16_384 };
    let watch = v1::Watch { conversations: vec!["g:1".into(), "g:2".into()] };
    let since_version = Bytes::from_static(&[7; 16]);
    let list = v1::ListConversations { page: Bytes::from_static(&[0]), limit: 20, since_version };
    let signal = v1::Signal {
        conversation: "g:1".into(),
        r#type: "typing".into(),
        data: Bytes::from_static(&[0, 128, 255]),
    };
    let ask_timeline = v1::AskTimeline { conversation: "g:1".into(), seq: 7, after: "bob".into() };
    vec![
        one("send", client(3, Send(send))),
        one("send_to_user_with_empty_content", client(4, Send(to_user))),
        one("send_empty", client(5, Send(v1::Send::default()))),
        one("sync", client(6, Sync(v1::Sync { ranges }))),
        one("sync_without_ranges", client(7, Sync(v1::Sync::default()))),
        one("mark", client(8, Mark(mark))),
        one("list_conversations", client(9, ListConversations(list))),
        one("list_conversations_first_page", client(10, ListConversations(Default::default()))),
        one("create_conversation", client(11, CreateConversation(create))),
        one("change_members", client(12, ChangeMembers(change))),
        one("list_members", client(13, ListMembers(members))),
        one("watch", client(14, Watch(watch))),
        one("watch_nothing", client(15, Watch(v1::Watch::default()))),
        one("signal", client(0, Signal(signal))),
        one("set_presence_away", client(16, SetPresence(v1::SetPresence { away: true }))),
        one("set_presence_back", client(17, SetPresence(v1::SetPresence { away: false }))),
        one("ask_timeline", client(18, AskTimeline(ask_timeline))),
    ]
}

fn client_unusual() -> Vec<Case<ClientFrame>> {
    use client_frame::Body::*;
    let ping = |id| client(id, Ping(v1::Ping {}));
    let mark = v1::Mark { conversation: "c".into(), read: 2, delivered: 0 };
    let wide = v1::Mark { conversation: String::new(), read: u64::MAX, delivered: 0 };
    vec![
        batch("batch_of_three", vec![ping(1), ClientFrame::default(), client(2, Mark(mark.clone()))]),
        batch("batch_of_none", vec![]),
        // Field 20 (bytes), 21 (varint), 22 (32 bits), 23 (64 bits), 24 (a group) are not in the schema.
        raw(
            "unknown_fields",
            ping(1),
            "1001a201020102a801ffffffffffffffffff01b501000000002200b9010000000000000000c301080ac401",
        ),
        raw("unknown_body", client_without_body(1), "1001f20102c3a4"),
        raw("fields_out_of_order", ping(1), "22001001"),
        raw("the_last_number_counts", ping(2), "100110022200"),
        raw("the_last_body_counts", client(1, Mark(mark)), "1001220032050a01631002"),
        raw("a_body_in_two_parts_is_merged", client(0, Mark(wide)), "3202100532 0b10ffffffffffffffffff01"),
        raw("varint_longer_than_needed", client_without_body(1), "10818000"),
        raw("default_written_out", client_without_body(0), "08001000"),
    ]
}

fn server_session() -> Vec<Case<ServerFrame>> {
    use server_frame::Body::*;
    let welcome = v1::Welcome {
        version: 1,
        features: u64::MAX,
        outcome: v1::welcome::Outcome::Resumed.into(),
        session_id: id(5),
        device_id: u64::MAX,
        resume_token: Bytes::from_static(b"resume"),
        resume_ttl_ms: 120_000,
        heartbeat_ms: 30_000,
        limits: Some(v1::Limits {
            max_frame_bytes: 65_536,
            max_content_bytes: 49_152,
            max_requests_in_flight: 64,
            receive_window: 65_536,
        }),
        server_time_ms: i64::MAX,
        auth_expires_ms: i64::MIN,
        tenant: "demo".into(),
        user: "ålice".into(),
        endpoints: Vec::new(),
    };
    let elsewhere = v1::Welcome {
        endpoints: vec!["tls://b.example:7400".into(), "tls://ç:1".into()],
        ..Default::default()
    };
    let small = v1::Welcome {
        device_id: 1,
        limits: Some(Default::default()),
        server_time_ms: -1,
        ..Default::default()
    };
    let go_away =
        v1::GoAway { endpoint: "other.example:7000".into(), ..Code::SHUTTING_DOWN.go_away("moving") };
    let refreshed = v1::AuthRefreshed { expires_ms: 1_767_225_600_000, server_time_ms: 1_767_222_000_000 };
    vec![
        one("no_body", ServerFrame::default()),
        one("welcome", server(0, 1, Welcome(welcome))),
        one("welcome_small", server(0, 1, Welcome(small))),
        one("welcome_endpoints", server(0, 1, Welcome(elsewhere))),
        one("welcome_empty", server(0, 0, Welcome(v1::Welcome::default()))),
        one("pong", server(0, 3, Pong(v1::Pong {}))),
        one("tune", server(0, 0, Tune(v1::Tune { heartbeat_ms: u32::MAX }))),
        one("caught_up", server(0, 0, CaughtUp(v1::CaughtUp {}))),
        one("auth_refreshed", server(0, 2, AuthRefreshed(refreshed))),
        one(
            "auth_refreshed_without_a_clock",
            server(0, 2, AuthRefreshed(v1::AuthRefreshed { server_time_ms: 0, ..refreshed })),
        ),
        one("error", server(0, 9, Error(Code::SLOW_DOWN.plain_error()))),
        one("error_of_unknown_code", server(0, 9, Error(v1::Error { code: 999, ..Default::default() }))),
        one("go_away", server(0, 0, GoAway(go_away))),
        one("go_away_superseded", server(0, 0, GoAway(Code::SUPERSEDED.go_away("")))),
    ]
}

fn server_messages() -> Vec<Case<ServerFrame>> {
    use server_frame::Body::*;
    let unstored = v1::Message { sender: "bob".into(), content: text(""), ..Default::default() };
    let first = v1::Message {
        conversation: "g:1".into(),
        seq: 1,
        members_changed: Some(members_changed()),
        ..Default::default()
    };
    let ack = v1::SendAck {
        conversation: "d:alice~bob".into(),
        seq: u64::MAX,
        at_ms: 1_767_225_600_123,
        duplicate: true,
        client_msg_id: id(1),
    };
    let range = v1::SyncedRange {
        conversation: "d:alice~bob".into(),
        first: 41,
        last: 42,
        messages: vec![
            v1::Message { conversation: String::new(), ..full_message() },
            v1::Message { seq: 42, ..Default::default() },
        ],
        tip: 1 << 40,
        has_more: true,
        error: None,
    };
    let nothing = v1::SyncedRange { conversation: "a".into(), first: 1, last: 0, ..Default::default() };
    let refused = v1::SyncedRange {
        conversation: "b".into(),
        error: Some(Code::NOT_FOUND.plain_error()),
        ..Default::default()
    };
    let result = v1::SyncResult { ranges: vec![range, nothing, refused] };
    vec![
        one("message", server(1, 0, Message(full_message()))),
        one("message_of_largest_session_seq", server(u64::MAX, 0, Message(full_message()))),
        one("message_not_stored", server(2, 0, Message(unstored))),
        one("message_creating_a_conversation", server(3, 0, Message(first))),
        one("send_ack", server(0, 3, SendAck(ack))),
        one("send_ack_not_stored", server(0, 3, SendAck(v1::SendAck::default()))),
        one("head", server(4, 0, Head(v1::Head { conversation: "g:1".into(), tip: 1 << 35 }))),
        one("sync_result", server(0, 6, SyncResult(result))),
        one("sync_result_empty", server(0, 6, SyncResult(v1::SyncResult::default()))),
    ]
}

fn server_answers() -> Vec<Case<ServerFrame>> {
    use server_frame::Body::*;
    let summary = v1::ConversationSummary {
        conversation: "d:alice~bob".into(),
        info: Some(v1::ConversationInfo {
            kind: v1::conversation_info::Kind::Direct.into(),
            title: String::new(),
        }),
        role: v1::Role::Visitor.into(),
        tip: 42,
        read: 40,
        delivered: 41,
        unread: 2,
        last_message: Some(full_message()),
        active: true,
        peer: "bob".into(),
    };
    let page = v1::ConversationPage {
        conversations: vec![summary, v1::ConversationSummary::default()],
        next_page: Bytes::from_static(&[255, 0]),
        version: Bytes::from_static(&[0, 1]),
    };
    let bob = v1::Member {
        user: "bob".into(),
        role: v1::Role::Owner.into(),
        name: "Bob Ünal".into(),
        read: 1,
        delivered: 2,
        online: true,
    };
    let members = v1::MemberPage { members: vec![bob, v1::Member::default()], next_after: "bob".into() };
    let cursor = v1::Cursor { conversation: "g:1".into(), user: "bob".into(), read: 5, delivered: 6 };
    let signal = v1::SignalPush {
        conversation: "g:1".into(),
        user: "bob".into(),
        r#type: "typing".into(),
        data: Bytes::new(),
    };
    vec![
        one("cursor", server(5, 0, Cursor(cursor))),
        one("conversations", server(0, 7, Conversations(page))),
        one("conversations_none", server(0, 7, Conversations(v1::ConversationPage::default()))),
        one("members", server(0, 8, Members(members))),
        one("signal", server(0, 0, Signal(signal))),
    ]
}

fn server_unusual() -> Vec<Case<ServerFrame>> {
    use server_frame::Body::*;
    let pushes = vec![
        server(1, 0, Message(full_message())),
        server(0, 3, Pong(v1::Pong {})),
        server(2, 0, Head(v1::Head { conversation: "g:1".into(), tip: 9 })),
    ];
    let range = v1::SyncedRange {
        conversation: "c".into(),
        first: 1,
        last: 1,
        tip: 9,
        messages: vec![v1::Message { seq: 1, ..Default::default() }],
        ..Default::default()
    };
    let result = server(0, 1, SyncResult(v1::SyncResult { ranges: vec![range] }));
    vec![
        batch("batch_of_three", pushes),
        raw("unknown_fields", server(0, 3, Pong(v1::Pong {})), "10032a03800c01a206021234"),
        raw("messages_behind_the_tip", result, "10013a0f0a0d0a016310011801280922021001"),
    ]
}

fn client(id: u64, body: client_frame::Body) -> ClientFrame {
    ClientFrame { ack: 0, id, body: Some(body) }
}

fn client_without_body(id: u64) -> ClientFrame {
    ClientFrame { ack: 0, id, body: None }
}

pub fn server(session_seq: u64, re: u64, body: server_frame::Body) -> ServerFrame {
    ServerFrame { session_seq, re, body: Some(body) }
}

fn members_changed() -> v1::MembersChanged {
    v1::MembersChanged {
        added: vec![member("alice", v1::Role::Owner, true), member("bob", v1::Role::Visitor, false)],
        removed: vec!["carol".into()],
        created: Some(v1::ConversationInfo {
            kind: v1::conversation_info::Kind::Group.into(),
            title: "Team".into(),
        }),
    }
}

fn member(user: &str, role: v1::Role, with_history: bool) -> v1::NewMember {
    v1::NewMember { user: user.into(), role: role.into(), with_history }
}

fn text(text: &str) -> Option<v1::Content> {
    Some(v1::Content { r#type: "text/plain".into(), data: Bytes::copy_from_slice(text.as_bytes()) })
}

/// A client_msg_id: 16 bytes counting up from `first`.
fn id(first: u8) -> Bytes {
    (first..first + 16).collect()
}

pub fn one<M>(name: &'static str, message: M) -> Case<M> {
    Case { name, batch: false, messages: vec![message], raw: None }
}

fn batch<M>(name: &'static str, messages: Vec<M>) -> Case<M> {
    Case { name, batch: true, messages, raw: None }
}

fn raw<M>(name: &'static str, message: M, body: &str) -> Case<M> {
    let body = hex::decode(body.replace(' ', "")).expect("the table holds hex");
    Case { name, batch: false, messages: vec![message], raw: Some(body.into()) }
}
