//! What comes from sockets: connections that are made or lost, and bytes that are cut into what they say.

use anyhow::{Context as _, bail};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::Engine;
use crate::load::clock;
use crate::load::conn::{Link, State};
use crate::load::layer::Layer;
use crate::load::plan::Part;
use crate::load::scenario::Scenario;
use crate::load::speech::Event;

impl Engine {
    pub(super) fn event(
        &mut self,
        at: usize,
        flags: EventFlags,
        scenario: &mut dyn Scenario,
    ) -> anyhow::Result<()> {
        if self.conns[at].state == State::Connecting
            && self.conns[at].outbox.is_empty()
            && flags.contains(EventFlags::OUT)
        {
            return self.connected(at);
        }
        if flags.contains(EventFlags::OUT) {
            self.flush_one(at)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.readable(at, scenario)?;
        }
        Ok(())
    }

    fn connected(&mut self, at: usize) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        let address = self.dialer.address(at, conn.sent_away);
        let Link::Socket { socket, layer } = &mut conn.link else { return Ok(()) };
        if let Err(error) = rustix::net::sockopt::socket_error(&*socket)? {
            bail!("cannot connect to {address}: {error}");
        }
        epoll::modify(&self.epoll, &*socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        if layer.begin(&address.to_string(), &mut conn.outbox) {
            return self.greet(at);
        }
        self.flush_one(at)
    }

    pub(super) fn greet(&mut self, at: usize) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        conn.state = State::Greeting;
        let mut words = Vec::new();
        self.speech.greet(&conn.device, &mut words)?;
        if words.is_empty() {
            self.welcome(at);
            return Ok(());
        }
        conn.say(&words)?;
        self.flush_one(at)
    }

    fn readable(&mut self, at: usize, scenario: &mut dyn Scenario) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        let Link::Socket { socket, .. } = &conn.link else { return Ok(()) };
        let length = match rustix::net::recv(socket, &mut self.raw[..], rustix::net::RecvFlags::DONTWAIT) {
            Ok((0, _)) => return self.lost(at, "closed the connection"),
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return self.lost(at, &error.to_string()),
        };
        let raw = std::mem::take(&mut self.raw);
        let result = self.arrived(at, &raw[..length], scenario);
        self.raw = raw;
        result
    }

    pub(super) fn lost(&mut self, at: usize, why: &str) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        if conn.device.part == Part::Stalled && conn.state == State::Ready {
            // Whoever never reads is sent away in the end.
            conn.cut();
            return Ok(());
        }
        let (device, state) = (&conn.device, conn.state);
        bail!(
            "the server {why} ({:?} {}, {state:?}) at {}",
            device.part,
            device.number,
            self.dialer.address(at, conn.sent_away)
        )
    }

    /// Bytes of a socket or of a QUIC stream.
    pub(super) fn arrived(
        &mut self,
        at: usize,
        raw: &[u8],
        scenario: &mut dyn Scenario,
    ) -> anyhow::Result<()> {
        clock::arrive();
        let conn = &mut self.conns[at];
        let mut begins = false;
        let whole = match &mut conn.link {
            // The common case copies nothing.
            Link::Socket { layer: Layer::Plain, .. } | Link::Quic if conn.inbox.is_empty() => None,
            Link::Socket { layer, .. } => {
                begins = layer
                    .open(raw, &mut conn.inbox, &mut conn.outbox)
                    .with_context(|| format!("{:?} {}", conn.device.part, conn.device.number))?;
                Some(std::mem::take(&mut conn.inbox))
            }
            Link::Quic | Link::None => {
                conn.inbox.extend_from_slice(raw);
                Some(std::mem::take(&mut conn.inbox))
            }
        };
        if begins {
            return self.greet(at);
        }
        let bytes = whole.as_deref().unwrap_or(raw);
        let used = self.hear(at, bytes, scenario)?;
        let conn = &mut self.conns[at];
        match whole {
            Some(mut whole) => {
                whole.drain(..used);
                // Where nothing waits, nothing is held.
                conn.inbox = if whole.is_empty() { Vec::new() } else { whole };
            }
            None => conn.inbox.extend_from_slice(&bytes[used..]),
        }
        self.mark(at);
        Ok(())
    }

    /// Cuts bytes into what they say; how many were used.
    fn hear(&mut self, at: usize, bytes: &[u8], scenario: &mut dyn Scenario) -> anyhow::Result<usize> {
        let (mut used, mut answer) = (0, Vec::new());
        loop {
            let device = &mut self.conns[at].device;
            let heard = self.speech.hear(device, &bytes[used..], &mut answer);
            let heard = heard.with_context(|| format!("{:?} {}", device.part, device.number))?;
            let Some((length, event)) = heard else { break };
            used += length;
            self.tell(at, event, scenario)?;
        }
        if !answer.is_empty() {
            self.conns[at].say(&answer)?;
        }
        Ok(used)
    }

    fn tell(&mut self, at: usize, event: Event<'_>, scenario: &mut dyn Scenario) -> anyhow::Result<()> {
        if let Event::SentAway { delay_ms, why } = event {
            scenario.book().tally.sent_away += 1;
            return self.sent_away(at, delay_ms, &why);
        }
        if let Event::Ready = event {
            if self.conns[at].state != State::Greeting {
                return Ok(());
            }
            self.welcome(at);
            let conn = &self.conns[at];
            if conn.device.part == Part::Stalled
                && let Link::Socket { socket, .. } = &conn.link
            {
                epoll::modify(&self.epoll, socket, EventData::new_u64(at as u64), EventFlags::empty())?;
            }
        }
        scenario.event(self, at, event)
    }

    /// Who is sent away comes back as clients do: after once to twice the time it was told.
    fn sent_away(&mut self, at: usize, delay_ms: u32, why: &str) -> anyhow::Result<()> {
        let conn = &mut self.conns[at];
        match conn.state {
            State::Greeting => self.under_way -= 1,
            State::Ready => self.ready -= 1,
            State::Closed | State::Connecting => {
                bail!("{:?} {}: {why}", conn.device.part, conn.device.number)
            }
        }
        conn.cut();
        conn.sent_away += 1;
        if let Some(quic) = &mut self.quic {
            quic.cut(at);
        }
        let delay = f64::from(delay_ms) * rand::random_range(1.0..2.0);
        self.returning.push((clock::now() + delay as u64 * clock::MILLISECOND, at));
        Ok(())
    }

    pub(super) fn welcome(&mut self, at: usize) {
        self.conns[at].state = State::Ready;
        self.under_way -= 1;
        self.ready += 1;
    }
}
