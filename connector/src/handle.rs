//! One device's session as the rest of the connector sees it: where to put frames, and how to wake its connection.
//!
//! A session may have several connections one after the other. Each has a number; only the latest is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::node::v1::Identity;
use protocol::v1::client_frame::Body;

use crate::delivery::{Copy, Delivery, Due, Schedule, Wake};
use crate::outbox::Outbox;
use crate::presence::Presence;
use crate::window::Place;

/// Shared by the sessions map, the timer wheel and the device's connection.
pub struct Handle {
    pub device: u64,
    /// Which of the device's sessions this is; later ones have higher numbers.
    pub epoch: u64,
    /// Whose it is. Tenant and user stay as they are; name and role are those of the first login.
    pub identity: Arc<Identity>,
    /// Seconds on the connector's own clock. Written by the connection, read by the wheel.
    heard_at: AtomicU32,
    /// When the token runs out, on the same clock.
    expires_at: AtomicU32,
    state: Mutex<State>,
}

// With the counts of its Arc it fits into 192 bytes.
const _: () = assert!(size_of::<Handle>() <= 176);

struct State {
    delivery: Delivery,
    waker: Option<Waker>,
    /// The transport takes nothing now: only closing is worth a turn of the connection.
    blocked: bool,
    reader: Reader,
    /// The latest connection's number.
    connection: u32,
    presence: Option<Box<Presence>>,
}

impl State {
    /// Who has said nothing of presence, or nothing that holds, costs nothing.
    fn forget_nothing_said(&mut self) {
        self.presence.take_if(|presence| **presence == Presence::default());
    }
}

impl Handle {
    /// A session whose first connection, number 0, has not started: frames gather.
    pub fn new(
        device: u64,
        epoch: u64,
        identity: Arc<Identity>,
        outbox: Outbox,
        now: u32,
        expires_at: u32,
    ) -> Self {
        let state = State {
            delivery: Delivery::new(outbox),
            waker: None,
            blocked: false,
            reader: Reader::UpToDate,
            connection: 0,
            presence: None,
        };
        Self {
            device,
            epoch,
            identity,
            heard_at: AtomicU32::new(now),
            expires_at: AtomicU32::new(expires_at),
            state: Mutex::new(state),
        }
    }

    /// Takes a push. Says whether the wheel has to look after unacknowledged pushes from now on.
    pub fn push(&self, frame: &Bytes, conversation: &Bytes, seq: u64, now: u32) -> bool {
        self.change(|delivery| {
            let pushed = delivery.push(frame, conversation, seq, now);
            (pushed.wake, pushed.arm)
        })
    }

    /// Queues the answer to a request.
    pub fn answer(&self, frame: Bytes) {
        self.change_state(|state| {
            if let Some(presence) = &mut state.presence {
                presence.answered(&frame);
                state.forget_nothing_said();
            }
            state.delivery.outbox.answer(frame);
            (Wake::IfWritable, ())
        });
    }

    /// Queues copies that were read again from the log.
    pub fn resent(&self, copies: Vec<Copy>) {
        self.change(|delivery| (delivery.resent(copies), ()));
    }

    /// What unacknowledged pushes ask for.
    pub fn due(&self, now: u32, schedule: Schedule) -> Due {
        self.state.lock().delivery.due(now, schedule)
    }

    /// Nobody took the question for what [`Handle::due`] has named: it is due still.
    pub fn postpone(&self) {
        self.state.lock().delivery.postpone();
    }

    /// Makes the connection say why and end.
    pub fn close(&self, code: Code) {
        self.change(|delivery| {
            delivery.outbox.close(code);
            (Wake::Always, ())
        });
    }

