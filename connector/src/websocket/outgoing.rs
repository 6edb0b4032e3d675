//! What waits for a socket that is full. Exists only while something waits.
//!
//! Bounded: the rest of one write, one pong (a newer ping replaces an older one that is still unanswered, as RFC 6455
//! allows) and one close.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::frame::{self, Control, Opcode};

#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    at: usize,
    pong: Option<Box<Control>>,
}

impl Outgoing {
    /// Keeps the rest of a message: `header` and `slices` without their first `written` bytes.
    pub fn rest(header: &[u8], slices: &[io::IoSlice<'_>], written: usize) -> Self {
        let total = header.len() + slices.iter().map(|slice| slice.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(total - written);
        let mut skip = written;
        for slice in std::iter::once(header).chain(slices.iter().map(|slice| &**slice)) {
            let skipped = skip.min(slice.len());
            bytes.extend_from_slice(&slice[skipped..]);
            skip -= skipped;
        }
        Self { bytes, at: 0, pong: None }
    }

    /// Answers a ping once the current message is out.
    pub fn pong(&mut self, payload: Box<Control>) {
        self.pong = Some(payload);
    }

    /// Sends a close after the current message; a pong that still waits is moot.
    pub fn close(&mut self, payload: &Control) {
        self.pong = None;
        self.control(Opcode::Close, payload);
    }

    /// Writes until nothing waits.
    pub fn poll_drain<S: AsyncWrite + Unpin>(
        &mut self,
        inner: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.at < self.bytes.len() {
                match ready!(Pin::new(&mut *inner).poll_write(cx, &self.bytes[self.at..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.at += written,
                }
            }
            self.bytes.clear();
            self.at = 0;
            match self.pong.take() {
                Some(payload) => self.control(Opcode::Pong, &payload),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn control(&mut self, opcode: Opcode, payload: &Control) {
        let (header, length) = frame::header(opcode, payload.as_slice().len());
        self.bytes.extend_from_slice(&header[..length]);
        self.bytes.extend_from_slice(payload.as_slice());
    }
}
