//! A gateway's end of a simulated connection: a byte stream with a bounded send buffer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use connector::transport::{Transport, TransportKind};
use parking_lot::Mutex;
use protocol::code::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::hub::{Hub, Out};

/// How the other side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

/// What socket and network share.
#[derive(Default)]
pub struct Pipe {
    inbound: BytesMut,
    end: Option<End>,
    reader: Option<Waker>,
    outbound: Vec<Bytes>,
    /// Bytes written that the other side has not read yet.
    in_flight: usize,
    capacity: usize,
    writer: Option<Waker>,
}

impl Pipe {
    pub fn new(capacity: usize) -> Arc<Mutex<Pipe>> {
        Arc::new(Mutex::new(Pipe { capacity, ..Pipe::default() }))
    }

    /// Bytes arrive from the other side.
    pub fn arrive(&mut self, bytes: &[u8]) {
        self.inbound.extend_from_slice(bytes);
        wake(&mut self.reader);
    }

    /// The other side's end arrives.
    pub fn end(&mut self, end: End) {
        self.end = self.end.or(Some(end));
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// What was written since the last call.
    pub fn written(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.outbound)
    }

    /// The other side read so many bytes: there is room again.
    pub fn read_by_peer(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// What a socket is an end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plug {
    /// A device's connection.
    Device(usize),
    /// A connection between nodes, and which of its ends.
    Node(usize, usize),
}

/// The transport that the connector serves, and what links between nodes run on.
pub struct Socket {
    pub plug: Plug,
    pub pipe: Arc<Mutex<Pipe>>,
    pub hub: Arc<Hub>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.hub.put(Out::Closed(self.plug));
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe.lock();
        if !pipe.inbound.is_empty() {
            let n = pipe.inbound.len().min(buf.remaining());
            buf.put_slice(&pipe.inbound[..n]);
            pipe.inbound.advance(n);
            return Poll::Ready(Ok(()));
        }
        match pipe.end {
            Some(End::Fin) => Poll::Ready(Ok(())),
            Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe.lock();
        if pipe.end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = buf.len().min(pipe.capacity.saturating_sub(pipe.in_flight));
        if n == 0 && !buf.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.in_flight += n;
        pipe.outbound.push(Bytes::copy_from_slice(&buf[..n]));
        drop(pipe);
        self.hub.put(Out::Wrote(self.plug));
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hub.put(Out::Shut(self.plug));
        Poll::Ready(Ok(()))
    }
}

impl Transport for Socket {
    fn poll_goodbye(&mut self, _: &mut Context<'_>, _: Code) -> Poll<io::Result<()>> {
        self.hub.put(Out::Shut(self.plug));
        Poll::Ready(Ok(()))
    }

    fn kind(&self) -> TransportKind {
        TransportKind::Memory
    }
}
