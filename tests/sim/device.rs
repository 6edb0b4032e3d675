//! A device: the client's pure session, and what its driver does around it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use client::reconnect::{Backoff, Lost, STABLE_AFTER};
use client::session::{Action, Session};
use protocol::code::Code;
use protocol::codec::FrameCodec;
use protocol::frame;
use protocol::preface::PREFACE;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::go_away::Verdict;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::welcome::Outcome;
use protocol::v1::{ClientFrame, ServerFrame, Welcome};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_util::codec::Decoder;

use crate::app::App;
use crate::mutant::Mutant;
use crate::net::{Conn, Item};
use crate::say;
use crate::socket::End;
use crate::world::{Ev, World};

/// Time the gateway has to answer Hello, milliseconds.
const WELCOME_WITHIN_MS: u64 = 10_000;

/// What connects a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Off,
    Waiting,
    Dialing(usize),
    Up(usize),
}

/// One installation.
pub struct Device {
    pub name: String,
    /// In the history; the same for ever.
    pub number: u64,
    pub tenant: String,
    pub user: String,
    pub session: Session,
    pub link: Link,
    pub app: App,
    /// Bytes of pushes the gateway may hold for it.
    pub window: u32,
    /// Seconds that its tokens last.
    pub token_s: i64,
    backoff: Backoff,
    rng: StdRng,
    connected_ms: u64,
    input: BytesMut,
    /// Counts dials and plans, so that what was planned for an earlier one is known as stale.
    pub turn: u64,
    /// Counts starts of the application.
    pub life: u64,
    /// The application does not run.
    pub dead: bool,
    /// And it never will again.
    pub gone: bool,
    /// What it said last of whether somebody sits there, in this session.
    pub away: bool,
    tick_ms: Option<u64>,
    /// Whether the history says that it is reachable.
    pub reachable: bool,
    /// Since when, if it is.
    pub reachable_since: u64,
}

impl Device {
    pub fn new(number: u64, tenant: &str, user: &str, base: Instant, seed: u64) -> Device {
        Device {
            name: format!("{tenant}/{user}.{number}"),
            number,
            tenant: tenant.to_owned(),
            user: user.to_owned(),
            session: Session::new(base, seed),
            link: Link::Off,
            app: App::default(),
            window: 0,
            token_s: 3 * 3600,
            backoff: Backoff::default(),
            rng: StdRng::seed_from_u64(seed ^ 1),
            connected_ms: 0,
            input: BytesMut::new(),
            turn: 0,
            life: 0,
            dead: false,
            gone: false,
            away: false,
            tick_ms: None,
            reachable: false,
            reachable_since: 0,
        }
    }

    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub fn conn(&self) -> Option<usize> {
        match self.link {
            Link::Dialing(conn) | Link::Up(conn) => Some(conn),
            Link::Off | Link::Waiting => None,
        }
    }

    /// The application starts anew on the same installation; what it has stored it keeps.
    pub fn restart(&mut self, now: Instant, seed: u64) {
        self.session = Session::new(now, seed);
        (self.link, self.backoff, self.input) = (Link::Off, Backoff::default(), BytesMut::new());
        (self.turn, self.life, self.tick_ms) = (self.turn + 1, self.life + 1, None);
    }
}

impl World {
    pub fn dial(&mut self, d: usize) {
        let device = &mut self.devices[d];
        device.turn += 1;
        device.input.clear();
        let Some(gateway) = self.front() else {
            let turn = self.devices[d].turn;
            let at = self.now + self.rng.range(1, 50);
            self.devices[d].link = Link::Waiting;
            return self.at(at, Ev::Refused(d, turn));
        };
        let conn = self.conns.len();
        let capacity = self.socket_bytes;
        self.conns.push(Conn::new(d, gateway, capacity, self.delay));
        let at = self.rng.next() as usize;
        let pipe = self.conns[conn].pipe.clone();
        self.gateways[gateway].accept(conn, at % 64, pipe);
        self.devices[d].link = Link::Dialing(conn);
        let hello = ClientFrame { body: Some(Ask::Hello(self.hello(d))), ..Default::default() };
        self.note(d, format!("dials, connection {conn}"));
        self.device_writes(conn, Item::Bytes(Bytes::from_static(&PREFACE)));
        self.write(d, conn, &hello);
        self.at(self.now + WELCOME_WITHIN_MS, Ev::NoWelcome(d, conn));
    }

