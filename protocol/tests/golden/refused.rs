//! Bytes that are not a frame, or not a message, and the code that refuses them.

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio_util::codec::Decoder;
use whimbrel_protocol::codec::{CodecError, FrameCodec};
use whimbrel_protocol::limit::MAX_FRAME_BYTES;
use whimbrel_protocol::v1::ClientFrame;

pub struct Refused {
    pub name: &'static str,
    pub bytes: &'static str,
    pub error: &'static str,
}

impl Refused {
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "direction": "client",
            "bytes_hex": self.bytes,
            "max_frame_bytes": MAX_FRAME_BYTES,
            "error": self.error,
        })
    }

    /// The code these bytes are refused with when nothing follows them; `None` if they are not refused.
    pub fn code(&self) -> Option<&'static str> {
        let mut input = BytesMut::from(&hex::decode(self.bytes).unwrap()[..]);
        loop {
            match FrameCodec::default().decode_eof(&mut input) {
                Ok(None) => return None,
                Ok(Some(frame)) => {
                    if let Some(error) = frame.messages::<ClientFrame>().find_map(Result::err) {
                        return Some(error.code().name());
                    }
                }
                Err(CodecError::Frame(error)) => return Some(error.code().name()),
                Err(CodecError::Io(error)) => panic!("no I/O happens here: {error}"),
            }
        }
    }
}

pub fn cases() -> Vec<Refused> {
    let case = |name, bytes, error| Refused { name, bytes, error };
    vec![
        case("length_0", "00000000", "FRAME_EMPTY"),
        case("length_0_with_bytes_behind", "0000000000", "FRAME_EMPTY"),
        case("one_over_the_limit", "0001000100", "FRAME_TOO_LARGE"),
        case("largest_length", "ffffffff00", "FRAME_TOO_LARGE"),
        case("over_the_limit_is_refused_before_the_flags", "00010001", "FRAME_TOO_LARGE"),
        case("zstd_flag", "0000000101", "UNSUPPORTED_FLAG"),
        case("zstd_and_batch_flags", "0000000103", "UNSUPPORTED_FLAG"),
        case("unknown_flag", "0000000180", "UNSUPPORTED_FLAG"),
        case("truncated_length", "000000", "TRUNCATED"),
        case("truncated_before_flags", "00000001", "TRUNCATED"),
        case("truncated_body", "00000005002200", "TRUNCATED"),
        case("truncated_behind_a_whole_frame", "0000000300220000000003", "TRUNCATED"),
        case("field_ends_early", "00000003002205", "MALFORMED"),
        case("varint_ends_early", "000000030008ff", "MALFORMED"),
        case("varint_of_11_bytes", "0000000d0008ffffffffffffffffffff01", "MALFORMED"),
        case("field_number_0", "00000003000200", "MALFORMED"),
        case("wire_type_7", "00000003000f00", "MALFORMED"),
        case("body_with_wrong_wire_type", "00000003002001", "MALFORMED"),
        case("number_with_wrong_wire_type", "00000003000a00", "MALFORMED"),
        case("end_group_without_start", "00000002000c", "MALFORMED"),
        case("string_is_not_utf8", "00000006001a030a01ff", "MALFORMED"),
        case("string_is_a_surrogate", "00000008001a050a03eda080", "MALFORMED"),
        case("text_in_place_of_a_message", "000000060068656c6c6f", "MALFORMED"),
        case("batch_length_past_the_end", "0000000402052200", "MALFORMED"),
        case("batch_length_without_end", "00000003028080", "MALFORMED"),
        case("batch_with_a_bad_second_message", "0000000702022200022205", "MALFORMED"),
    ]
}
