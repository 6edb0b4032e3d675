//! The task of one logged-in device: one future, one poll loop, no buffer while idle.
//!
//! Each turn, in this order of priority: end if told to, write what waits, read what came. Frames are gathered in
//! and cut from buffers that belong to the thread and are borrowed only within a poll.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use protocol::Proto as _;
use protocol::code::Code;
use protocol::frame::{self, FLAG_BATCH, FrameError, Messages, Peek};
use protocol::limit::MAX_FRAME_BYTES;
use protocol::v1::{ClientFrame, ServerFrame, server_frame};
use tokio::io::ReadBuf;

use crate::accept::Place;
use crate::attachment::Attachment;
use crate::closing::Closing;
use crate::presence::Presence;
use crate::session::Action;
use crate::transport::{self, Transport};
use crate::uplink::code_of;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Messages and turns of one poll; then every other task of the thread has its turn first.
const MESSAGES_PER_POLL: u32 = 64;
const TURNS_PER_POLL: u32 = 16;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
    static WRITE: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BYTES));
}

/// Drives one device until either side ends.
pub(crate) struct Connection<T> {
    io: T,
    attachment: Attachment,
    // Boxed: hardly any device has them at a given time, and every device has a connection.
    /// Bytes of frames not handled yet.
    unread: Option<Box<BytesMut>>,
    /// Messages of a batch frame not handled yet.
    batch: Option<Box<Messages<ClientFrame>>>,
    /// Messages that this poll may still handle.
    left: u32,
    /// Bytes of frames the transport has not taken yet.
    unwritten: Option<Box<BytesMut>>,
    flushing: bool,
    /// The transport did not take everything when it was last offered.
    behind: bool,
    closing: Option<Box<Closing>>,
    _place: Place,
}

// With what the runtime adds for a task it fits into 256 bytes.
const _: () = assert!(size_of::<Connection<tokio::net::TcpStream>>() <= 144);

/// Why the loop ends.
enum End {
    /// Say this and close.
    Close(Code),
    /// The device said Bye.
    Leave,
    /// The transport is gone.
    Gone,
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        End::Close(error.code())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        transport::code_of(&error).map_or(End::Gone, End::Close)
    }
}

