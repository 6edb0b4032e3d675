//! Bytes of the node protocol as each of its versions was first written: read the same for as long as that is spoken.
//!
//! `fixtures/node_frames_N.json` holds what version N has added. It is recorded once; `REGENERATE=1` writes it only where
//! it is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "golden/meaning.rs"]
mod meaning;
#[path = "golden/node_cases.rs"]
mod node_cases;

use std::path::Path;

use bytes::BytesMut;
use prost::Message as _;
use serde_json::{Value, json};
use tokio_util::codec::Decoder as _;
use whimbrel_protocol::codec::FrameCodec;
use whimbrel_protocol::frame::{self, FLAG_BATCH};
use whimbrel_protocol::limit::MAX_LINK_FRAME_BYTES;
use whimbrel_protocol::node::v1::{LinkMessage, link_message, to_channel, to_connector};
use whimbrel_protocol::version::NODE_VERSIONS;

use meaning::Schema;
use node_cases::{cases, cases_2};

const KIND: &str = "whimbrel.node.v1.LinkMessage";

fn frame_of(messages: &[LinkMessage]) -> Vec<u8> {
    let body: Vec<u8> = messages.iter().flat_map(LinkMessage::encode_length_delimited_to_vec).collect();
    [&frame::header(FLAG_BATCH, body.len())[..], &body].concat()
}

fn read(bytes: &[u8]) -> Vec<LinkMessage> {
    let mut input = BytesMut::from(bytes);
    let mut codec = FrameCodec::with_limit(MAX_LINK_FRAME_BYTES);
    let frame = codec.decode(&mut input).unwrap().expect("a whole frame");
    assert!(input.is_empty() && frame.flags == FLAG_BATCH);
    frame.messages().collect::<Result<_, _>>().unwrap()
}

