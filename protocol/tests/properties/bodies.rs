//! Messages in frames: batches, unknown fields, damage.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use whimbrel_protocol::frame::{self, FLAG_BATCH, Frame, FrameError};
use whimbrel_protocol::{node, v1};

use crate::any;
use crate::config;

fn batch(messages: &[v1::ClientFrame]) -> Bytes {
    let mut body = BytesMut::new();
    messages.iter().for_each(|m| m.encode_length_delimited(&mut body).unwrap());
    body.freeze()
}

fn decode<M: prost::Message + Default>(flags: u8, body: Bytes) -> Vec<Result<M, FrameError>> {
    Frame { flags, body }.messages().collect()
}

/// A field that no schema has, in each wire type.
fn unknown_field() -> impl Strategy<Value = Bytes> {
    (1_000u32..100_000, 0usize..4, any::<u64>(), vec(any::<u8>(), 0..20)).prop_map(
        |(tag, kind, number, data)| {
            let mut out = BytesMut::new();
            let wire =
                [WireType::Varint, WireType::SixtyFourBit, WireType::ThirtyTwoBit, WireType::LengthDelimited];
            encode_key(tag, wire[kind], &mut out);
            match kind {
                0 => encode_varint(number, &mut out),
                1 => out.put_u64_le(number),
                2 => out.put_u32_le(number as u32),
                _ => {
                    encode_varint(data.len() as u64, &mut out);
                    out.put_slice(&data);
                }
            }
            out.freeze()
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_the_device_says_arrives(message in any::client_frame()) {
        let whole = frame::encode(&message);
        let opened = frame::open(whole).unwrap();
        prop_assert_eq!(decode(opened.flags, opened.body), vec![Ok(message)]);
    }

    #[test]
    fn what_the_server_says_arrives(message in any::server_frame()) {
        let whole = frame::encode(&message);
        let opened = frame::open(whole).unwrap();
        prop_assert_eq!(decode(opened.flags, opened.body), vec![Ok(message)]);
    }

    #[test]
    fn a_batch_is_its_messages_in_order(messages in vec(any::client_frame(), 0..6)) {
        let decoded: Vec<v1::ClientFrame> =
            decode(FLAG_BATCH, batch(&messages)).into_iter().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(decoded, messages);
    }

    #[test]
    fn a_batch_cut_at_any_byte_yields_a_prefix_and_at_most_one_error(messages in vec(any::client_frame(), 1..4)) {
        let whole = batch(&messages);
        for cut in 0..whole.len() {
            let decoded = decode::<v1::ClientFrame>(FLAG_BATCH, whole.slice(..cut));
            let good = decoded.iter().take_while(|m| m.is_ok()).count();
            prop_assert!(good <= messages.len() && decoded.len() <= good + 1);
            for (one, sent) in decoded.iter().zip(&messages).take(good) {
                prop_assert_eq!(one.as_ref(), Ok(sent));
            }
            let bytes: usize = messages[..good].iter().map(encoded_in_batch).sum();
            prop_assert_eq!(decoded.len() == good, bytes == cut, "an error is there unless a message ends at the cut");
        }
    }

    #[test]
    fn unknown_fields_change_nothing(
        message in any::server_frame(),
        before in vec(unknown_field(), 0..3),
        after in vec(unknown_field(), 0..3),
    ) {
        let bytes = [before.concat(), message.encode_to_vec(), after.concat()].concat();
        prop_assert_eq!(decode(0, bytes.into()), vec![Ok(message)]);
    }

    #[test]
    fn unknown_fields_inside_a_message_change_nothing(message in any::message(), extra in vec(unknown_field(), 0..3)) {
        let inner = [message.encode_to_vec(), extra.concat()].concat();
        let mut body = BytesMut::new();
        encode_key(3, WireType::LengthDelimited, &mut body);
        encode_varint(inner.len() as u64, &mut body);
        body.put_slice(&inner);
        let expected = v1::ServerFrame { body: Some(v1::server_frame::Body::Message(message)), ..Default::default() };
        prop_assert_eq!(decode(0, body.freeze()), vec![Ok(expected)]);
    }

    #[test]
    fn an_unknown_request_keeps_its_id(id in 1u64.., field in unknown_field()) {
        let known = v1::ClientFrame { ack: 0, id, body: None };
        let bytes = [known.encode_to_vec(), field.to_vec()].concat();
        prop_assert_eq!(decode(0, bytes.into()), vec![Ok(known)]);
    }

    #[test]
    fn random_bodies_never_panic(flags in any::<u8>(), body in vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        prop_assert!(decode::<v1::ClientFrame>(flags, body.clone()).len() <= body.len() + 1);
        prop_assert!(decode::<v1::ServerFrame>(flags, body.clone()).len() <= body.len() + 1);
        prop_assert!(decode::<node::v1::ToChannel>(flags, body.clone()).len() <= body.len() + 1);
        prop_assert!(decode::<node::v1::ToConnector>(flags, body.clone()).len() <= body.len() + 1);
    }

    #[test]
    fn damaged_messages_never_panic(
        message in any::client_frame(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = message.encode_to_vec();
        if !bytes.is_empty() {
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        prop_assert_eq!(decode::<v1::ClientFrame>(0, bytes.into()).len(), 1);
    }

    #[test]
    fn payload_bytes_are_shared_with_the_frame(data in vec(any::<u8>(), 1..400)) {
        let content = v1::Content { r#type: "text/plain".into(), data: data.clone().into() };
        let message = v1::Message { content: Some(content), ..Default::default() };
        let opened = frame::open(frame::encode(&message)).unwrap();
        let body = opened.body.clone();
        let decoded = opened.messages::<v1::Message>().next().unwrap().unwrap();
        let shared = decoded.content.unwrap().data;
        prop_assert!(body.as_ptr_range().contains(&shared.as_ptr()));
        prop_assert_eq!(shared.as_ref(), data.as_slice());
    }
}

fn encoded_in_batch(message: &v1::ClientFrame) -> usize {
    message.encode_length_delimited_to_vec().len()
}
