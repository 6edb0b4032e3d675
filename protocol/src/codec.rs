//! Frames in a byte stream: one codec for every transport.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::frame::{self, Frame, FrameError, Peek};
use crate::limit::MAX_FRAME_BYTES;

/// Cuts a byte stream into [`Frame`]s and writes bodies as frames.
#[derive(Clone, Debug)]
pub struct FrameCodec {
    limit: usize,
}

impl FrameCodec {
    /// A codec whose frames hold at most `limit` bytes after the length field.
    pub fn with_limit(limit: usize) -> Self {
        Self { limit }
    }
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME_BYTES)
    }
}

/// What a codec gives up with.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match frame::peek(input, self.limit)? {
            Peek::Whole(length) => Ok(Some(frame::open(input.split_to(length).freeze())?)),
            Peek::Needs(length) => {
                input.reserve(length - input.len());
                Ok(None)
            }
        }
    }

    fn decode_eof(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match self.decode(input)? {
            Some(frame) => Ok(Some(frame)),
            None if input.is_empty() => Ok(None),
            None => Err(FrameError::Truncated.into()),
        }
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), CodecError> {
        let length = frame.body.len() + 1;
        if length > self.limit {
            let (length, limit) = (length as u32, self.limit as u32);
            return Err(FrameError::TooLarge { length, limit }.into());
        }
        out.extend_from_slice(&frame::header(frame.flags, frame.body.len()));
        out.extend_from_slice(&frame.body);
        Ok(())
    }
}

impl Encoder<Bytes> for FrameCodec {
    type Error = CodecError;

    /// Writes an encoded message as a frame without flags.
    fn encode(&mut self, body: Bytes, out: &mut BytesMut) -> Result<(), CodecError> {
        self.encode(Frame { flags: 0, body }, out)
    }
}