type Cases = Vec<(&'static str, Vec<LinkMessage>)>;

/// Each version with what it has added.
fn versions() -> [(u32, Cases); 2] {
    [(1, cases()), (2, cases_2())]
}

fn all_cases() -> Cases {
    versions().into_iter().flat_map(|(_, cases)| cases).collect()
}

fn recorded(version: u32, cases: &Cases) -> Vec<Value> {
    let path = format!("fixtures/node_frames_{version}.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if !path.exists() && std::env::var_os("REGENERATE").is_some() {
        let schema = Schema::read();
        let one = |(name, messages): &(&str, Vec<LinkMessage>)| {
            let meaning: Vec<_> =
                messages.iter().map(|message| schema.decode(KIND, &message.encode_to_vec())).collect();
            json!({ "name": name, "frame_hex": hex::encode(frame_of(messages)), "messages": meaning })
        };
        let all: Vec<_> = cases.iter().map(one).collect();
        std::fs::write(&path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
    serde_json::from_slice(&std::fs::read(path).expect("the recorded frames")).unwrap()
}

#[test]
fn each_version_is_read_as_it_was_recorded() {
    let schema = Schema::read();
    for (version, cases) in versions() {
        assert!(NODE_VERSIONS.contains(&version), "version {version} is spoken no more: its record may go");
        for fixture in recorded(version, &cases) {
            let name = fixture["name"].as_str().unwrap();
            let bytes = hex::decode(fixture["frame_hex"].as_str().unwrap()).unwrap();
            let messages = read(&bytes);
            let meaning: Vec<_> =
                messages.iter().map(|message| schema.decode(KIND, &message.encode_to_vec())).collect();
            assert_eq!(json!(meaning), fixture["messages"], "{name}");
            assert_eq!(frame_of(&messages), bytes, "{name}: what is written today is what was written then");
            assert!(messages.iter().all(|message| message.body.is_some()), "{name}");
            let meant = fixture["messages"].as_array().unwrap().iter();
            let written: Vec<_> = meant.map(|message| schema.encode(KIND, message)).collect();
            let ours: Vec<_> = messages.iter().map(LinkMessage::encode_to_vec).collect();
            assert_eq!(written, ours, "{name}: the values give the same bytes");
        }
    }
}

#[test]
fn every_message_is_recorded() {
    let mut all: Vec<Value> = Vec::new();
    for (version, cases) in versions() {
        let recorded = recorded(version, &cases);
        let names: Vec<&str> = recorded.iter().map(|fixture| fixture["name"].as_str().unwrap()).collect();
        assert_eq!(names, cases.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        all.extend(recorded.iter().flat_map(|fixture| fixture["messages"].as_array().unwrap().clone()));
    }
    let schema = Schema::read();
    let has = |inside: &str, field: &str| {
        all.iter().any(|message| {
            let mut names = inside.split('.').filter(|name| !name.is_empty());
            let inner = names.try_fold(message, |message, name| message.get(name));
            inner.is_some_and(|body| body.get(field).is_some())
        })
    };
    for (kind, inside) in [
        (KIND, ""),
        ("whimbrel.node.v1.ToChannel", "to_channel"),
        ("whimbrel.node.v1.ToConnector", "to_connector"),
        ("whimbrel.node.v1.LinkHello", "hello"),
        ("whimbrel.node.v1.LinkWelcome", "welcome"),
        ("whimbrel.node.v1.Announce", "to_channel.announce"),
        ("whimbrel.node.v1.Peer", "to_channel.peer"),
        ("whimbrel.node.v1.UserPush", "to_channel.peer.push"),
    ] {
        for field in schema.fields(kind) {
            assert!(has(inside, &field), "no recorded frame has {field} of {kind}");
        }
    }
}

/// What a later version adds to a message is skipped; a body that it adds is none.
#[test]
fn a_later_versions_additions_are_skipped() {
    for (name, messages) in all_cases() {
        for message in messages {
            // Field 999, bytes; and field 998, a number.
            let added = [0xBA, 0x3E, 2, 9, 9, 0xB0, 0x3E, 5];
            let later = [&message.encode_to_vec()[..], &added].concat();
            assert_eq!(LinkMessage::decode(&later[..]).unwrap(), message, "{name}");
        }
    }
    let unknown = [0xBA, 0x3E, 1, 7];
    let inside = |field: u8| [&[field << 3 | 2, unknown.len() as u8][..], &unknown].concat();
    let to_channel = LinkMessage::decode(&inside(4)[..]).unwrap().body;
    assert!(matches!(to_channel, Some(link_message::Body::ToChannel(message)) if message.body.is_none()));
    let to_connector = LinkMessage::decode(&inside(5)[..]).unwrap().body;
    assert!(matches!(to_connector, Some(link_message::Body::ToConnector(message)) if message.body.is_none()));
}

/// The oneofs have no body that the table of cases does not have.
#[test]
fn cases_have_every_body() {
    let all: Vec<LinkMessage> = all_cases().into_iter().flat_map(|(_, messages)| messages).collect();
    let to_channel = |message: &LinkMessage| match &message.body {
        Some(link_message::Body::ToChannel(to)) => to.body.as_ref().map(std::mem::discriminant),
        _ => None,
    };
    let to_connector = |message: &LinkMessage| match &message.body {
        Some(link_message::Body::ToConnector(to)) => to.body.as_ref().map(std::mem::discriminant),
        _ => None,
    };
    let kinds: std::collections::HashSet<std::mem::Discriminant<to_channel::Body>> =
        all.iter().filter_map(to_channel).collect();
    assert_eq!(kinds.len(), Schema::read().fields("whimbrel.node.v1.ToChannel").len());
    let kinds: std::collections::HashSet<std::mem::Discriminant<to_connector::Body>> =
        all.iter().filter_map(to_connector).collect();
    assert_eq!(kinds.len(), Schema::read().fields("whimbrel.node.v1.ToConnector").len());
}
