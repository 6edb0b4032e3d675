//! Frames over an open transport, with the bytes that wait to be written.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use protocol::codec::{CodecError, FrameCodec};
use protocol::frame::{Frame, Messages};
use protocol::limit::MAX_FRAME_BYTES;
use protocol::v1::{ClientFrame, ServerFrame};
use tokio_util::codec::Decoder;

use crate::pipe::{Ended, Pipe};
use crate::reconnect::Lost;

/// Bytes after which no further frame joins a chunk. A chunk of this size, as one WebSocket message, is within
/// the server's limit.
const CHUNK: usize = MAX_FRAME_BYTES / 2;
/// Bytes waiting to be written above which no further command is taken.
pub const WRITE_BEHIND: usize = 256 * 1024;
/// How long an orderly end may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A connection.
pub struct Wire {
    pipe: Pipe,
    codec: FrameCodec,
    read: BytesMut,
    batch: Option<Messages<ServerFrame>>,
    write: BytesMut,
    unflushed: bool,
    /// Arrived bytes that were told.
    arrived: u64,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum Step {
    Frame(Box<ServerFrame>),
    /// Bytes arrived, and no frame is whole.
    Arrived,
    /// Everything queued was written.
    Flushed,
}

impl Wire {
    /// Frames over this transport.
    pub fn new(pipe: Pipe) -> Wire {
        Wire {
            pipe,
            codec: FrameCodec::default(),
            read: BytesMut::new(),
            batch: None,
            write: BytesMut::new(),
            unflushed: false,
            arrived: 0,
        }
    }

    /// Queues a frame.
    pub fn queue(&mut self, frame: &ClientFrame) {
        self.write.extend_from_slice(&protocol::frame::encode(frame));
    }

    /// Bytes that wait to be written.
    pub fn behind(&self) -> usize {
        self.write.len()
    }

    /// Writes what is queued and reads, until either has news. May be dropped at any time without loss.
    pub async fn step(&mut self) -> Result<Step, Lost> {
        poll_fn(|context| self.poll_step(context)).await
    }

    /// The next frame, after everything queued before was at least on its way.
    pub async fn frame(&mut self) -> Result<ServerFrame, Lost> {
        loop {
            if let Step::Frame(frame) = self.step().await? {
                return Ok(*frame);
            }
        }
    }

    /// Writes what is queued, ends this direction and waits for the other side to end, for a bounded time.
    pub async fn close(mut self) {
        let close = async {
            poll_fn(|context| self.poll_write(context)).await?;
            poll_fn(|context| self.pipe.poll_close(context)).await?;
            loop {
                poll_fn(|context| self.pipe.poll_chunk(context)).await?;
            }
        };
        let ended: Result<Result<(), Ended>, _> = tokio::time::timeout(CLOSE_WITHIN, close).await;
        tracing::trace!(?ended, "connection closed");
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, Lost>> {
        if self.unflushed || !self.write.is_empty() {
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(Step::Flushed)),
                Poll::Ready(Err(ended)) => return Poll::Ready(Err(self.lost(context, ended))),
                Poll::Pending => {}
            }
        }
        loop {
            if let Some(frame) = self.decode()? {
                return Poll::Ready(Ok(Step::Frame(Box::new(frame))));
            }
            match self.pipe.poll_chunk(context) {
                Poll::Ready(Ok(chunk)) => self.read.extend_from_slice(&chunk),
                Poll::Ready(Err(ended)) => return Poll::Ready(Err(lost(ended))),
                Poll::Pending if self.has_arrived() => return Poll::Ready(Ok(Step::Arrived)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether bytes have arrived since it was last asked.
    fn has_arrived(&mut self) -> bool {
        let arrived = self.pipe.arrived();
        std::mem::replace(&mut self.arrived, arrived) != arrived
    }

    /// A failed write often has its reason in what the server said last: a GoAway that is still unread.
    fn lost(&mut self, context: &mut Context<'_>, ended: Ended) -> Lost {
        use protocol::v1::server_frame::Body;
        while let Poll::Ready(Ok(chunk)) = self.pipe.poll_chunk(context) {
            self.read.extend_from_slice(&chunk);
        }
        while let Ok(Some(frame)) = self.decode() {
            match frame.body {
                Some(Body::GoAway(go_away)) => return Lost::go_away(go_away),
                Some(Body::Error(error)) if frame.re == 0 => return Lost::error(error),
                _ => {}
            }
        }
        lost(ended)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !self.write.is_empty() {
            std::task::ready!(self.pipe.poll_ready(context))?;
            let chunk = self.write.split_to(whole_frames(&self.write)).freeze();
            self.pipe.start(chunk)?;
            self.unflushed = true;
        }
        std::task::ready!(self.pipe.poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn decode(&mut self) -> Result<Option<ServerFrame>, Lost> {
        loop {
            match self.batch.as_mut().and_then(Iterator::next) {
                Some(Ok(frame)) => return Ok(Some(frame)),
                Some(Err(error)) => return Err(unreadable(&error.into())),
                None => self.batch = None,
            }
            match self.codec.decode(&mut self.read).map_err(|error| unreadable(&error))? {
                Some(frame) => self.batch = Some(Frame::messages(frame)),
                None => return Ok(None),
            }
        }
    }
}

/// The bytes of as many whole frames as fit into a chunk; at least one.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(Ok(header)) = bytes.get(end..end + 4).map(<[u8; 4]>::try_from) {
        let next = end + 4 + u32::from_be_bytes(header) as usize;
        if end > 0 && next > CHUNK {
            break;
        }
        end = next;
    }
    if end == 0 { bytes.len() } else { end.min(bytes.len()) }
}

/// What the server sent is not in this protocol. Trying again is harmless behind a backoff, and right where a
/// middlebox was the cause.
fn unreadable(error: &CodecError) -> Lost {
    Lost::broken(format!("the server's bytes are not in this protocol: {error}"))
}

fn lost(ended: Ended) -> Lost {
    match ended {
        Ended::Eof => Lost::broken("the server closed the connection"),
        Ended::Broken(error) => Lost::broken(error.to_string()),
        Ended::Code(number, reason) => match protocol::code::Code::from_number(number) {
            Some(code) => Lost::coded(code, reason),
            None => Lost::broken(format!("the server closed the connection with code {number}: {reason}")),
        },
    }
}
