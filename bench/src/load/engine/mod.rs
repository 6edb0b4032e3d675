//! Connections of many devices on one epoll set: what comes is read, cut and handed to the scenario; what the scenario
//! says is gathered and written once a turn.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::bail;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::clock::{self, SECOND};
use super::conn::{Conn, Link, MOST_WAITING, State};
use super::dialer::Dialer;
use super::plan::{Part, Plan};
use super::quic::{Happening, Quic};
use super::scenario::Scenario;
use super::speech::{self, Device, Publish, Session, Speech};

/// Most bytes that one read takes.
const READ_BYTES: usize = 256 * 1024;
/// Most events of one turn.
const EVENTS: usize = 512;
/// Marks of what is no device's socket.
const COMMANDS: u64 = u64::MAX;
const QUIC: u64 = u64::MAX - 1;

mod inflow;

pub struct Engine {
    epoll: OwnedFd,
    pub conns: Vec<Conn>,
    pub speech: Box<dyn Speech>,
    dialer: Dialer,
    quic: Option<Quic>,
    happened: Vec<Happening>,
    events: Vec<epoll::Event>,
    raw: Vec<u8>,
    words: Vec<u8>,
    dirty: Vec<usize>,
    /// Devices whose login is under way, and that are logged in.
    pub under_way: usize,
    pub ready: usize,
    /// Devices that were sent away, and when each comes back.
    pub returning: Vec<(u64, usize)>,
    /// There is something to read from who commands.
    pub commanded: bool,
}

