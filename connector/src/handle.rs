//! One logged-in device as the rest of the connector sees it: where to put frames, and how to wake its connection.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::code::Code;

use crate::outbox::Outbox;

/// Shared by the sessions map, the timer wheel and the device's connection.
pub struct Handle {
    pub device: u64,
    /// Which of the device's connections this is; later ones have higher numbers.
    pub epoch: u64,
    /// Seconds on the connector's own clock. Written by the connection, read by the wheel.
    heard_at: AtomicU32,
    /// When the token runs out, on the same clock.
    expires_at: AtomicU32,
    state: Mutex<State>,
}

struct State {
    outbox: Outbox,
    waker: Option<Waker>,
    /// The transport takes nothing now: only closing is worth a turn of the connection.
    blocked: bool,
}

/// Whether a change is worth a turn of the connection.
enum Wake {
    Never,
    IfWritable,
    Always,
}

impl Handle {
    /// A handle whose connection has not started: frames gather in the outbox.
    pub fn new(device: u64, epoch: u64, outbox: Outbox, now: u32, expires_at: u32) -> Self {
        Self {
            device,
            epoch,
            heard_at: AtomicU32::new(now),
            expires_at: AtomicU32::new(expires_at),
            state: Mutex::new(State { outbox, waker: None, blocked: false }),
        }
    }

    /// Queues a push; see [`Outbox::push`].
    pub fn push(&self, frame: &Bytes, conversation: &str, seq: u64) {
        self.change(|outbox| {
            let news = outbox.push(frame, conversation, seq);
            if outbox.closing().is_some() {
                Wake::Always
            } else if news {
                Wake::IfWritable
            } else {
                Wake::Never
            }
        });
    }

    /// Queues the answer to a request.
    pub fn answer(&self, frame: Bytes) {
        self.change(|outbox| {
            outbox.answer(frame);
            Wake::IfWritable
        });
    }

    /// Makes the connection say why and end.
    pub fn close(&self, code: Code) {
        self.change(|outbox| {
            outbox.close(code);
            Wake::Always
        });
    }

    /// The connection's own access, without waking anybody.
    pub fn with<R>(&self, f: impl FnOnce(&mut Outbox) -> R) -> R {
        f(&mut self.state.lock().outbox)
    }

    /// Begins a turn of the connection: `waker` is called when the next one is due. Returns why to close, if so.
    pub fn turn(&self, waker: &Waker) -> Option<Code> {
        let mut state = self.state.lock();
        state.blocked = false;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
        state.outbox.closing()
    }

    /// Until the next turn nothing can be written.
    pub fn blocked(&self) {
        self.state.lock().blocked = true;
    }

    /// Something arrived from the device.
    pub fn heard(&self, now: u32) {
        self.heard_at.store(now, Ordering::Relaxed);
    }

    /// When something last arrived.
    pub fn heard_at(&self) -> u32 {
        self.heard_at.load(Ordering::Relaxed)
    }

    /// When the token runs out.
    pub fn expires_at(&self) -> u32 {
        self.expires_at.load(Ordering::Relaxed)
    }

    /// A refreshed token runs out later.
    pub fn set_expires_at(&self, at: u32) {
        self.expires_at.store(at, Ordering::Relaxed);
    }

    fn change(&self, f: impl FnOnce(&mut Outbox) -> Wake) {
        let waker = {
            let mut state = self.state.lock();
            match f(&mut state.outbox) {
                Wake::Never => None,
                Wake::IfWritable if state.blocked => None,
                Wake::IfWritable | Wake::Always => state.waker.take(),
            }
        };
        // Woken outside the lock: the connection may run at once on another thread and want it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
