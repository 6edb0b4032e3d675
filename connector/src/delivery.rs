//! One session's pushes: queued while the device listens, remembered while it is away, sent again while it does not
//! acknowledge.
//!
//! Pure: pushes, acknowledgements and the second in, frames and places in the log out. A push is numbered once; what
//! is kept until the device acknowledges it is its place in the log ([`crate::window`]), never its content.

use bytes::Bytes;
use protocol::Proto as _;
use protocol::code::Code;
use protocol::v1::{CaughtUp, ServerFrame, server_frame};

use crate::outbox::Outbox;
use crate::window::{Place, Window};

/// Most messages read again from the log at once for one device.
pub const MAX_RESENT: usize = 64;

/// When unacknowledged pushes are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Seconds from a push to its first repetition, and between repetitions.
    pub after: u32,
    /// Repetitions before the connection is closed, after as long again.
    pub resends: u32,
}

/// The pushes of one session.
pub struct Delivery {
    pub(crate) outbox: Outbox,
    window: Window,
    mode: Mode,
    /// Repetitions of the oldest unacknowledged push.
    strikes: u32,
    /// The wheel looks after unacknowledged pushes.
    armed: bool,
    /// Something was pushed that is neither queued nor remembered.
    gap: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Live,
    /// The device has resumed: what it missed goes first. `sent` is the highest session seq queued so far.
    Replaying {
        sent: u64,
        asked: bool,
    },
    /// There is no connection.
    Away,
}

/// Whether the connection has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Never,
    IfWritable,
    Always,
}

/// What a push has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub wake: Wake,
    /// From now on the wheel has to look after unacknowledged pushes.
    pub arm: bool,
}

/// What unacknowledged pushes ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// There are none; the wheel need not look again.
    Nothing,
    /// Look again at this second, and send these again now.
    Again { at: u32, places: Vec<Place> },
    /// The device has been silent about them for too long.
    Expired,
}

/// A copy of a pushed message, read again from the log; without a frame where that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub place: Place,
    pub frame: Option<Bytes>,
}

