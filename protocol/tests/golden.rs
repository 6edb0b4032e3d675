//! Golden bytes: `fixtures/*.json` hold frames beside their meaning, for implementations in other languages.
//! `REGENERATE=1 cargo test -p whimbrel-protocol --test golden` writes them anew from `golden/cases.rs`.
//!
//! The meaning is written by prost-reflect from the schema, not by the generated code, so bytes and values have
//! two independent origins. `fixtures/README.md` says how to read the files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "golden/cases.rs"]
mod cases;
#[path = "golden/meaning.rs"]
mod meaning;
#[path = "golden/presence.rs"]
mod presence;
#[path = "golden/refused.rs"]
mod refused;

use std::path::Path;

use bytes::{Bytes, BytesMut};
use prost::Message;
use serde_json::{Value, json};
use tokio_util::codec::{Decoder, Encoder};
use whimbrel_protocol::codec::FrameCodec;
use whimbrel_protocol::frame::{FLAG_BATCH, Frame};
use whimbrel_protocol::{splice, v1};

use cases::{Case, client_cases, server_cases};
use meaning::Schema;

#[test]
fn client_frames_are_as_committed() {
    check("client_frames.json", "client", "whimbrel.v1.ClientFrame", client_cases());
}

#[test]
fn server_frames_are_as_committed() {
    check("server_frames.json", "server", "whimbrel.v1.ServerFrame", server_cases());
}

#[test]
fn refused_frames_are_as_committed() {
    let cases = refused::cases();
    let made = cases.iter().map(refused::Refused::to_json).collect();
    keep("refused.json", made);
    for case in &cases {
        assert_eq!(case.code(), Some(case.error), "{}", case.name);
    }
}

#[test]
fn a_spliced_push_is_prost_s_own_encoding() {
    for session_seq in [1, 127, 128, 300, u64::MAX] {
        let entry = v1::Message { conversation: String::new(), ..cases::full_message() };
        let mut spliced = BytesMut::new();
        splice::put_session_seq(session_seq, &mut spliced);
        assert_eq!(spliced.len(), splice::session_seq_len(session_seq));
        assert!(spliced.len() <= splice::MAX_SESSION_SEQ_BYTES);
        spliced.extend_from_slice(&splice::push_frame("d:alice~bob", &entry.encode_to_vec()));
        let message = v1::Message { conversation: "d:alice~bob".into(), ..entry };
        let body = Some(v1::server_frame::Body::Message(message));
        assert_eq!(spliced, v1::ServerFrame { session_seq, re: 0, body }.encode_to_vec());
    }
}

#[test]
fn a_spliced_sync_result_means_what_prost_encodes() {
    let entry = |seq| v1::Message { conversation: String::new(), seq, ..cases::full_message() };
    for count in [0_u64, 1, 3] {
        let entries: Vec<_> = (1..=count).map(entry).collect();
        let range =
            v1::SyncedRange { conversation: "g:1".into(), first: 1, last: count, ..Default::default() };
        let parts = splice::RangeParts {
            range: range.clone(),
            entries: entries.iter().map(|e| e.encode_to_vec().into()).collect(),
        };
        let grown: usize = entries.iter().map(|e| splice::synced_entry_len(e.encoded_len())).sum();
        let bytes = splice::sync_result_frame(9, &[parts]);
        let result = v1::SyncResult { ranges: vec![v1::SyncedRange { messages: entries, ..range.clone() }] };
        let body = Some(v1::server_frame::Body::SyncResult(result));
        let whole = v1::ServerFrame { session_seq: 0, re: 9, body };
        assert_eq!(v1::ServerFrame::decode(bytes.clone()).unwrap(), whole);
        assert_eq!(bytes, whole.encode_to_vec(), "no field stands behind the messages here");
        assert_eq!(range.encoded_len() + grown, whole_range(&whole).encoded_len());
    }
}

#[test]
fn a_spliced_sync_result_may_put_messages_behind_the_tip() {
    let tail = v1::SyncedRange { first: 1, last: 1, tip: 70_000, has_more: true, ..Default::default() };
    let message = v1::Message { seq: 1, ..Default::default() };
    let entries = vec![Bytes::from(message.encode_to_vec())];
    let parts = splice::RangeParts { range: tail.clone(), entries };
    let room = parts.encoded_len();
    let bytes = splice::sync_result_frame(1, &[parts]);
    let frame = v1::ServerFrame::decode(bytes).unwrap();
    assert_eq!(whole_range(&frame), v1::SyncedRange { messages: vec![message], ..tail });
    let Some(v1::server_frame::Body::SyncResult(result)) = frame.body else { panic!("not a SyncResult") };
    assert_eq!(room, result.encoded_len());
}

