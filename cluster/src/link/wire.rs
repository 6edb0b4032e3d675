//! Link messages as bytes: a preface, then frames, each a batch of messages.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message as _;
use protocol::codec::{CodecError, FrameCodec};
use protocol::frame::{self, FLAG_BATCH, FrameError, Messages};
use protocol::limit::{FRAME_HEADER_BYTES, MAX_LINK_FRAME_BYTES, MAX_LINK_MESSAGE_BYTES};
use protocol::node::v1::LinkMessage;
use protocol::node::v1::link_message::Body;
use protocol::preface::LINK_PREFACE;
use tokio_util::codec::Decoder as _;

/// Most bytes of the frame that holds hello, welcome or refusal: nobody is known by then.
pub const MAX_HELLO_BYTES: usize = 4 * 1024;

/// Why bytes are no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the bytes do not open a link between nodes")]
    Preface,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct Inlet {
    codec: FrameCodec,
    preface: bool,
}

impl Inlet {
    /// The side that is dialled: a preface comes first, and a small frame after it.
    pub fn accepting() -> Inlet {
        Inlet { codec: FrameCodec::with_limit(MAX_HELLO_BYTES), preface: true }
    }

    /// The side that dials.
    pub fn dialling() -> Inlet {
        Inlet { preface: false, ..Inlet::accepting() }
    }

    /// Hello and welcome have passed: frames may be as large as they get.
    pub fn welcome(&mut self) {
        self.codec = FrameCodec::with_limit(MAX_LINK_FRAME_BYTES);
    }

    /// The messages of the next frame and how many bytes they take; `None` if more bytes are needed.
    ///
    /// # Errors
    /// Fatal for the connection. So is the first message that is an error: the iterator ends with it.
    pub fn next(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<Option<(Messages<LinkMessage>, usize)>, WireError> {
        if self.preface {
            let seen = input.len().min(LINK_PREFACE.len());
            if input[..seen] != LINK_PREFACE[..seen] {
                return Err(WireError::Preface);
            }
            if seen < LINK_PREFACE.len() {
                return Ok(None);
            }
            input.advance(seen);
            self.preface = false;
        }
        let frame = match self.codec.decode(input) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(CodecError::Frame(error)) => return Err(error.into()),
            // The codec reads from memory.
            Err(CodecError::Io(_)) => return Err(FrameError::Truncated.into()),
        };
        if frame.flags != FLAG_BATCH {
            return Err(FrameError::Flags { flags: frame.flags }.into());
        }
        let bytes = frame.body.len();
        Ok(Some((frame.messages(), bytes)))
    }
}

/// A message as it stands in a batch, its length in front; `None` if it is larger than a message may be.
pub fn encode(body: Body) -> Option<Bytes> {
    let message = LinkMessage { body: Some(body) };
    (message.encoded_len() <= MAX_LINK_MESSAGE_BYTES).then(|| message.encode_length_delimited_to_vec().into())
}

/// A frame that is being put together.
#[derive(Debug)]
pub struct Batch {
    out: BytesMut,
}

impl Batch {
    /// Room for the frame's header, which is written last.
    pub fn new() -> Batch {
        Batch { out: BytesMut::from(&[0; FRAME_HEADER_BYTES][..]) }
    }

    /// Whether a message of so many bytes still fits.
    pub fn fits(&self, bytes: usize) -> bool {
        self.out.len() + bytes < MAX_LINK_FRAME_BYTES
    }

    /// Adds a message that [`encode`] has made.
    pub fn put(&mut self, message: &[u8]) {
        self.out.extend_from_slice(message);
    }

    /// Whether no message is in it.
    pub fn is_empty(&self) -> bool {
        self.out.len() <= FRAME_HEADER_BYTES
    }

    /// The frame; `None` if nothing is in it.
    pub fn finish(mut self) -> Option<Bytes> {
        let body = self.out.len().checked_sub(FRAME_HEADER_BYTES).filter(|&body| body > 0)?;
        self.out[..FRAME_HEADER_BYTES].copy_from_slice(&frame::header(FLAG_BATCH, body));
        Some(self.out.freeze())
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame with one message; for hello, welcome and refusal, which are small.
pub fn single(body: Body) -> Bytes {
    let mut batch = Batch::new();
    batch.put(&LinkMessage { body: Some(body) }.encode_length_delimited_to_vec());
    batch.finish().unwrap_or_default()
}