impl Delivery {
    /// A new session with a connection.
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox, window: Window::default(), mode: Mode::Live, strikes: 0, armed: false, gap: false }
    }

    /// Takes a push. `seq` is 0 for what is not stored.
    pub fn push(&mut self, frame: &Bytes, conversation: &Bytes, seq: u64, now: u32) -> Pushed {
        if self.outbox.closing().is_some() {
            return Pushed { wake: Wake::Never, arm: false };
        }
        let wake = match (seq, self.mode) {
            (0, Mode::Away) => Wake::Never,
            (0, _) => self.push_unstored(frame),
            (_, Mode::Live) => self.push_live(frame, conversation, seq, now),
            (_, Mode::Replaying { .. }) => {
                if self.window.push(conversation, seq, now).is_none() {
                    self.outbox.raise_head(conversation, seq);
                }
                self.wake()
            }
            (_, Mode::Away) => {
                self.remember(conversation, seq, now);
                Wake::Never
            }
        };
        let arm = !self.armed && self.mode != Mode::Away && !self.window.is_empty();
        self.armed |= arm;
        Pushed { wake, arm }
    }

    /// The device has handled every push up to `session_seq`.
    ///
    /// # Errors
    /// MALFORMED if there is no such push.
    pub fn acknowledge(&mut self, session_seq: u64) -> Result<(), Code> {
        match self.window.acknowledge(session_seq) {
            Some(true) => self.strikes = 0,
            Some(false) => {}
            None => return Err(Code::MALFORMED),
        }
        Ok(())
    }

    /// What is due at the second `now`. A repetition whose first copy may still wait to be written counts, but is
    /// not made.
    pub fn due(&mut self, now: u32, schedule: Schedule) -> Due {
        let oldest = self.window.oldest().filter(|_| self.mode != Mode::Away);
        let Some(oldest) = oldest else {
            (self.armed, self.strikes) = (false, 0);
            return Due::Nothing;
        };
        let next = |strikes: u32| oldest.saturating_add(schedule.after.saturating_mul(strikes + 1));
        if now < next(self.strikes) {
            return Due::Again { at: next(self.strikes), places: Vec::new() };
        }
        let last = oldest.saturating_add(schedule.after.saturating_mul(schedule.resends + 1));
        if self.strikes == schedule.resends || now >= last {
            return Due::Expired;
        }
        self.strikes += 1;
        let waits = self.mode != Mode::Live || !self.outbox.is_empty();
        let until = now.saturating_sub(schedule.after);
        let places = if waits { Vec::new() } else { self.window.places(0, until, MAX_RESENT) };
        Due::Again { at: next(self.strikes), places }
    }

    /// The copies that [`Delivery::due`] named cannot be had now: they are due still. The end is not put off.
    pub fn postpone(&mut self) {
        self.strikes = self.strikes.saturating_sub(1);
    }

    /// The connection is gone; the session waits for the device to resume it.
    pub fn disconnected(&mut self) {
        self.mode = Mode::Away;
        self.strikes = 0;
        self.outbox.disconnected();
    }

    /// The session is over: it cannot be resumed, and keeps nothing.
    pub fn end(&mut self) {
        self.gap = true;
        self.window.acknowledge(self.window.last());
    }

    /// The device is back on a new connection and has handled every push up to `last_seq`. Says whether the wheel has
    /// to look after unacknowledged pushes; `None` if the session cannot say what the device missed.
    pub fn resume(&mut self, last_seq: u64, welcome: Bytes) -> Option<bool> {
        if self.gap {
            return None;
        }
        self.window.acknowledge(last_seq)?;
        self.outbox.disconnected();
        self.outbox.notify(welcome);
        self.strikes = 0;
        self.mode = Mode::Replaying { sent: self.window.acknowledged(), asked: false };
        let arm = !self.armed && !self.window.is_empty();
        self.armed |= arm;
        Some(arm)
    }

    /// What to read from the log next for a device that has resumed: nothing while it still has something to read.
    /// When everything is queued it is told so.
    pub fn replay(&mut self) -> Option<Vec<Place>> {
        let Mode::Replaying { sent, asked: false } = self.mode else { return None };
        if sent == self.window.last() {
            self.mode = Mode::Live;
            let body = Some(server_frame::Body::CaughtUp(CaughtUp {}));
            let frame = ServerFrame { session_seq: 0, re: 0, body };
            self.outbox.notify(frame.encode_to_vec().into());
            return None;
        }
        if !self.outbox.is_empty() {
            return None;
        }
        self.mode = Mode::Replaying { sent, asked: true };
        Some(self.window.places(sent, u32::MAX, MAX_RESENT))
    }

    /// Queues copies that were asked for by [`Delivery::due`] or [`Delivery::replay`].
    pub fn resent(&mut self, copies: Vec<Copy>) -> Wake {
        for Copy { place, frame } in copies {
            let open = self.window.contains(place.session_seq);
            match (&mut self.mode, frame) {
                (Mode::Away, _) => return Wake::Never,
                (Mode::Replaying { sent, asked }, frame) => {
                    *sent = place.session_seq.max(*sent);
                    *asked = false;
                    match frame {
                        Some(frame) if open => self.outbox.push(place.session_seq, frame),
                        Some(_) => {}
                        None => self.outbox.raise_head(&place.conversation, place.seq),
                    }
                }
                (Mode::Live, Some(frame)) if open && self.outbox.takes(&frame, &place.conversation) => {
                    self.outbox.push(place.session_seq, frame);
                }
                (Mode::Live, _) => {}
            }
        }
        self.wake()
    }

    /// How many pushes are unacknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.window.len()
    }

    fn push_unstored(&mut self, frame: &Bytes) -> Wake {
        if !self.outbox.takes(frame, b"") {
            return Wake::Never;
        }
        self.outbox.push(0, frame.clone());
        Wake::IfWritable
    }

    fn push_live(&mut self, frame: &Bytes, conversation: &Bytes, seq: u64, now: u32) -> Wake {
        if self.outbox.takes(frame, conversation)
            && let Some(session_seq) = self.window.push(conversation, seq, now)
        {
            self.outbox.push(session_seq, frame.clone());
        } else {
            self.outbox.raise_head(conversation, seq);
        }
        self.wake()
    }

    fn remember(&mut self, conversation: &Bytes, seq: u64, now: u32) {
        if !self.gap && self.window.push(conversation, seq, now).is_none() {
            // Nothing of it can be replayed any more, so nothing of it is kept.
            self.end();
        }
    }

    fn wake(&self) -> Wake {
        if self.outbox.closing().is_some() { Wake::Always } else { Wake::IfWritable }
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
