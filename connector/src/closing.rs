//! The end of a connection: last bytes, the transport's goodbye, then a short wait for the other side to hang up.
//!
//! The wait matters on TCP: closing a socket that still holds unread bytes resets it, and the reset may overtake
//! the frame that says why.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use protocol::code::Code;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use crate::transport::Transport;

/// Time for all of it.
const DEADLINE: Duration = Duration::from_secs(2);

/// Ends one connection.
pub(crate) struct Closing {
    last: BytesMut,
    /// `None` when the device asked to leave.
    code: Option<Code>,
    stage: Stage,
    deadline: Pin<Box<Sleep>>,
}

enum Stage {
    Write,
    Flush,
    Goodbye,
    Wait,
}

impl Closing {
    /// Writes `last`, then closes with `code`.
    pub fn new(last: BytesMut, code: Option<Code>) -> Self {
        let deadline = Box::pin(tokio::time::sleep(DEADLINE));
        Self { last, code, stage: Stage::Write, deadline }
    }

    /// Ready once the transport may be dropped.
    pub fn poll<T: Transport>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        self.poll_stages(io, cx).map(drop)
    }

    fn poll_stages<T: Transport>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stage {
                Stage::Write if self.last.is_empty() => self.stage = Stage::Flush,
                Stage::Write => {
                    let n = ready!(Pin::new(&mut *io).poll_write(cx, &self.last))?;
                    self.last.advance(n);
                }
                Stage::Flush => {
                    ready!(Pin::new(&mut *io).poll_flush(cx))?;
                    self.stage = Stage::Goodbye;
                }
                Stage::Goodbye => {
                    ready!(match self.code {
                        Some(code) => io.poll_goodbye(cx, code),
                        None => Pin::new(&mut *io).poll_shutdown(cx),
                    })?;
                    self.stage = Stage::Wait;
                }
                Stage::Wait => {
                    let mut scrap = [0; 1024];
                    let mut read = ReadBuf::new(&mut scrap);
                    ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
                    if read.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}
