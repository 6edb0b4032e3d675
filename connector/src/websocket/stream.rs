//! The adapter: device frames in binary messages on one side, bytes of a socket on the other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use protocol::code::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deframe::{Deframer, Item};
use super::frame::{self, Control, MAX_HEADER_BYTES, Opcode, Violation};
use super::outgoing::Outgoing;
use crate::transport::{Transport, TransportKind, poll_flush_and_shutdown};

/// Most slices that one vectored write passes on; a longer one is joined first.
/// Reads of the socket in one poll.
const READS_PER_POLL: usize = 2;
const MAX_SLICES: usize = 32;

/// The server side of an open WebSocket.
///
/// Reading gives the payload of binary messages and answers pings and closes on the way; a close reads as the end of
/// the stream, broken framing as an [`io::Error`] that [`code_of`](crate::transport::code_of) knows. Every write
/// becomes one binary message and is taken whole; while a part of it waits for the socket, the next write is pending.
#[derive(Debug)]
pub struct WebSocket<S> {
    inner: S,
    deframer: Deframer,
    outgoing: Option<Box<Outgoing>>,
    /// Found after payload that was handed out first, or already reported.
    violation: Option<Violation>,
    /// The client's close arrived.
    read_closed: bool,
    /// Our close is on its way or sent.
    write_closed: bool,
    /// The inner stream may hold bytes of a control frame back.
    flush_due: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Wraps a stream on which the upgrade was just answered with 101.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            deframer: Deframer::default(),
            outgoing: None,
            violation: None,
            read_closed: false,
            write_closed: false,
            flush_due: false,
        }
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Sends a close frame unless one was sent, flushes and shuts the inner stream's writing side down.
    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        payload: impl FnOnce() -> Control,
    ) -> Poll<io::Result<()>> {
        if !self.write_closed {
            self.queue_close(&payload());
        }
        ready!(self.poll_drain(cx))?;
        poll_flush_and_shutdown(&mut self.inner, cx)
    }

    /// Finds payload in `raw` and moves it to the front; returns its length.
    fn compact(&mut self, raw: &mut [u8]) -> usize {
        let (mut at, mut kept) = (0, 0);
        while !self.read_closed && self.violation.is_none() {
            match self.deframer.next(raw, &mut at) {
                Ok(None) => break,
                Ok(Some(Item::Payload(range))) => {
                    let length = range.len();
                    raw.copy_within(range, kept);
                    kept += length;
                }
                Ok(Some(Item::Ping(payload))) => self.queue_pong(payload),
                Ok(Some(Item::Close(payload))) => self.end_reading(&payload),
                Err(violation) => self.violation = Some(violation),
            }
        }
        kept
    }

    fn queue_pong(&mut self, payload: Box<Control>) {
        if !self.write_closed {
            self.outgoing.get_or_insert_default().pong(payload);
        }
    }

    fn end_reading(&mut self, payload: &Control) {
        self.read_closed = true;
        if !self.write_closed {
            self.queue_close(payload);
        }
    }

    fn queue_close(&mut self, payload: &Control) {
        self.write_closed = true;
        self.outgoing.get_or_insert_default().close(payload);
    }

    /// Writes what waits, without flushing the inner stream.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(outgoing) = &mut self.outgoing {
            ready!(outgoing.poll_drain(&mut self.inner, cx))?;
            self.outgoing = None;
            self.flush_due = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Pushes control frames out from the reading side, as far as the socket takes them.
    fn push_replies(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Poll::Ready(drained) = self.poll_drain(cx) {
            drained?;
            if self.flush_due
                && let Poll::Ready(flushed) = Pin::new(&mut self.inner).poll_flush(cx)
            {
                self.flush_due = false;
                flushed?;
            }
        }
        Ok(())
    }

    /// Writes all slices as one message; what the socket does not take is kept.
    fn poll_message(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.write_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let payload = slices.iter().map(|slice| slice.len()).sum();
        if payload == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_drain(cx))?;
        let (header, length) = frame::header(Opcode::Binary, payload);
        let written = ready!(poll_write_after(&mut self.inner, cx, &header[..length], slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        if written < length + payload {
            self.outgoing = Some(Box::new(Outgoing::rest(&header[..length], slices, written)));
        }
        Poll::Ready(Ok(payload))
    }
}

/// One write of `header` and `slices` to the inner stream; returns how many bytes of both together it took.
fn poll_write_after<S: AsyncWrite + Unpin>(
    inner: &mut S,
    cx: &mut Context<'_>,
    header: &[u8],
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if slices.len() <= MAX_SLICES && inner.is_write_vectored() {
        let mut all = [IoSlice::new(&[]); MAX_SLICES + 1];
        all[0] = IoSlice::new(header);
        all[1..=slices.len()].copy_from_slice(slices);
        return Pin::new(inner).poll_write_vectored(cx, &all[..=slices.len()]);
    }
    let payload: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut joined = Vec::with_capacity(MAX_HEADER_BYTES + payload);
    joined.extend_from_slice(header);
    slices.iter().for_each(|slice| joined.extend_from_slice(slice));
    Pin::new(inner).poll_write(cx, &joined)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    /// Reads raw bytes into the caller's buffer and leaves only payload there.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // A read that brought no payload is not followed by another at once: whoever sends nothing but control frames
        // must not have the thread to itself.
        for _ in 0..READS_PER_POLL {
            let pushed = this.push_replies(cx);
            if this.read_closed {
                return Poll::Ready(Ok(()));
            }
            if let Some(violation) = this.violation {
                return Poll::Ready(Err(violation.into()));
            }
            pushed?;
            let start = buf.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            if buf.filled().len() == start {
                return Poll::Ready(Ok(()));
            }
            let kept = this.compact(&mut buf.filled_mut()[start..]);
            buf.set_filled(start + kept);
            if kept > 0 {
                // A failure to reply comes back with the next call; the payload is good either way.
                let _ = this.push_replies(cx);
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_message(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_message(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        this.flush_due = false;
        Poll::Ready(Ok(()))
    }

    /// Closes with 1000, "normal".
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(cx, || {
            let mut payload = Control::default();
            payload.extend(&1000u16.to_be_bytes());
            payload
        })
    }
}

impl<S: Transport> Transport for WebSocket<S> {
    fn poll_goodbye(&mut self, cx: &mut Context<'_>, code: Code) -> Poll<io::Result<()>> {
        self.poll_close(cx, || Control::closing(code))
    }

    fn kind(&self) -> TransportKind {
        match self.inner.kind() {
            TransportKind::Tls => TransportKind::WebSocketTls,
            _ => TransportKind::WebSocket,
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