    fn write(&mut self, d: usize, conn: usize, frame: &ClientFrame) {
        self.note(d, format!("-> {}", say::client(frame)));
        self.asks(d, frame);
        let bytes = frame::encode(frame);
        // The network cuts the stream where it likes.
        if self.rng.chance(100) && bytes.len() > 2 {
            let at = self.rng.range(1, bytes.len() as u64 - 1) as usize;
            self.device_writes(conn, Item::Bytes(bytes.slice(..at)));
            self.device_writes(conn, Item::Bytes(bytes.slice(at..)));
        } else {
            self.device_writes(conn, Item::Bytes(bytes));
        }
    }

    /// Something arrives on one of the device's connections, perhaps one that it has given up.
    pub fn device_reads(&mut self, conn: usize, item: Item) {
        let d = self.conns[conn].device;
        if self.devices[d].conn() != Some(conn) {
            return;
        }
        match item {
            Item::End(end) => {
                self.conns[conn].device_open = false;
                self.sent_away(conn);
                let said = if end == End::Fin { "the server closed the connection" } else { "reset" };
                self.on_lost(d, Lost::broken(said));
            }
            Item::Bytes(bytes) => {
                self.devices[d].input.extend_from_slice(&bytes);
                while self.devices[d].conn() == Some(conn) {
                    let input = &mut self.devices[d].input;
                    let frame = match FrameCodec::default().decode(input) {
                        Ok(Some(frame)) => frame,
                        Ok(None) => break,
                        Err(error) => {
                            self.close_conn(conn);
                            self.on_lost(d, Lost::broken(error.to_string()));
                            break;
                        }
                    };
                    for message in frame.messages::<ServerFrame>() {
                        self.on_frame(d, conn, message.unwrap());
                    }
                }
            }
        }
        self.after(d);
    }

    fn on_frame(&mut self, d: usize, conn: usize, mut frame: ServerFrame) {
        self.note(d, format!("<- {}", say::server(&frame)));
        if self.mutant == Some(Mutant::SessionSeqReused) && frame.session_seq > 1 && self.rng.chance(60) {
            frame.session_seq -= 1;
        }
        if self.mutant == Some(Mutant::PushLost) && matches!(frame.body, Some(Told::Head(_))) {
            return;
        }
        if let Some(Told::GoAway(away)) = &mut frame.body
            && !self.hears_away(conn, away)
        {
            return;
        }
        match self.devices[d].link {
            Link::Up(up) if up == conn => {
                self.record(d, &frame);
                let now = self.instant();
                self.devices[d].session.on_frame(now, frame);
                self.perform(d);
            }
            Link::Dialing(dialing) if dialing == conn => match frame.body {
                Some(Told::Welcome(welcome)) => self.on_welcome(d, conn, welcome),
                Some(Told::GoAway(away)) => self.not_connected(d, conn, Lost::go_away(away)),
                Some(Told::Error(error)) => self.not_connected(d, conn, Lost::error(error)),
                _ => self.not_connected(d, conn, Lost::broken("the first frame is not Welcome")),
            },
            _ => {}
        }
    }

    fn on_welcome(&mut self, d: usize, conn: usize, welcome: Welcome) {
        self.conns[conn].welcomed = true;
        self.ids.insert(welcome.device_id, self.devices[d].number);
        let now = self.instant();
        let device = &mut self.devices[d];
        (device.link, device.connected_ms) = (Link::Up(conn), self.now);
        device.away &= welcome.outcome() == Outcome::Resumed;
        device.session.on_connected(now, welcome);
        self.perform(d);
    }

    fn not_connected(&mut self, d: usize, conn: usize, lost: Lost) {
        self.close_conn(conn);
        self.plan(d, lost);
    }

    /// The device closes a connection.
    pub fn close_conn(&mut self, conn: usize) {
        if std::mem::take(&mut self.conns[conn].device_open) {
            self.device_writes(conn, Item::End(End::Fin));
        }
    }

