//! Frames in a byte stream.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};
use whimbrel_protocol::codec::{CodecError, FrameCodec};
use whimbrel_protocol::frame::{self, Frame, FrameError, Peek};
use whimbrel_protocol::limit::MAX_FRAME_BYTES;

use crate::any;
use crate::config;

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for frame in frames {
        FrameCodec::default().encode(frame.clone(), &mut out).unwrap();
    }
    out.to_vec()
}

/// Everything that decodes now.
fn drain(codec: &mut FrameCodec, input: &mut BytesMut) -> Result<Vec<Frame>, FrameError> {
    std::iter::from_fn(|| codec.decode(input).transpose()).collect::<Result<_, _>>().map_err(reason)
}

fn reason(error: CodecError) -> FrameError {
    match error {
        CodecError::Frame(error) => error,
        CodecError::Io(error) => panic!("{error}"),
    }
}

/// The frames of a stream that arrives in these pieces.
fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let (mut codec, mut input, mut frames) = (FrameCodec::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        frames.extend(drain(&mut codec, &mut input).unwrap());
    }
    assert!(codec.decode_eof(&mut input).unwrap().is_none() && input.is_empty());
    frames
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_stream_split_at_any_point_holds_the_same_frames(frames in vec(any::frame(24), 1..5)) {
        let stream = encode(&frames);
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            prop_assert_eq!(&decode_pieces([head, tail]), &frames);
        }
    }

    #[test]
    fn a_stream_in_pieces_of_any_size_holds_the_same_frames(
        frames in vec(any::frame(400), 0..8),
        sizes in vec(1usize..90, 1..20),
    ) {
        let stream = encode(&frames);
        let (mut pieces, mut rest) = (Vec::new(), stream.as_slice());
        for size in sizes.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, left) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        prop_assert_eq!(&decode_pieces(pieces), &frames);
    }

    #[test]
    fn a_stream_cut_at_any_byte_keeps_whole_frames_and_says_truncated(frames in vec(any::frame(24), 1..5)) {
        let stream = encode(&frames);
        let ends: Vec<usize> = frames.iter().scan(0, |end, f| { *end += 5 + f.body.len(); Some(*end) }).collect();
        for cut in 0..stream.len() {
            let (mut codec, mut input) = (FrameCodec::default(), BytesMut::from(&stream[..cut]));
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            prop_assert_eq!(drain(&mut codec, &mut input).unwrap(), &frames[..whole]);
            let at_an_end = cut == 0 || ends.contains(&cut);
            match codec.decode_eof(&mut input) {
                Ok(None) => prop_assert!(at_an_end),
                Ok(Some(frame)) => prop_assert!(false, "a frame out of nothing: {:?}", frame),
                Err(error) => prop_assert!(!at_an_end && reason(error) == FrameError::Truncated),
            }
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_allocated(
        limit in 1usize..=MAX_FRAME_BYTES,
        over in 1u32..=u32::MAX - MAX_FRAME_BYTES as u32,
        tail in vec(any::<u8>(), 0..16),
    ) {
        let length = limit as u32 + over;
        let mut input = BytesMut::with_capacity(4 + tail.len());
        input.extend_from_slice(&length.to_be_bytes());
        input.extend_from_slice(&tail);
        let before = input.capacity();
        let refused = reason(FrameCodec::with_limit(limit).decode(&mut input).unwrap_err());
        prop_assert_eq!(refused, FrameError::TooLarge { length, limit: limit as u32 });
        prop_assert_eq!(input.capacity(), before);
    }

    #[test]
    fn a_frame_at_the_limit_passes_and_one_byte_more_does_not(limit in 1usize..4096, flags in prop_oneof![Just(0u8), Just(2u8)]) {
        let fits = Frame { flags, body: vec![7; limit - 1].into() };
        let over = Frame { flags, body: vec![7; limit].into() };
        let mut out = BytesMut::new();
        let mut codec = FrameCodec::with_limit(limit);
        codec.encode(fits.clone(), &mut out).unwrap();
        prop_assert!(codec.encode(over.clone(), &mut BytesMut::new()).is_err());
        prop_assert_eq!(codec.decode(&mut out).unwrap(), Some(fits));
        let mut out = BytesMut::from(encode(&[over]).as_slice());
        prop_assert!(matches!(reason(codec.decode(&mut out).unwrap_err()), FrameError::TooLarge { .. }), "not as expected");
    }

    #[test]
    fn length_zero_is_refused_whatever_follows(tail in vec(any::<u8>(), 0..32)) {
        let mut input = BytesMut::from([0u8; 4].as_slice());
        input.extend_from_slice(&tail);
        let before = input.capacity();
        let refused = reason(FrameCodec::default().decode(&mut input).unwrap_err());
        prop_assert_eq!(refused, FrameError::Empty);
        prop_assert_eq!(input.capacity(), before);
    }

    #[test]
    fn a_flag_that_was_not_agreed_on_is_refused(flags in any::<u8>(), body in vec(any::<u8>(), 0..32)) {
        let mut input = BytesMut::from(frame::header(flags, body.len()).as_slice());
        input.extend_from_slice(&body);
        match FrameCodec::default().decode(&mut input) {
            Ok(Some(frame)) => {
                prop_assert_eq!(flags & !frame::FLAG_BATCH, 0);
                prop_assert_eq!((frame.flags, frame.body.as_ref()), (flags, body.as_slice()));
            }
            Ok(None) => prop_assert!(false, "the frame is whole"),
            Err(error) => {
                prop_assert_ne!(flags & !frame::FLAG_BATCH, 0);
                prop_assert_eq!(reason(error), FrameError::Flags { flags });
            }
        }
    }

    #[test]
    fn random_bytes_neither_panic_nor_grow_the_buffer_past_the_limit(
        bytes in vec(any::<u8>(), 0..300),
        limit in 1usize..512,
    ) {
        let (mut codec, mut input) = (FrameCodec::with_limit(limit), BytesMut::new());
        for byte in &bytes {
            input.extend_from_slice(&[*byte]);
            match codec.decode(&mut input) {
                Ok(_) => prop_assert!(input.len() < 4 + limit),
                Err(_) => break,
            }
            // `reserve` may round up to twice what is asked, never more.
            prop_assert!(input.capacity() <= 2 * (4 + limit).max(64));
        }
    }

    #[test]
    fn peek_agrees_with_the_codec(bytes in vec(any::<u8>(), 0..40), limit in 1usize..64) {
        let mut input = BytesMut::from(bytes.as_slice());
        let decoded = FrameCodec::with_limit(limit).decode(&mut input).map_err(reason);
        match frame::peek(&bytes, limit) {
            Ok(Peek::Whole(length)) => {
                prop_assert!(length <= bytes.len() && length <= 4 + limit);
                prop_assert!(matches!(decoded, Ok(Some(_)) | Err(FrameError::Flags { .. })), "not as expected");
            }
            Ok(Peek::Needs(length)) => {
                prop_assert!(length > bytes.len());
                prop_assert_eq!(decoded, Ok(None));
            }
            Err(error) => prop_assert_eq!(decoded, Err(error)),
        }
    }
}
