//! Heartbeats, the deadline for a silent server, and when to acknowledge pushes. Pure.

use std::time::{Duration, Instant};

/// Pushes after which an ack is sent at once.
pub const ACK_EVERY: u32 = 32;
/// How long an ack waits for another frame to travel on.
pub const ACK_AFTER: Duration = Duration::from_secs(1);
/// Heartbeat if the server names none.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);
/// Shortest heartbeat obeyed.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Nothing,
    /// Send a Ping that asks for an answer.
    Ping,
    /// Send any frame: it carries the ack.
    Ack,
    /// The server has been silent for two and a half heartbeats.
    Dead,
}

/// Whether a push is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    New,
    Again,
    /// Pushes before this one are missing.
    Gap,
}

/// The pure state.
#[derive(Clone, Debug)]
pub struct Pulse {
    heartbeat: Duration,
    sent: Instant,
    received: Instant,
    pinged: Instant,
    /// Highest session seq handled.
    handled: u64,
    unacked: u32,
    ack_at: Option<Instant>,
}

impl Pulse {
    /// Nothing received and nothing handled.
    pub fn new(now: Instant) -> Pulse {
        Pulse {
            heartbeat: DEFAULT_HEARTBEAT,
            sent: now,
            received: now,
            pinged: now,
            handled: 0,
            unacked: 0,
            ack_at: None,
        }
    }

    /// A new connection; a session that is not resumed starts counting anew.
    pub fn restart(&mut self, now: Instant, resumed: bool) {
        let handled = if resumed { self.handled } else { 0 };
        *self = Pulse { heartbeat: self.heartbeat, handled, ..Pulse::new(now) };
    }

    /// The server sets the interval; 0 leaves it.
    pub fn set_heartbeat(&mut self, ms: u32) {
        if ms > 0 {
            self.heartbeat = Duration::from_millis(u64::from(ms)).max(MIN_HEARTBEAT);
        }
    }

    /// Highest session seq handled.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// Something arrived.
    pub fn on_received(&mut self, now: Instant) {
        self.received = now;
    }

    /// A reliable push arrived.
    pub fn on_push(&mut self, now: Instant, session_seq: u64) -> Arrival {
        self.unacked += 1;
        self.ack_at = self.ack_at.or(Some(now + ACK_AFTER));
        if session_seq <= self.handled {
            return Arrival::Again;
        }
        let gap = session_seq != self.handled + 1;
        self.handled = session_seq;
        if gap { Arrival::Gap } else { Arrival::New }
    }

    /// A frame goes out; returns the ack it carries.
    pub fn on_sent(&mut self, now: Instant) -> u64 {
        self.sent = now;
        self.unacked = 0;
        self.ack_at = None;
        self.handled
    }

    /// A Ping goes out.
    pub fn on_ping(&mut self, now: Instant) {
        self.pinged = now;
    }

    /// What is due.
    pub fn beat(&self, now: Instant) -> Beat {
        if now >= self.dead_at() {
            Beat::Dead
        } else if now >= self.ping_at() {
            Beat::Ping
        } else if self.unacked >= ACK_EVERY || self.ack_at.is_some_and(|at| at <= now) {
            Beat::Ack
        } else {
            Beat::Nothing
        }
    }

    /// When [`Pulse::beat`] is to be asked next.
    pub fn deadline(&self) -> Instant {
        let own = self.dead_at().min(self.ping_at());
        self.ack_at.map_or(own, |at| at.min(own))
    }

    fn dead_at(&self) -> Instant {
        self.received + self.heartbeat * 5 / 2
    }

    /// A ping is due when either direction was silent for a heartbeat, and not more often.
    fn ping_at(&self) -> Instant {
        self.sent.min(self.received).max(self.pinged) + self.heartbeat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(10);

    fn pulse(now: Instant) -> Pulse {
        let mut pulse = Pulse::new(now);
        pulse.set_heartbeat(10_000);
        pulse
    }

    #[test]
    fn silence_is_pinged_then_declared_dead() {
        let start = Instant::now();
        let mut pulse = pulse(start);
        assert_eq!(pulse.beat(start + BEAT - Duration::from_millis(1)), Beat::Nothing);
        assert_eq!(pulse.beat(start + BEAT), Beat::Ping);
        pulse.on_ping(start + BEAT);
        pulse.on_sent(start + BEAT);
        assert_eq!(pulse.beat(start + BEAT), Beat::Nothing);
        assert_eq!(pulse.beat(start + 2 * BEAT), Beat::Ping);
        assert_eq!(pulse.beat(start + BEAT * 5 / 2), Beat::Dead);
    }

    #[test]
    fn a_server_that_only_listens_is_pinged_too() {
        let start = Instant::now();
        let mut pulse = pulse(start);
        pulse.on_sent(start + BEAT / 2);
        assert_eq!(pulse.beat(start + BEAT), Beat::Ping);
    }

    #[test]
    fn acks_wait_for_a_frame_but_not_long() {
        let now = Instant::now();
        let mut pulse = pulse(now);
        assert_eq!(pulse.on_push(now, 1), Arrival::New);
        assert_eq!(pulse.beat(now), Beat::Nothing);
        assert_eq!(pulse.beat(now + ACK_AFTER), Beat::Ack);
        assert_eq!(pulse.on_sent(now), 1);
        assert_eq!(pulse.beat(now + ACK_AFTER), Beat::Nothing);
        for seq in 2..2 + u64::from(ACK_EVERY) {
            pulse.on_push(now, seq);
        }
        assert_eq!(pulse.beat(now), Beat::Ack);
    }

    #[test]
    fn repeats_and_gaps_are_told_apart() {
        let now = Instant::now();
        let mut pulse = pulse(now);
        assert_eq!(pulse.on_push(now, 1), Arrival::New);
        assert_eq!(pulse.on_push(now, 1), Arrival::Again);
        assert_eq!(pulse.on_push(now, 4), Arrival::Gap);
        assert_eq!(pulse.handled(), 4);
        pulse.restart(now, false);
        assert_eq!(pulse.on_push(now, 1), Arrival::New);
    }
}