    pub fn on_lost(&mut self, d: usize, lost: Lost) {
        let device = &mut self.devices[d];
        if device.is_up() && self.now >= device.connected_ms + STABLE_AFTER.as_millis() as u64 {
            device.backoff.reset();
        }
        self.plan(d, lost);
    }

    /// Decides about the next attempt, as the client's driver does.
    fn plan(&mut self, d: usize, lost: Lost) {
        let device = &mut self.devices[d];
        device.session.on_lost(&lost);
        device.turn += 1;
        let expired = lost.code == Some(Code::TOKEN_EXPIRED);
        let never = lost.verdict == Verdict::Never && !expired;
        let wait = device.backoff.next(lost.delay, &mut device.rng);
        let (turn, reason) = (device.turn, lost.reason.clone());
        if never {
            self.note(d, format!("stops: {reason}"));
            self.stop(d);
            let life = self.kill_app(d);
            let at = self.now + self.rng.range(1_000, 40_000);
            self.at(at, Ev::Restart(d, life));
        } else {
            self.devices[d].link = Link::Waiting;
            self.note(d, format!("lost: {reason}; again in {} ms", wait.as_millis()));
            self.at(self.now + wait.as_millis() as u64 + 1, Ev::Dial(d, turn));
        }
    }

    /// The application on this device ends: what is unsettled stays unknown to it.
    pub fn stop(&mut self, d: usize) {
        if let Some(conn) = self.devices[d].conn() {
            self.close_conn(conn);
        }
        let device = &mut self.devices[d];
        (device.link, device.tick_ms) = (Link::Off, None);
        device.turn += 1;
    }

    /// Performs what the session decides, and what the application decides upon it.
    pub fn perform(&mut self, d: usize) {
        loop {
            let actions = self.devices[d].session.take_actions();
            if actions.is_empty() {
                return;
            }
            actions.into_iter().for_each(|action| self.perform_one(d, action));
        }
    }

    fn perform_one(&mut self, d: usize, action: Action) {
        match action {
            Action::Write(frame) => {
                if let Link::Up(conn) = self.devices[d].link {
                    self.write(d, conn, &frame);
                }
            }
            Action::Settle(id, result) => self.settled(d, id, result),
            Action::Answer(ticket, answer) => self.answered(d, ticket, *answer),
            Action::Deliver(stream, message) => self.delivered(d, stream, &message),
            Action::End(stream, error) => self.stream_ended(d, stream, &error),
            Action::Emit(event) => self.told(d, *event),
            Action::FetchToken => {
                let turn = self.devices[d].turn;
                self.at(self.now + 200, Ev::Renew(d, turn));
            }
            Action::HangUp(lost) => {
                if let Some(conn) = self.devices[d].conn() {
                    self.close_conn(conn);
                }
                self.on_lost(d, *lost);
            }
        }
    }

    pub fn renew(&mut self, d: usize, turn: u64) {
        if self.devices[d].turn == turn {
            let (token, now) = (self.token(d), self.instant());
            self.devices[d].session.renew(now, token);
            self.after(d);
        }
    }

    /// Performs what is left and sets the alarm for the session's next deadline.
    pub fn after(&mut self, d: usize) {
        self.perform(d);
        let due = self.devices[d].session.deadline().map(|at| self.millis(at).max(self.now));
        if due != self.devices[d].tick_ms {
            self.devices[d].tick_ms = due;
            if let Some(at) = due {
                self.at(at, Ev::Tick(d));
            }
        }
    }

    pub fn tick(&mut self, d: usize) {
        if self.devices[d].tick_ms != Some(self.now) {
            return;
        }
        self.devices[d].tick_ms = None;
        let now = self.instant();
        self.devices[d].session.on_tick(now);
        self.after(d);
    }

    /// Virtual time as the session counts it.
    pub fn instant(&self) -> Instant {
        self.base + Duration::from_millis(self.now)
    }

    /// Rounded up: an alarm never rings early.
    fn millis(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.base);
        passed.as_micros().div_ceil(1000) as u64
    }
}
