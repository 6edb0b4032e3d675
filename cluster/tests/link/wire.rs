//! Bytes of the link: however they are split, the messages are the same; and nothing but an error comes of garbage.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::Proto as _;
use protocol::frame::FrameError;
use protocol::limit::{MAX_LINK_FRAME_BYTES, MAX_LINK_MESSAGE_BYTES};
use protocol::node::v1::link_message::Body;
use protocol::node::v1::{LinkAck, LinkMessage, LinkPing};
use protocol::preface::LINK_PREFACE;
use whimbrel_cluster::link::wire::{Batch, Inlet, MAX_HELLO_BYTES, WireError, encode, single};

use super::support::{channel, connector, kick, me, numbered, push};

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<u64>().prop_map(|number| Body::ToChannel(numbered(number))),
        any::<u64>().prop_map(|number| Body::ToConnector(kick(number))),
        (any::<u64>(), 0_usize..500, 0_u64..20)
            .prop_map(|(seq, bytes, targets)| Body::ToConnector(push(seq, bytes, targets))),
        any::<u64>().prop_map(|received| Body::Ack(LinkAck { received })),
        Just(Body::Ping(LinkPing {})),
        any::<(u64, u64)>().prop_map(|(session, received)| Body::Hello(me(connector(), 3).hello(
            channel(),
            session,
            received,
            9
        ))),
    ]
}

fn frames(batches: &[Vec<Body>]) -> BytesMut {
    let mut out = BytesMut::new();
    for bodies in batches {
        let mut batch = Batch::new();
        bodies.iter().for_each(|body| batch.put(&encode(body.clone()).unwrap()));
        out.extend_from_slice(&batch.finish().unwrap_or_default());
    }
    out
}

fn open() -> Inlet {
    let mut inlet = Inlet::dialling();
    inlet.welcome();
    inlet
}

/// Feeds the bytes in pieces of these sizes, over and over.
fn read(mut inlet: Inlet, bytes: &[u8], pieces: &[usize]) -> Result<Vec<Body>, WireError> {
    let (mut input, mut found, mut rest) = (BytesMut::new(), Vec::new(), bytes);
    for piece in pieces.iter().cycle() {
        while let Some((messages, _)) = inlet.next(&mut input)? {
            for message in messages {
                found.extend(message?.body);
            }
        }
        if rest.is_empty() {
            return Ok(found);
        }
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        input.extend_from_slice(now);
        rest = later;
    }
    unreachable!("there is at least one piece")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn messages_are_the_same_however_bytes_are_split(
        batches in vec(vec(body(), 1..6), 1..4),
        pieces in vec(1_usize..200, 1..5),
    ) {
        let said: Vec<Body> = batches.concat();
        prop_assert_eq!(read(open(), &frames(&batches), &pieces), Ok(said));
    }

    #[test]
    fn what_is_cut_off_is_no_message(batch in vec(body(), 1..4), at in any::<prop::sample::Index>()) {
        let bytes = frames(std::slice::from_ref(&batch));
        let cut = at.index(bytes.len());
        prop_assert_eq!(read(open(), &bytes[..cut], &[7]), Ok(Vec::new()));
    }

    #[test]
    fn garbage_is_an_error_or_waits(bytes in vec(any::<u8>(), 0..300), preface in any::<bool>()) {
        let mut all = if preface { LINK_PREFACE.to_vec() } else { Vec::new() };
        all.extend_from_slice(&bytes);
        // It is enough that nothing panics, and that no hello comes of it by chance.
        let found = read(Inlet::accepting(), &all, &[11]).unwrap_or_default();
        prop_assert!(!found.iter().any(|body| matches!(body, Body::Hello(hello) if hello.cluster == "test")));
    }
}

#[test]
fn every_split_of_a_hello_is_the_same_hello() {
    let hello = Body::Hello(me(connector(), 3).hello(channel(), 1, 2, 3));
    let mut bytes = LINK_PREFACE.to_vec();
    bytes.extend_from_slice(&single(hello.clone()));
    for cut in 1..bytes.len() {
        let pieces = [cut, bytes.len()];
        assert_eq!(read(Inlet::accepting(), &bytes, &pieces), Ok(vec![hello.clone()]), "cut at {cut}");
    }
}

#[test]
fn what_does_not_open_a_link_is_seen_at_the_first_byte() {
    for opening in [&b"GET / HTTP/1.1"[..], &[0x16, 3, 1], &[0xD7, b'W', b'B', 1], &[0]] {
        assert_eq!(read(Inlet::accepting(), opening, &[100]), Err(WireError::Preface));
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let announced = |length: usize| {
        let mut bytes = (length as u32).to_be_bytes().to_vec();
        bytes.push(2);
        bytes
    };
    assert_eq!(read(open(), &announced(MAX_LINK_FRAME_BYTES), &[9]), Ok(vec![]));
    let too_large = |length, limit| {
        Err(WireError::Frame(FrameError::TooLarge { length: length as u32, limit: limit as u32 }))
    };
    let one_more = MAX_LINK_FRAME_BYTES + 1;
    assert_eq!(read(open(), &announced(one_more), &[9]), too_large(one_more, MAX_LINK_FRAME_BYTES));
    let hello = |length| [&LINK_PREFACE[..], &announced(length)].concat();
    assert_eq!(read(Inlet::accepting(), &hello(MAX_HELLO_BYTES), &[9]), Ok(vec![]));
    let one_more = MAX_HELLO_BYTES + 1;
    assert_eq!(read(Inlet::accepting(), &hello(one_more), &[9]), too_large(one_more, MAX_HELLO_BYTES));
    assert_eq!(read(open(), &announced(0), &[9]), Err(WireError::Frame(FrameError::Empty)));
    assert_eq!(
        read(open(), &[0, 0, 0, 2, 0, 0], &[9]),
        Err(WireError::Frame(FrameError::Flags { flags: 0 }))
    );
}

#[test]
fn the_largest_message_fills_a_frame_and_a_larger_one_is_none() {
    let sized = |bytes: usize| Body::ToConnector(push(1, bytes, 0));
    let overhead = LinkMessage { body: Some(sized(500_000)) }.encoded_len() - 500_000;
    let largest = encode(sized(MAX_LINK_MESSAGE_BYTES - overhead)).expect("the largest");
    assert!(encode(sized(MAX_LINK_MESSAGE_BYTES - overhead + 1)).is_none());
    let mut batch = Batch::new();
    assert!(batch.fits(largest.len()), "{}", largest.len());
    batch.put(&largest);
    assert_eq!(read(open(), &batch.finish().unwrap(), &[65_536]).unwrap().len(), 1);
}

#[test]
fn an_empty_batch_is_no_frame() {
    assert_eq!(Batch::new().finish(), None::<Bytes>);
}
