//! The way to the writer: bounded in requests and in bytes. Full means `Overloaded`, at once.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};

use super::request::Request;
use crate::error::StoreError;

/// Most requests that wait for the writer.
pub const QUEUED_REQUESTS: usize = 16_384;
/// Most bytes of requests that wait for the writer.
pub const QUEUED_BYTES: usize = 32 * 1024 * 1024;
/// Most requests of one commit.
pub const GROUP_REQUESTS: usize = 1024;
/// Bytes of requests after which a commit takes no further one.
pub const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// The callers' end.
pub(super) struct Queue {
    sender: SyncSender<Request>,
    bytes: Arc<AtomicUsize>,
    failure: Arc<OnceLock<String>>,
}

/// The writer's end.
pub(super) struct Inbox {
    receiver: Receiver<Request>,
    bytes: Arc<AtomicUsize>,
}

/// Both ends. Once `failure` is set nothing is taken any more.
pub(super) fn queue(failure: Arc<OnceLock<String>>) -> (Queue, Inbox) {
    let (sender, receiver) = sync_channel(QUEUED_REQUESTS);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { sender, bytes: bytes.clone(), failure }, Inbox { receiver, bytes })
}

impl Queue {
    /// Hands a request over or says why not; a request that was not taken is not done.
    pub(super) fn submit(&self, request: Request) -> Result<(), StoreError> {
        if let Some(failure) = self.failure.get() {
            return Err(StoreError::Unavailable(failure.clone()));
        }
        let bytes = request.bytes();
        let before = self.bytes.fetch_add(bytes, Relaxed);
        if before + bytes > QUEUED_BYTES {
            self.bytes.fetch_sub(bytes, Relaxed);
            return Err(StoreError::Overloaded);
        }
        self.sender.try_send(request).map_err(|error| {
            self.bytes.fetch_sub(bytes, Relaxed);
            match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => closed(),
            }
        })
    }

    /// Asks the writer to end after what is queued; waits for room, so call it where blocking is allowed.
    pub(super) fn close(&self) {
        // An error says that it has ended already.
        _ = self.sender.send(Request::Close);
    }
}

impl Inbox {
    /// Waits for a request and takes what else has come by then. Empty once all senders are gone.
    pub(super) fn take(&self) -> Vec<Request> {
        let mut taken: Vec<Request> = self.receiver.recv().into_iter().collect();
        let mut bytes = taken.iter().map(Request::bytes).sum::<usize>();
        while taken.len() < GROUP_REQUESTS
            && bytes < GROUP_BYTES
            && let Ok(request) = self.receiver.try_recv()
        {
            bytes += request.bytes();
            taken.push(request);
        }
        self.bytes.fetch_sub(bytes, Relaxed);
        taken
    }

    /// Refuses what is left at the end.
    pub(super) fn refuse_rest(&self) {
        self.receiver.try_iter().for_each(|request| request.refuse(closed()));
    }
}

/// Why nothing is taken after an orderly end.
pub(super) const CLOSED: &str = "the store is closed";

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable(CLOSED.into())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::key::ConversationKey;

    fn fence() -> Request {
        Request::Fence(ConversationKey::new("t", "c"), oneshot::channel().0)
    }

    #[test]
    fn full_is_overloaded_and_room_comes_back() {
        let (queue, inbox) = queue(Arc::default());
        for _ in 0..QUEUED_REQUESTS {
            queue.submit(fence()).unwrap();
        }
        assert_eq!(queue.submit(fence()), Err(StoreError::Overloaded));
        assert_eq!(inbox.take().len(), GROUP_REQUESTS);
        queue.submit(fence()).unwrap();
        drop(inbox);
        assert!(matches!(queue.submit(fence()), Err(StoreError::Unavailable(_))));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let (queue, inbox) = queue(Arc::default());
        queue.bytes.store(QUEUED_BYTES - 1, Relaxed);
        assert_eq!(queue.submit(fence()), Err(StoreError::Overloaded));
        queue.bytes.store(0, Relaxed);
        queue.submit(fence()).unwrap();
        inbox.take();
        assert_eq!(queue.bytes.load(Relaxed), 0);
    }
}
