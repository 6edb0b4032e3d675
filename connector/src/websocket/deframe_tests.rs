use proptest::prelude::*;

use super::*;

/// A masked client frame.
fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let (mut header, length) = super::super::frame::header(Opcode::Binary, payload.len());
    header[0] = first;
    header[1] |= MASKED;
    let mut frame = header[..length].to_vec();
    frame.extend_from_slice(&mask);
    let start = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[start..], mask);
    frame
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    payload: Vec<u8>,
    pings: Vec<Vec<u8>>,
    closed: Option<Vec<u8>>,
    violation: Option<Violation>,
}

/// Feeds the chunks until a close or a violation.
fn feed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut deframer = Deframer::default();
    let mut seen = Seen::default();
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        let mut at = 0;
        loop {
            match deframer.next(&mut chunk, &mut at) {
                Ok(None) => break,
                Ok(Some(Item::Payload(range))) => seen.payload.extend_from_slice(&chunk[range]),
                Ok(Some(Item::Ping(ping))) => seen.pings.push(ping.as_slice().to_vec()),
                Ok(Some(Item::Close(close))) => {
                    seen.closed = Some(close.as_slice().to_vec());
                    return seen;
                }
                Err(violation) => {
                    seen.violation = Some(violation);
                    return seen;
                }
            }
        }
        assert_eq!(at, chunk.len(), "all input is used");
    }
    seen
}

fn violation(bytes: &[u8]) -> Option<Violation> {
    let whole = feed([bytes]);
    assert_eq!(whole, feed(bytes.chunks(1)), "the split does not matter");
    whole.violation
}

#[test]
fn payloads_of_all_messages_and_fragments_are_one_stream() {
    let bytes = [
        client_frame(0x82, b"one ", [1, 2, 3, 4]),
        client_frame(0x02, b"two ", [5, 6, 7, 8]),
        client_frame(0x89, b"are you there", [9, 9, 9, 9]),
        client_frame(0x00, b"", [1, 1, 1, 1]),
        client_frame(0x8a, b"ignored", [3, 2, 1, 0]),
        client_frame(0x80, b"three", [0, 0, 0, 0]),
        client_frame(0x88, &[3, 0xe8, b'o', b'k'], [7, 7, 7, 7]),
        b"after a close nothing counts".to_vec(),
    ]
    .concat();
    let seen = feed([&bytes[..]]);
    assert_eq!(seen.payload, b"one two three");
    assert_eq!(seen.pings, [b"are you there".to_vec()]);
    assert_eq!(seen.closed.as_deref(), Some(&[3, 0xe8, b'o', b'k'][..]));
    assert_eq!(seen, feed(bytes.chunks(1)));
}

#[test]
fn each_rule_has_its_violation() {
    let frame = |first, payload: &[u8]| client_frame(first, payload, [1, 2, 3, 4]);
    let long = [0; 126];
    assert_eq!(violation(&frame(0x81, b"text")), Some(Violation::Text));
    assert_eq!(violation(&[0x82, 0x01, b'x']), Some(Violation::Unmasked));
    assert_eq!(violation(&frame(0xc2, b"")), Some(Violation::Reserved));
    assert_eq!(violation(&frame(0xa2, b"")), Some(Violation::Reserved));
    assert_eq!(violation(&frame(0x92, b"")), Some(Violation::Reserved));
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(violation(&frame(0x80 | opcode, b"")), Some(Violation::Opcode), "{opcode}");
    }
    for opcode in [8, 9, 10] {
        assert_eq!(violation(&frame(0x80 | opcode, &long)), Some(Violation::ControlTooLong), "{opcode}");
        assert_eq!(violation(&frame(opcode, b"")), Some(Violation::ControlFragmented), "{opcode}");
    }
    assert_eq!(violation(&frame(0x80, b"")), Some(Violation::NothingToContinue));
    assert_eq!(violation(&[frame(0x02, b"a"), frame(0x82, b"b")].concat()), Some(Violation::Interleaved));
    assert_eq!(violation(&[frame(0x02, b"a"), frame(0x81, b"b")].concat()), Some(Violation::Interleaved));
    let finished = [frame(0x02, b"a"), frame(0x80, b"b"), frame(0x80, b"c")].concat();
    assert_eq!(violation(&finished), Some(Violation::NothingToContinue));
    assert_eq!(violation(&frame(0x88, &[3])), Some(Violation::CloseCode));
    assert_eq!(violation(&frame(0x88, &1005u16.to_be_bytes())), Some(Violation::CloseCode));
    assert_eq!(violation(&frame(0x88, &[3, 0xe8, 0xc0])), Some(Violation::CloseReason));
}

