//! The application's end of a stream: a bounded buffer between the client's task and the reader.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::client::Shared;
use crate::error::RequestError;
use crate::inbox::{STREAM_BYTES, STREAM_MESSAGES};
use crate::message::Message;

/// The messages of one conversation: ascending, without a hole, each once. Entries this user may not see are
/// passed over.
///
/// At most [`STREAM_MESSAGES`] messages wait here; a slower reader costs no memory, what it has not taken is
/// pulled from the log again. The stream ends when the client is closed or the conversation cannot be read;
/// [`MessageStream::ended_because`] says which. It keeps the client's connection alive.
pub struct MessageStream {
    buffer: Arc<Buffer>,
    // The buffer's other end is held by the task that this keeps alive.
    _client: Arc<Shared>,
}

/// What reader and task share.
pub(crate) struct Buffer {
    state: Mutex<State>,
    /// Wakes the task: there is credit to return, or the reader is gone.
    news: Arc<Notify>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    waker: Option<Waker>,
    taken: usize,
    taken_bytes: usize,
    ended: Option<Option<RequestError>>,
    dropped: bool,
}

impl MessageStream {
    pub(crate) fn new(buffer: Arc<Buffer>, client: Arc<Shared>) -> MessageStream {
        MessageStream { buffer, _client: client }
    }

    /// Why the stream ended; `None` while it lasts, and when the client was closed in order.
    pub fn ended_because(&self) -> Option<RequestError> {
        self.buffer.state.lock().ended.clone().flatten()
    }
}

impl Stream for MessageStream {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.buffer.poll_take(context)
    }
}

impl Drop for MessageStream {
    fn drop(&mut self) {
        self.buffer.state.lock().dropped = true;
        self.buffer.news.notify_one();
    }
}

impl Buffer {
    pub(crate) fn new(news: Arc<Notify>) -> Buffer {
        Buffer { state: Mutex::default(), news }
    }

    /// Adds a message; the task has counted its credit.
    pub(crate) fn put(&self, message: Message) {
        let mut state = self.state.lock();
        state.waiting.push_back(message);
        wake(state.waker.take());
    }

    /// No message will follow.
    pub(crate) fn end(&self, error: Option<RequestError>) {
        let mut state = self.state.lock();
        state.ended.get_or_insert(error);
        wake(state.waker.take());
    }

    /// The reader is gone.
    pub(crate) fn is_dropped(&self) -> bool {
        self.state.lock().dropped
    }

    /// Messages and bytes taken since the last call.
    pub(crate) fn taken(&self) -> (usize, usize) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.taken), std::mem::take(&mut state.taken_bytes))
    }

    fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.state.lock();
        let Some(message) = state.waiting.pop_front() else {
            if state.ended.is_some() {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        state.taken += 1;
        state.taken_bytes += message.cost();
        // Credit goes back in halves, so that the task is not woken for every message.
        if state.taken >= STREAM_MESSAGES / 2 || state.taken_bytes >= STREAM_BYTES / 2 {
            self.news.notify_one();
        }
        Poll::Ready(Some(message))
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
