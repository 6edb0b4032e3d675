//! The worked examples of docs/PROTOCOL.md.

use prost::Message as _;
use whimbrel_protocol::code::Code;
use whimbrel_protocol::frame::{self, FLAG_BATCH};
use whimbrel_protocol::preface::PREFACE;
use whimbrel_protocol::v1::*;

/// Each example's name and bytes.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("preface", PREFACE.to_vec()),
        ("hello", client(0, 0, client_frame::Body::Hello(hello()))),
        ("welcome", server(0, 0, server_frame::Body::Welcome(welcome()))),
        ("ping", client(0, 2, client_frame::Body::Ping(Ping {}))),
        ("pong", server(0, 2, server_frame::Body::Pong(Pong {}))),
        ("send", client(0, 3, client_frame::Body::Send(send()))),
        ("send-ack", server(0, 3, server_frame::Body::SendAck(send_ack()))),
        ("message", server(1, 0, server_frame::Body::Message(message()))),
        ("ack", whole(&ClientFrame { ack: 1, id: 0, body: None })),
        ("head", server(0, 0, server_frame::Body::Head(Head { conversation: room(), tip: 9 }))),
        ("sync", client(1, 4, client_frame::Body::Sync(sync()))),
        ("sync-result", server(0, 4, server_frame::Body::SyncResult(sync_result()))),
        ("error", server(0, 5, server_frame::Body::Error(Code::NOT_FOUND.plain_error()))),
        ("go-away", server(0, 0, server_frame::Body::GoAway(Code::SUPERSEDED.go_away("")))),
        ("batch", batch()),
    ]
}

/// Sixteen bytes a line.
pub fn dump(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    bytes.chunks(16).map(|chunk| line(chunk) + "\n").collect()
}

fn whole(message: &impl prost::Message) -> Vec<u8> {
    frame::encode(message).to_vec()
}

fn client(ack: u64, id: u64, body: client_frame::Body) -> Vec<u8> {
    whole(&ClientFrame { ack, id, body: Some(body) })
}

fn server(session_seq: u64, re: u64, body: server_frame::Body) -> Vec<u8> {
    whole(&ServerFrame { session_seq, re, body: Some(body) })
}

fn room() -> String {
    "d:alice~bob".into()
}

fn id() -> bytes::Bytes {
    (0u8..16).collect::<Vec<u8>>().into()
}

fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        token: "e30.e30.c2ln".into(),
        installation: "laptop".into(),
        ..Hello::default()
    }
}

fn welcome() -> Welcome {
    let limits = Limits {
        max_frame_bytes: 65_536,
        max_content_bytes: 49_152,
        max_requests_in_flight: 64,
        receive_window: 131_072,
    };
    Welcome {
        version: 1,
        device_id: 0x0007_404e_7970_0000,
        heartbeat_ms: 30_000,
        limits: Some(limits),
        server_time_ms: 1_772_368_496_000,
        auth_expires_ms: 1_772_372_096_000,
        tenant: "demo".into(),
        user: "alice".into(),
        ..Welcome::default()
    }
}

fn content() -> Option<Content> {
    Some(Content { r#type: "text/plain".into(), data: "hi".into() })
}

fn send() -> Send {
    Send { to_user: "bob".into(), client_msg_id: id(), content: content(), ..Send::default() }
}

fn send_ack() -> SendAck {
    SendAck { conversation: room(), seq: 2, at_ms: 1_772_368_497_000, duplicate: false, client_msg_id: id() }
}

fn message() -> Message {
    Message {
        conversation: room(),
        seq: 2,
        at_ms: 1_772_368_497_000,
        sender: "alice".into(),
        sender_device: 0x0007_404e_7970_0000,
        client_msg_id: id(),
        content: content(),
        ..Message::default()
    }
}

fn sync() -> Sync {
    Sync { ranges: vec![SyncRange { conversation: room(), from: 2, backwards: false, limit: 0 }] }
}

fn sync_result() -> SyncResult {
    let inside = Message { conversation: String::new(), ..message() };
    let range = SyncedRange {
        conversation: room(),
        first: 2,
        last: 2,
        messages: vec![inside],
        tip: 9,
        has_more: true,
        error: None,
    };
    SyncResult { ranges: vec![range] }
}

/// An acknowledgement and a ping in one frame.
fn batch() -> Vec<u8> {
    let ack = ClientFrame { ack: 1, id: 0, body: None };
    let ping = ClientFrame { ack: 0, id: 6, body: Some(client_frame::Body::Ping(Ping {})) };
    let body = [ack.encode_length_delimited_to_vec(), ping.encode_length_delimited_to_vec()].concat();
    [frame::header(FLAG_BATCH, body.len()).as_slice(), &body].concat()
}