#[test]
fn a_length_over_the_limit_is_refused_at_the_head() {
    let head = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    assert_eq!(violation(&head(MAX_PAYLOAD_BYTES)), None);
    assert_eq!(violation(&head(MAX_PAYLOAD_BYTES + 1)), Some(Violation::TooLong));
    assert_eq!(violation(&head(u64::MAX >> 1)), Some(Violation::TooLong));
    assert_eq!(violation(&head(1 << 63)), Some(Violation::LengthSign));
    assert_eq!(violation(&head(u64::MAX)), Some(Violation::LengthSign));
}

/// A client that opens a ping and stalls holds one small box, an idle one nothing.
#[test]
fn memory_between_reads_is_small() {
    assert!(size_of::<Deframer>() <= 40, "{}", size_of::<Deframer>());
    let mut deframer = Deframer::default();
    let mut bytes = client_frame(0x82, b"payload", [1, 2, 3, 4]);
    bytes.extend_from_slice(&client_frame(0x89, b"", [1, 2, 3, 4]));
    let mut at = 0;
    while deframer.next(&mut bytes, &mut at).unwrap().is_some() {}
    assert!(deframer.control.is_none());
}

/// One message as (payload of each fragment, mask, pings in between).
fn messages() -> impl Strategy<Value = Vec<(Vec<Vec<u8>>, [u8; 4], bool)>> {
    let fragment =
        prop_oneof![prop::collection::vec(any::<u8>(), 0..40), Just(vec![7; 126]), Just(vec![8; 70_000])];
    prop::collection::vec((prop::collection::vec(fragment, 1..4), any::<[u8; 4]>(), any::<bool>()), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_payload(messages in messages(), splits in prop::collection::vec(1usize..9000, 1..50)) {
        let mut bytes = Vec::new();
        let mut expected = Seen::default();
        for (fragments, mask, ping) in messages {
            let last = fragments.len() - 1;
            for (index, fragment) in fragments.iter().enumerate() {
                let opcode = if index == 0 { 2 } else { 0 };
                let fin = if index == last { FIN } else { 0 };
                bytes.extend(client_frame(fin | opcode, fragment, mask));
                expected.payload.extend_from_slice(fragment);
                if ping {
                    bytes.extend(client_frame(0x89, &mask, mask));
                    expected.pings.push(mask.to_vec());
                }
            }
        }
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        for split in splits.iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, after) = rest.split_at((*split).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(feed(chunks), expected);
    }
}

proptest! {
    #[test]
    fn random_bytes_give_the_same_answer_whole_and_bytewise(bytes: Vec<u8>) {
        prop_assert_eq!(feed([&bytes[..]]), feed(bytes.chunks(1)));
    }

    /// Starts that get past the first checks, so that the rest of the machine meets garbage too.
    #[test]
    fn nearly_valid_bytes_never_panic(
        frames in prop::collection::vec((any::<bool>(), 0u8..11, 0u8..128, prop::collection::vec(any::<u8>(), 0..140)), 0..6)
    ) {
        let mut bytes = Vec::new();
        for (fin, opcode, length, rest) in frames {
            bytes.extend([if fin { 0x80 } else { 0 } | opcode, MASKED | length]);
            bytes.extend(rest);
        }
        prop_assert_eq!(feed([&bytes[..]]), feed(bytes.chunks(1)));
    }
}
