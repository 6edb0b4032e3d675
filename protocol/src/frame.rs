//! A frame: `u32 length (big endian) | u8 flags | body`. The length counts flags and body, so it is at least 1.

use bytes::{Buf, Bytes};

use crate::code::Code;
use crate::limit::{FRAME_HEADER_BYTES, MAX_LINK_FRAME_BYTES};

/// Bit 0: the body is zstd-compressed. Reserved: no feature offers it yet, so a frame that sets it is refused.
pub const FLAG_ZSTD: u8 = 1;
/// Bit 1: the body is a sequence of varint-length-delimited messages.
pub const FLAG_BATCH: u8 = 2;

/// One frame as it came off the wire. The body shares the read buffer's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub flags: u8,
    pub body: Bytes,
}

/// Why bytes are not a frame, or a frame's body not a message. Fatal for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame announces length 0")]
    Empty,
    #[error("a frame announces {length} bytes, the limit is {limit}")]
    TooLarge { length: u32, limit: u32 },
    #[error("a frame carries unknown flags {flags:#04x}")]
    Flags { flags: u8 },
    #[error("the body is not a message of the expected kind")]
    Malformed,
    #[error("the stream ended inside a frame")]
    Truncated,
}

impl FrameError {
    /// The code the connection is closed with.
    pub fn code(self) -> Code {
        match self {
            FrameError::Empty => Code::FRAME_EMPTY,
            FrameError::TooLarge { .. } => Code::FRAME_TOO_LARGE,
            FrameError::Flags { .. } => Code::UNSUPPORTED_FLAG,
            FrameError::Malformed => Code::MALFORMED,
            FrameError::Truncated => Code::TRUNCATED,
        }
    }
}

impl Frame {
    /// The messages in the frame: one, or with [`FLAG_BATCH`] any number.
    pub fn messages<M: prost::Message + Default>(self) -> Messages<M> {
        Messages {
            batch: self.flags & FLAG_BATCH != 0,
            rest: Some(self.body),
            kind: std::marker::PhantomData,
        }
    }
}

/// Iterator over the messages of a frame; ends after the first error.
pub struct Messages<M> {
    batch: bool,
    rest: Option<Bytes>,
    kind: std::marker::PhantomData<fn() -> M>,
}

impl<M: prost::Message + Default> Iterator for Messages<M> {
    type Item = Result<M, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        if !self.batch {
            return Some(M::decode(rest).map_err(|_| FrameError::Malformed));
        }
        if rest.is_empty() {
            return None;
        }
        let length = match prost::decode_length_delimiter(&mut rest) {
            Ok(length) if length <= rest.len() => length,
            _ => return Some(Err(FrameError::Malformed)),
        };
        let body = rest.split_to(length);
        self.rest = Some(rest);
        match M::decode(body) {
            Ok(message) => Some(Ok(message)),
            Err(_) => {
                self.rest = None;
                Some(Err(FrameError::Malformed))
            }
        }
    }
}

/// What the bytes at the front of a buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// A whole frame of this many bytes, header included.
    Whole(usize),
    /// Not yet: at least this many bytes are needed in all.
    Needs(usize),
}

/// Looks at a frame's header without consuming anything. `limit` bounds flags and body together.
pub fn peek(bytes: &[u8], limit: usize) -> Result<Peek, FrameError> {
    let Some(mut header) = bytes.get(..4) else {
        return Ok(Peek::Needs(FRAME_HEADER_BYTES));
    };
    let length = header.get_u32();
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length as usize > limit {
        let limit = limit as u32;
        return Err(FrameError::TooLarge { length, limit });
    }
    let whole = 4 + length as usize;
    if bytes.len() < whole {
        return Ok(Peek::Needs(whole));
    }
    Ok(Peek::Whole(whole))
}

/// Splits header and flags off the bytes of one whole frame, as [`peek`] measured it.
pub fn open(mut whole: Bytes) -> Result<Frame, FrameError> {
    if whole.len() < FRAME_HEADER_BYTES {
        return Err(FrameError::Truncated);
    }
    whole.advance(4);
    let flags = whole.get_u8();
    if flags & !FLAG_BATCH != 0 {
        return Err(FrameError::Flags { flags });
    }
    Ok(Frame { flags, body: whole })
}

/// The header of a frame whose body has `body_length` bytes, between device and connector or between nodes.
///
/// # Panics
/// In debug builds, if the body is over any limit: what this side writes is bounded where it is made.
pub fn header(flags: u8, body_length: usize) -> [u8; FRAME_HEADER_BYTES] {
    debug_assert!(body_length < MAX_LINK_FRAME_BYTES);
    let [a, b, c, d] = (body_length as u32 + 1).to_be_bytes();
    [a, b, c, d, flags]
}

/// A whole frame around one message.
pub fn encode<M: prost::Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut out = bytes::BytesMut::with_capacity(FRAME_HEADER_BYTES + length);
    out.extend_from_slice(&header(0, length));
    message.encode_raw(&mut out);
    out.freeze()
}
