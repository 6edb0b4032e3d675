//! Frames built around bytes that are already encoded, so that one encoding serves every receiver.
//!
//! Protobuf allows the fields of a message to be concatenated: what differs per receiver (its session seq) or per
//! place (the conversation's id in front of a stored entry) is written as a few bytes before shared ones. The
//! golden tests hold each function against prost's own encoding.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{
    WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len,
};

use crate::v1;

const SESSION_SEQ: u32 = 1;
const BODY_MESSAGE: u32 = 3;
const BODY_SYNC_RESULT: u32 = 7;
const RE: u32 = 2;
const MESSAGE_CONVERSATION: u32 = 1;
const RESULT_RANGES: u32 = 1;
const RANGE_MESSAGES: u32 = 4;

/// Most bytes [`put_session_seq`] writes.
pub const MAX_SESSION_SEQ_BYTES: usize = 11;

/// Writes `ServerFrame.session_seq`, to stand in front of a shared body.
pub fn put_session_seq(session_seq: u64, out: &mut impl BufMut) {
    encode_key(SESSION_SEQ, WireType::Varint, out);
    encode_varint(session_seq, out);
}

/// How many bytes [`put_session_seq`] writes.
pub fn session_seq_len(session_seq: u64) -> usize {
    key_len(SESSION_SEQ) + encoded_len_varint(session_seq)
}

/// An encoded `ServerFrame` that pushes a stored entry: `entry` is an encoded `Message` without its conversation.
pub fn push_frame(conversation: &str, entry: &[u8]) -> Bytes {
    let name = delimited_len(MESSAGE_CONVERSATION, conversation.len());
    let inner = name + entry.len();
    let mut out = BytesMut::with_capacity(delimited_len(BODY_MESSAGE, inner));
    put_header(BODY_MESSAGE, inner, &mut out);
    put_delimited(MESSAGE_CONVERSATION, conversation.as_bytes(), &mut out);
    out.put_slice(entry);
    out.freeze()
}

/// One range of a SyncResult around stored entries. `frame.messages` must be empty.
pub struct RangeParts {
    pub range: v1::SyncedRange,
    pub entries: Vec<Bytes>,
}

impl RangeParts {
    /// Bytes this range adds to the result.
    pub fn encoded_len(&self) -> usize {
        delimited_len(RESULT_RANGES, self.inner_len())
    }

    fn inner_len(&self) -> usize {
        let entries = self.entries.iter();
        self.range.encoded_len() + entries.map(|e| delimited_len(RANGE_MESSAGES, e.len())).sum::<usize>()
    }
}

/// Bytes an entry of this size adds to a range.
pub fn synced_entry_len(entry: usize) -> usize {
    delimited_len(RANGE_MESSAGES, entry)
}

/// An encoded `ServerFrame` that answers the Sync with request id `re`.
pub fn sync_result_frame(re: u64, ranges: &[RangeParts]) -> Bytes {
    let inner: usize = ranges.iter().map(RangeParts::encoded_len).sum();
    let mut out = BytesMut::with_capacity(16 + inner);
    encode_key(RE, WireType::Varint, &mut out);
    encode_varint(re, &mut out);
    put_header(BODY_SYNC_RESULT, inner, &mut out);
    for parts in ranges {
        put_header(RESULT_RANGES, parts.inner_len(), &mut out);
        parts.range.encode_raw(&mut out);
        for entry in &parts.entries {
            put_delimited(RANGE_MESSAGES, entry, &mut out);
        }
    }
    out.freeze()
}

/// The `re` of an encoded `ServerFrame` that starts with it, as replies do; 0 for anything else.
pub fn peek_re(mut frame: &[u8]) -> u64 {
    match decode_key(&mut frame) {
        Ok((RE, WireType::Varint)) => decode_varint(&mut frame).unwrap_or(0),
        _ => 0,
    }
}

fn delimited_len(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

fn put_header(tag: u32, length: usize, out: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

fn put_delimited(tag: u32, bytes: &[u8], out: &mut BytesMut) {
    put_header(tag, bytes.len(), out);
    out.put_slice(bytes);
}