impl<T: Transport> Future for Connection<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.left = MESSAGES_PER_POLL;
        for _ in 0..TURNS_PER_POLL {
            if let Some(closing) = &mut this.closing {
                return closing.poll(&mut this.io, cx);
            }
            match this.turn(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(End::Gone)) => return Poll::Ready(()),
                Poll::Ready(Err(End::Close(code))) => this.begin_closing(Some(code)),
                Poll::Ready(Err(End::Leave)) => this.begin_closing(None),
            }
            if this.left == 0 {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Transport> Connection<T> {
    /// A connection whose Welcome already stands in the outbox; `rest` is what followed the Hello.
    pub fn new(io: T, mut attachment: Attachment, rest: BytesMut, place: Place) -> Self {
        attachment.started();
        Self {
            io,
            attachment,
            unread: (!rest.is_empty()).then(|| Box::new(rest)),
            batch: None,
            left: 0,
            unwritten: None,
            flushing: false,
            behind: false,
            closing: None,
            _place: place,
        }
    }

    /// Ready when there may be more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if let Some(code) = self.attachment.seat.turn(cx.waker()) {
            return Poll::Ready(Err(End::Close(code)));
        }
        let mut written = 0;
        match self.poll_write_out(&mut written, cx) {
            Poll::Ready(result) => {
                result?;
                if std::mem::take(&mut self.behind) {
                    self.attachment.seat.caught_up();
                }
                if self.replay() {
                    return Poll::Ready(Ok(()));
                }
            }
            Poll::Pending => self.fall_behind(written),
        }
        self.poll_read_in(cx)
    }

    /// Writes until outbox and transport are empty (Ready) or the transport takes no more (Pending).
    fn poll_write_out(&mut self, written: &mut usize, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            while let Some(unwritten) = &mut self.unwritten {
                let n = ready!(Pin::new(&mut self.io).poll_write(cx, unwritten))?;
                unwritten.advance(n);
                *written += n;
                if unwritten.is_empty() {
                    self.unwritten = None;
                }
            }
            if !WRITE.with_borrow_mut(|scratch| self.poll_write_some(scratch, written, cx))? {
                break;
            }
        }
        if self.flushing {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes one load out of the outbox and offers it to the transport once. Says whether there was one.
    fn poll_write_some(
        &mut self,
        scratch: &mut BytesMut,
        written: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<bool, End> {
        scratch.clear();
        let frames = self.attachment.seat.take(scratch);
        if frames == 0 {
            return Ok(false);
        }
        self.flushing = true;
        self.attachment.core.metrics.wrote(frames, scratch.len());
        let taken = match Pin::new(&mut self.io).poll_write(cx, scratch) {
            Poll::Ready(result) => result?,
            Poll::Pending => 0,
        };
        *written += taken;
        if taken < scratch.len() {
            self.unwritten.get_or_insert_default().extend_from_slice(&scratch[taken..]);
        }
        Ok(true)
    }

    fn poll_read_in(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.handle_frames()? {
            return Poll::Ready(Ok(()));
        }
        if !self.accepts_requests() {
            // An answer, or room in the outbox, brings the next turn.
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Ok(()));
        }
        READ.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(self.end_of_stream()));
            }
            let Attachment { core, seat, .. } = &self.attachment;
            seat.handle.heard(core.seconds());
            self.unread.get_or_insert_default().extend_from_slice(read.filled());
            Poll::Ready(self.handle_frames().map(drop))
        })
    }

    /// Handles messages that have been read whole, as many as this poll may. Says whether there was any.
    fn handle_frames(&mut self) -> Result<bool, End> {
        let before = self.left;
        while self.left > 0 && self.accepts_requests() {
            let Some(message) = self.next_message()? else { break };
            if let Some(message) = message {
                self.handle_frame(message)?;
            }
            self.left -= 1;
        }
        self.unread.take_if(|unread| unread.is_empty());
        Ok(self.left < before)
    }

    /// The next message, `Some(None)` for a batch that begins or ends, `None` if nothing more is whole.
    fn next_message(&mut self) -> Result<Option<Option<ClientFrame>>, End> {
        if let Some(batch) = &mut self.batch {
            let message = batch.next().transpose()?;
            if message.is_none() {
                self.batch = None;
            }
            return Ok(Some(message));
        }
        let Some(unread) = &mut self.unread else { return Ok(None) };
        let Peek::Whole(length) = frame::peek(unread, MAX_FRAME_BYTES)? else { return Ok(None) };
        let frame = frame::open(unread.split_to(length).freeze())?;
        if frame.flags & FLAG_BATCH != 0 {
            self.batch = Some(Box::new(frame.messages()));
            return Ok(Some(None));
        }
        Ok(Some(frame.messages().next().transpose()?))
    }

    fn handle_frame(&mut self, frame: ClientFrame) -> Result<(), End> {
        let Attachment { core, seat, session, .. } = &mut self.attachment;
        core.metrics.frames_in.add(1);
        seat.acknowledge(frame.ack).map_err(End::Close)?;
        let mut action = session.on_frame(frame, core.seconds());
        if let Action::Verify { re, token } = action {
            let now_ms = core.clock.unix_millis();
            let verified = core.verifier.verify(&token, now_ms);
            action = session.refreshed(re, verified.map(|v| (v.identity, v.expires_ms)), now_ms);
            // Only a token the session took counts: another user's valid one prolongs nothing.
            if let Action::Answer { body: server_frame::Body::AuthRefreshed(refreshed), .. } = &action {
                seat.handle.set_expires_at(core.second_of(refreshed.expires_ms));
                core.watch_once(&seat.handle);
            }
        }
        match action {
            Action::Nothing | Action::Verify { .. } => {}
            Action::Close(code) => return Err(End::Close(code)),
            Action::Leave => return Err(End::Leave),
            Action::Answer { re, body } => seat.notify(answer(re, body)),
            Action::Forward { request, heavy } => self.forward(request, heavy),
        }
        Ok(())
    }

    fn forward(&self, request: protocol::node::v1::Request, heavy: bool) {
        let Attachment { core, seat, .. } = &self.attachment;
        let id = request.frame.as_ref().map_or(0, |frame| frame.id);
        if id != 0 {
            seat.begin(id, heavy);
        }
        let body = request.frame.as_ref().and_then(|frame| frame.body.as_ref());
        if let Some(body) = body.filter(|body| Presence::concerns(body)) {
            seat.handle.hear_presence(id, body);
        }
        core.metrics.requests.add(1);
        if let Err(error) = core.uplink.request(request) {
            core.metrics.requests_refused.add(1);
            if id != 0 {
                let error = server_frame::Body::Error(code_of(error).plain_error());
                seat.handle.answer(answer(id, error));
            }
        }
    }

    fn accepts_requests(&self) -> bool {
        self.attachment.seat.accepts_requests()
    }

    fn end_of_stream(&self) -> End {
        if self.unread.is_none() { End::Gone } else { End::Close(Code::TRUNCATED) }
    }

    /// The transport takes no more for now: the wheel sees to it that this does not last.
    fn fall_behind(&mut self, written: usize) {
        self.behind = true;
        let Attachment { core, seat, .. } = &self.attachment;
        if seat.blocked(written, core.seconds()) {
            core.watch_reading(&seat.handle);
        }
    }

    /// A resumed device gets what it missed, as fast as it reads. Says whether there is something to write now.
    fn replay(&self) -> bool {
        let Attachment { core, seat, .. } = &self.attachment;
        let (places, queued) = seat.replay();
        if let Some(places) = places
            && !core.resend(&seat.handle, places)
        {
            seat.handle.close(Code::OVERLOADED);
            return true;
        }
        queued
    }

    fn begin_closing(&mut self, code: Option<Code>) {
        let mut last = self.unwritten.take().map_or_else(BytesMut::new, |unwritten| *unwritten);
        while self.attachment.seat.take(&mut last) > 0 {}
        if let Some(code) = code {
            let handle = &self.attachment.seat.handle;
            tracing::debug!(device = handle.device, epoch = handle.epoch, %code, "closing");
            last.extend_from_slice(&self.attachment.core.farewell(self.io.kind(), code, code.meaning(), 0));
        }
        self.attachment.ends_with(code);
        self.closing = Some(Box::new(Closing::new(last, code)));
    }
}

fn answer(re: u64, body: server_frame::Body) -> Bytes {
    ServerFrame { session_seq: 0, re, body: Some(body) }.encode_to_vec().into()
}
