//! What a client tells its application beside messages of open streams.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt};
use protocol::code::Code;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::message::Message;

/// Most events that wait for one listener; older ones are dropped and counted in [`Event::Missed`].
pub const EVENTS: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A connection is up. Streams catch up and unanswered sends go out again by themselves.
    Connected {
        /// The server still had the session.
        resumed: bool,
    },
    /// The connection is gone, or an attempt failed.
    Disconnected {
        reason: String,
        code: Option<Code>,
        /// When the next attempt is made; `None` if there will be none.
        retry_in: Option<Duration>,
    },
    /// The same device connected elsewhere. This client does not connect again by itself.
    Superseded,
    /// A watched user came, went away from all devices (`online` and `away`) or went offline; `since_ms` is when,
    /// and 0 where it is not known.
    Presence { user: String, online: bool, away: bool, since_ms: i64 },
    /// A member's cursors after a mark.
    Cursor { conversation: String, user: String, read: u64, delivered: u64 },
    /// Typing and the like, from somebody who is online now.
    Signal { conversation: String, user: String, kind: String, data: Bytes },
    /// This user was added to a conversation.
    NewConversation { conversation: String },
    /// Something was committed to a conversation that no stream reads.
    Activity { conversation: String, seq: u64, message: Option<Box<Message>> },
    /// A message that is not stored; it has no seq.
    Unstored(Box<Message>),
    /// This listener was too slow for this many events.
    Missed(u64),
}

/// The stream of events from the moment it was made. Ends with the client.
pub struct Events {
    inner: BoxStream<'static, Event>,
}

impl Events {
    pub(crate) fn new(receiver: Receiver<Event>) -> Events {
        let inner = futures::stream::unfold(receiver, |mut receiver| async move {
            let event = match receiver.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(events)) => Event::Missed(events),
                Err(RecvError::Closed) => return None,
            };
            Some((event, receiver))
        });
        Events { inner: inner.boxed() }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.inner.poll_next_unpin(context)
    }
}