impl Engine {
    pub fn new(plan: &Plan) -> anyhow::Result<Engine> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let dialer = Dialer::of(plan)?;
        let quic = match (&dialer.tls, dialer.transport) {
            (Some(tls), super::plan::Transport::Quic) => Some(Quic::new(tls.clone())?),
            _ => None,
        };
        if let Some(quic) = &quic {
            epoll::add(&epoll, quic.socket(), EventData::new_u64(QUIC), EventFlags::IN)?;
        }
        epoll::add(&epoll, std::io::stdin(), EventData::new_u64(COMMANDS), EventFlags::IN)?;
        let devices = plan.crowds.iter().flat_map(|crowd| {
            (crowd.first..crowd.first + crowd.count).map(|number| Device {
                part: crowd.part,
                number,
                session: Session::default(),
            })
        });
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        Ok(Engine {
            conns: devices.map(Conn::new).collect(),
            speech: speech::of(plan),
            epoll,
            dialer,
            quic,
            happened: Vec::new(),
            events: vec![nothing; EVENTS],
            raw: vec![0; READ_BYTES],
            words: Vec::new(),
            dirty: Vec::new(),
            under_way: 0,
            ready: 0,
            returning: Vec::new(),
            commanded: false,
        })
    }

    /// Sets the login of one device under way.
    pub fn dial(&mut self, at: usize) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        conn.state = State::Connecting;
        self.under_way += 1;
        let address = self.dialer.address(at, conn.sent_away);
        if let Some(quic) = &mut self.quic {
            conn.link = Link::Quic;
            return quic.dial(at, address, &self.dialer.host, &mut self.happened);
        }
        let stalled = conn.device.part == Part::Stalled;
        let (socket, layer) = self.dialer.dial(address, conn.device.number, stalled)?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), EventFlags::OUT)?;
        conn.link = Link::Socket { socket, layer };
        Ok(())
    }

    /// Sets the logins of those under way again who have waited as long as they were told to.
    pub fn dial_returning(&mut self, now: u64) -> anyhow::Result<()> {
        let due: Vec<usize> = self.returning.extract_if(.., |(at, _)| *at <= now).map(|(_, at)| at).collect();
        due.into_iter().try_for_each(|at| self.dial(at))
    }

    /// Cuts all connections but the speaker's.
    pub fn cut(&mut self) {
        (self.ready, self.under_way) = (0, 0);
        self.returning.clear();
        for (at, conn) in self.conns.iter_mut().enumerate() {
            if conn.device.part == Part::Speaker {
                self.ready += usize::from(conn.state == State::Ready);
                continue;
            }
            if let Some(quic) = &mut self.quic {
                quic.cut(at);
            }
            conn.cut();
        }
    }

    /// Has a device say a message, at the end of the turn.
    pub fn publish(&mut self, at: usize, publish: &Publish<'_>) -> anyhow::Result<()> {
        let mut words = std::mem::take(&mut self.words);
        self.speech.publish(&self.conns[at].device, publish, &mut words);
        self.say(at, words)
    }

    /// Asks for a page of a log.
    pub fn ask(
        &mut self,
        at: usize,
        conversation: &str,
        id: u64,
        from: u64,
        limit: u32,
    ) -> anyhow::Result<()> {
        let mut words = std::mem::take(&mut self.words);
        self.speech.ask(conversation, id, from, limit, &mut words);
        self.say(at, words)
    }

    /// Acknowledges whatever is not, and says a sign of life where `alive`.
    pub fn refresh(&mut self, at: usize, alive: bool) -> anyhow::Result<()> {
        if self.conns[at].state != State::Ready || self.conns[at].device.part == Part::Stalled {
            return Ok(());
        }
        let mut words = std::mem::take(&mut self.words);
        self.speech.acknowledge(&mut self.conns[at].device, &mut words);
        if alive {
            self.speech.ping(&mut words);
        }
        self.say(at, words)
    }

    fn say(&mut self, at: usize, mut words: Vec<u8>) -> anyhow::Result<()> {
        if !words.is_empty() {
            let conn = &mut self.conns[at];
            conn.say(&words)?;
            if conn.outbox.len() > MOST_WAITING {
                bail!("the server does not take what {:?} {} sends", conn.device.part, conn.device.number);
            }
            if !std::mem::replace(&mut conn.dirty, true) {
                self.dirty.push(at);
            }
            words.clear();
        }
        self.words = words;
        Ok(())
    }

    /// One turn of the loop; waits at most so many nanoseconds for something to happen.
    pub fn turn(&mut self, wait: u64, scenario: &mut dyn Scenario) -> anyhow::Result<()> {
        let timeout = Timespec { tv_sec: (wait / SECOND) as i64, tv_nsec: (wait % SECOND) as _ };
        let mut events = std::mem::take(&mut self.events);
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            let (flags, data) = (event.flags, event.data);
            match data.u64() {
                COMMANDS => self.commanded = true,
                QUIC => {}
                at => self.event(at as usize, flags, scenario)?,
            }
        }
        self.events = events;
        self.quic_turn(scenario)?;
        self.flush()?;
        if !self.happened.is_empty() {
            self.quic_turn(scenario)?;
        }
        Ok(())
    }

    fn mark(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        if !conn.outbox.is_empty() && !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push(at);
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let mut dirty = std::mem::take(&mut self.dirty);
        for at in dirty.drain(..) {
            self.conns[at].dirty = false;
            self.flush_one(at)?;
        }
        self.dirty = dirty;
        Ok(())
    }

    fn flush_one(&mut self, at: usize) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        if let (Link::Quic, Some(quic)) = (&conn.link, &mut self.quic) {
            let written = quic.write(at, &conn.outbox, &mut self.happened);
            conn.outbox.drain(..written);
            return Ok(());
        }
        if let Err(error) = conn.write() {
            return self.lost(at, &error.to_string());
        }
        let conn = &mut self.conns[at];
        let waits = !conn.outbox.is_empty();
        if std::mem::replace(&mut conn.waits, waits) != waits
            && let Link::Socket { socket, .. } = &conn.link
        {
            let wanted = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, socket.as_fd(), EventData::new_u64(at as u64), wanted)?;
        }
        Ok(())
    }

    fn quic_turn(&mut self, scenario: &mut dyn Scenario) -> anyhow::Result<()> {
        let Some(quic) = &mut self.quic else { return Ok(()) };
        quic.receive(&mut self.happened)?;
        quic.timers(&mut self.happened);
        for happening in std::mem::take(&mut self.happened) {
            match happening {
                Happening::Opened(at) => self.greet(at)?,
                Happening::Data(at, data) => self.arrived(at, &data, scenario)?,
                Happening::Writable(at) => self.flush_one(at)?,
                Happening::Lost(at, why) if self.conns[at].state != State::Closed => self.lost(at, &why)?,
                Happening::Lost(..) => {}
            }
        }
        Ok(())
    }

    /// Nanoseconds that a turn may wait: with QUIC its timers must be looked at.
    pub fn patience(&self, next: Option<u64>) -> u64 {
        const SPIN: u64 = 150_000;
        let most = if self.quic.is_some() { 5 } else { 100 } * clock::MILLISECOND;
        match next {
            // The system wakes late by about this much: what is due so soon is waited for awake.
            Some(due) => due.saturating_sub(clock::now()).saturating_sub(SPIN).min(most),
            None => most,
        }
    }
}