    /// Bytes that wait for the device, and the most that may.
    pub fn held(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.delivery.outbox.bytes(), state.delivery.outbox.bound())
    }

    /// Whether the device has not read everything it was sent.
    pub fn is_behind(&self) -> bool {
        matches!(self.state.lock().reader, Reader::Behind { .. })
    }

    /// Whether the device has read less than `bytes` in the `seconds` before `now`, while more was waiting for it.
    /// Starts another such time.
    pub fn reads_too_slowly(&self, now: u32, seconds: u32, bytes: usize) -> bool {
        let mut state = self.state.lock();
        let Reader::Behind { since, read } = state.reader else { return false };
        if since.saturating_add(seconds) > now {
            return false;
        }
        state.reader = Reader::Behind { since: now, read: 0 };
        (read as usize) < bytes
    }

    /// Notes what a request says of presence.
    pub(crate) fn hear_presence(&self, id: u64, body: &Body) {
        let mut state = self.state.lock();
        state.presence.get_or_insert_default().hear(id, body);
        state.forget_nothing_said();
    }

    /// What the device has said of presence.
    pub(crate) fn presence(&self) -> Presence {
        self.state.lock().presence.as_deref().cloned().unwrap_or_default()
    }

    /// The second its connection ended, while the session waits for its device.
    pub fn away_since(&self) -> Option<u32> {
        match self.state.lock().reader {
            Reader::Away { since } => Some(since),
            _ => None,
        }
    }

    /// Ends the session if it has waited for its device for `ttl` seconds. Says whether it did.
    pub fn expire(&self, now: u32, ttl: u32) -> bool {
        let mut state = self.state.lock();
        let over = matches!(state.reader, Reader::Away { since } if since.saturating_add(ttl) <= now);
        if over {
            state.delivery.end();
        }
        over
    }

    /// Ends the session: it cannot be resumed any more, and keeps nothing.
    pub fn end(&self) {
        self.state.lock().delivery.end();
    }

    /// Gives the session a new connection, which has handled every push up to `last_seq`. An older connection that is
    /// still there ends. `None` if the session cannot say what the device missed.
    pub fn resume(&self, last_seq: u64, welcome: Bytes) -> Option<Resumed> {
        let (resumed, older) = {
            let mut state = self.state.lock();
            let arm = state.delivery.resume(last_seq, welcome)?;
            state.connection += 1;
            state.reader = Reader::UpToDate;
            if let Some(presence) = &mut state.presence {
                presence.begin_anew();
            }
            (Resumed { number: state.connection, arm }, state.waker.take())
        };
        if let Some(older) = older {
            older.wake();
        }
        Some(resumed)
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

    /// A refreshed token runs out at another time.
    pub fn set_expires_at(&self, at: u32) {
        self.expires_at.store(at, Ordering::Relaxed);
    }

    fn change<R>(&self, f: impl FnOnce(&mut Delivery) -> (Wake, R)) -> R {
        self.change_state(|state| f(&mut state.delivery))
    }

    fn change_state<R>(&self, f: impl FnOnce(&mut State) -> (Wake, R)) -> R {
        let (waker, result) = {
            let mut state = self.state.lock();
            let (wake, result) = f(&mut state);
            let waker = match wake {
                Wake::Never => None,
                Wake::IfWritable if state.blocked => None,
                Wake::IfWritable | Wake::Always => state.waker.take(),
            };
            (waker, result)
        };
        // Woken outside the lock: the connection may run at once on another thread and want it.
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

/// How the device keeps up with what it is sent.
#[derive(Clone, Copy)]
enum Reader {
    UpToDate,
    /// It has not read everything, since this second; the bytes that it has read from then on.
    Behind {
        since: u32,
        read: u32,
    },
    /// Its connection has ended at this second, and there is no other.
    Away {
        since: u32,
    },
}

/// A session's new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    pub number: u32,
    /// From now on the wheel has to look after unacknowledged pushes.
    pub arm: bool,
}

/// One connection's side of a handle. Every call is without effect once a later connection has the session.
pub(crate) struct Seat {
    pub handle: Arc<Handle>,
    number: u32,
    /// A lost connection leaves the session to be resumed.
    pub keeps_session: bool,
}

impl Seat {
    /// The seat of connection `number`.
    pub fn new(handle: Arc<Handle>, number: u32) -> Self {
        Self { handle, number, keeps_session: false }
    }

    /// Begins a turn of the connection: `waker` is called when the next one is due. Returns why to close, if so.
    pub fn turn(&self, waker: &Waker) -> Option<Code> {
        let mut state = self.handle.state.lock();
        if state.connection != self.number {
            return Some(Code::SUPERSEDED);
        }
        state.blocked = false;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
        state.delivery.outbox.closing()
    }

    /// The transport took `bytes` and now takes no more. Says whether the device has just fallen behind.
    pub fn blocked(&self, bytes: usize, now: u32) -> bool {
        self.with(false, |state| {
            state.blocked = true;
            let (first, since, before) = match state.reader {
                Reader::Behind { since, read } => (false, since, read),
                _ => (true, now, 0),
            };
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            state.reader = Reader::Behind { since, read: before.saturating_add(bytes) };
            first
        })
    }

    /// The device has read everything it was sent.
    pub fn caught_up(&self) {
        self.with((), |state| state.reader = Reader::UpToDate);
    }

    /// Moves waiting frames to `out`. Says how many.
    pub fn take(&self, out: &mut BytesMut) -> usize {
        self.with(0, |state| state.delivery.outbox.take(out))
    }

    /// Whether another request may be read.
    pub fn accepts_requests(&self) -> bool {
        self.with(false, |state| state.delivery.outbox.accepts_requests())
    }

    /// The device has handled every push up to `session_seq`; 0 says nothing.
    pub fn acknowledge(&self, session_seq: u64) -> Result<(), Code> {
        if session_seq == 0 {
            return Ok(());
        }
        self.with(Ok(()), |state| state.delivery.acknowledge(session_seq))
    }

    /// What to read from the log next for a device that has resumed, and whether something was queued meanwhile.
    pub fn replay(&self) -> (Option<Vec<Place>>, bool) {
        self.with((None, false), |state| {
            let places = state.delivery.replay();
            (places, !state.delivery.outbox.is_empty())
        })
    }

    /// Counts a request that is now under way.
    pub fn begin(&self, id: u64, heavy: bool) {
        self.with((), |state| state.delivery.outbox.begin(id, heavy));
    }

    /// Queues a frame that answers no counted request.
    pub fn notify(&self, frame: Bytes) {
        self.with((), |state| state.delivery.outbox.notify(frame));
    }

    /// The connection has ended at the second `now`. Says whether the session was this connection's until then.
    pub fn leave(&self, now: u32) -> bool {
        self.with(false, |state| {
            state.connection += 1;
            state.waker = None;
            state.delivery.disconnected();
            state.reader = Reader::Away { since: now };
            true
        })
    }

    fn with<R>(&self, superseded: R, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.handle.state.lock();
        if state.connection == self.number { f(&mut state) } else { superseded }
    }
}