fn whole_range(frame: &v1::ServerFrame) -> v1::SyncedRange {
    match &frame.body {
        Some(v1::server_frame::Body::SyncResult(result)) => result.ranges[0].clone(),
        other => panic!("not a SyncResult: {other:?}"),
    }
}

/// Holds a table of cases against the committed file, both ways.
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(
    file: &str,
    from: &str,
    kind: &str,
    cases: Vec<Case<M>>,
) {
    let schema = Schema::read();
    let made = cases.iter().map(|case| to_json(&schema, from, kind, case)).collect();
    keep(file, made);
    every_field_is_covered(&schema.fields(kind), file);
    for (fixture, case) in committed(file).iter().zip(&cases) {
        let name = fixture["name"].as_str().unwrap();
        let bytes = hex::decode(fixture["frame_hex"].as_str().unwrap()).unwrap();
        let mut input = BytesMut::from(&bytes[..]);
        let frame = FrameCodec::default().decode(&mut input).unwrap().expect("the frame is whole");
        assert!(input.is_empty(), "{name}");
        assert_eq!(u64::from(frame.flags), fixture["flags"].as_u64().unwrap(), "{name}");
        let decoded: Vec<M> = frame.messages().collect::<Result<_, _>>().unwrap();
        assert_eq!(decoded, case.messages, "{name}");
        let encoded = whole(frame_of(fixture["flags"] == json!(FLAG_BATCH), &decoded));
        assert_eq!(encoded == bytes, fixture["canonical"].as_bool().unwrap(), "{name}");
        let reencoded: Vec<_> = messages(fixture).iter().map(|m| schema.encode(kind, m)).collect();
        let expected: Vec<_> = decoded.iter().map(Message::encode_to_vec).collect();
        assert_eq!(reencoded, expected, "{name}: the values give the same bytes");
    }
}

fn every_field_is_covered(fields: &[String], file: &str) {
    let fixtures = committed(file);
    for field in fields {
        let covered = fixtures.iter().flat_map(messages).any(|message| message.get(field).is_some());
        assert!(covered, "{file} has no case with {field}");
    }
}

fn to_json<M: Message + Default>(schema: &Schema, from: &str, kind: &str, case: &Case<M>) -> Value {
    let (frame, canonical) = match &case.raw {
        Some(raw) => (Frame { flags: case.flags(), body: raw.clone() }, false),
        None => (frame_of(case.batch, &case.messages), true),
    };
    let meaning: Vec<_> = case.messages.iter().map(|m| schema.decode(kind, &m.encode_to_vec())).collect();
    json!({
        "name": case.name,
        "direction": from,
        "flags": frame.flags,
        "canonical": canonical,
        "frame_hex": hex::encode(whole(frame)),
        "messages": meaning,
    })
}

fn frame_of<M: Message>(batch: bool, messages: &[M]) -> Frame {
    if !batch {
        assert_eq!(messages.len(), 1);
        return Frame { flags: 0, body: messages[0].encode_to_vec().into() };
    }
    let body: Vec<u8> = messages.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    Frame { flags: FLAG_BATCH, body: body.into() }
}

fn whole(frame: Frame) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameCodec::default().encode(frame, &mut out).unwrap();
    out.to_vec()
}

fn messages(fixture: &Value) -> &Vec<Value> {
    fixture["messages"].as_array().unwrap()
}

/// Compares with the committed file, or writes it.
fn keep(file: &str, made: Vec<Value>) {
    if std::env::var_os("REGENERATE").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap();
        std::fs::write(path(file), text + "\n").unwrap();
    }
    let hint = "run REGENERATE=1 cargo test -p whimbrel-protocol --test golden";
    assert!(committed(file) == made, "{file} differs from golden/cases.rs; {hint}");
}

fn committed(file: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(path(file)).unwrap_or_else(|_| b"[]".to_vec())).unwrap()
}

fn path(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file)
}
