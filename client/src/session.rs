//! The device's side of a session, pure: frames, commands and the time go in, actions come out.
//!
//! It outlives connections. While one is up, [`Session::pump`] writes whatever may go out; when one is lost,
//! what was unanswered is put back in order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{self, ClientFrame, ServerFrame};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::error::RequestError;
use crate::event::Event;
use crate::inbox::Since;
use crate::inboxes::{Inboxes, StreamId};
use crate::message::{Ack, Message, MessageId};
use crate::outgoing::Outgoing;
use crate::patience::{Asked, Patience};
use crate::pulse::{Arrival, Beat, Pulse};
use crate::reconnect::Lost;
use crate::requests::{Requests, Ticket};

mod answer;
mod push;

/// Most Syncs of streams unanswered at once.
pub const SYNCS_IN_FLIGHT: usize = 4;
/// A token is renewed this long before it runs out, or after half its life if that is shorter.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Who this device is, from Welcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub tenant: String,
    pub user: String,
    pub device_id: u64,
}

impl Identity {
    /// Who Welcome says this is.
    pub fn of(welcome: &v1::Welcome) -> Identity {
        let v1::Welcome { tenant, user, device_id, .. } = welcome;
        Identity { tenant: tenant.clone(), user: user.clone(), device_id: *device_id }
    }
}

/// What the session wants done.
#[derive(Debug, PartialEq)]
pub enum Action {
    Write(Box<ClientFrame>),
    /// A send is settled.
    Settle(MessageId, Result<Ack, RequestError>),
    /// A request is answered.
    Answer(Ticket, Box<Result<Told, RequestError>>),
    /// A stream gets its next message.
    Deliver(StreamId, Box<Message>),
    /// A stream ends.
    End(StreamId, RequestError),
    Emit(Box<Event>),
    /// Get a new token and pass it to [`Session::renew`].
    FetchToken,
    /// The connection is of no use any more.
    HangUp(Box<Lost>),
}

/// What an unanswered frame was for.
#[derive(Debug)]
enum Pending {
    Send {
        lane: String,
    },
    Sync {
        streams: Vec<StreamId>,
    },
    Request,
    /// Answers that only prove life.
    Housekeeping,
}

/// The pure state of a client.
#[derive(Debug)]
pub struct Session {
    pub me: Identity,
    online: bool,
    next_id: u64,
    pending: BTreeMap<u64, (Asked, Pending)>,
    syncs: usize,
    outgoing: Outgoing,
    requests: Requests,
    inboxes: Inboxes,
    pulse: Pulse,
    patience: Patience,
    resume: Bytes,
    watched: Vec<String>,
    /// The server has answered the latest Watch of this session.
    watching: bool,
    renew_at: Option<Instant>,
    /// The server's clock, milliseconds since 1970, at a moment of this one.
    server_clock: (Instant, i64),
    actions: Vec<Action>,
    rng: StdRng,
}

impl Session {
    /// A session before its first connection. The seed decides all jitter.
    pub fn new(now: Instant, seed: u64) -> Session {
        Session {
            me: Identity::default(),
            online: false,
            next_id: 1,
            pending: BTreeMap::new(),
            syncs: 0,
            outgoing: Outgoing::default(),
            requests: Requests::default(),
            inboxes: Inboxes::default(),
            pulse: Pulse::new(now),
            patience: Patience::new(now),
            resume: Bytes::new(),
            watched: Vec::new(),
            watching: false,
            renew_at: None,
            server_clock: (now, 0),
            actions: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// What is to be done, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// What Hello offers to resume.
    pub fn resume(&self) -> Option<v1::Resume> {
        let token = self.resume.clone();
        (!token.is_empty()).then(|| v1::Resume { token, last_seq: self.pulse.handled() })
    }

    /// Nothing is unsent or unanswered.
    pub fn is_settled(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// A connection is up.
    pub fn on_connected(&mut self, now: Instant, welcome: v1::Welcome) {
        let resumed = welcome.outcome() == v1::welcome::Outcome::Resumed;
        self.online = true;
        self.pulse.restart(now, resumed);
        self.patience = Patience::new(now);
        self.pulse.set_heartbeat(welcome.heartbeat_ms);
        self.expect_expiry(now, welcome.server_time_ms, welcome.auth_expires_ms);
        self.me = Identity::of(&welcome);
        self.resume = welcome.resume_token;
        self.inboxes.restart();
        self.emit(Event::Connected { resumed });
        // A resumed session watches as before.
        self.watching &= resumed;
        if !self.watching && !self.watched.is_empty() {
            let conversations = self.watched.clone();
            self.ask(now, Pending::Housekeeping, Ask::Watch(v1::Watch { conversations }));
        }
        self.pump(now);
    }

    /// The connection is gone.
    pub fn on_lost(&mut self, lost: &Lost) {
        self.online = false;
        self.renew_at = None;
        self.pending.clear();
        self.syncs = 0;
        self.outgoing.on_lost();
        self.requests.on_lost();
        if lost.verdict != v1::go_away::Verdict::Resume {
            self.resume = Bytes::new();
        }
    }

    /// There will be no further connection: everything unsettled fails.
    pub fn on_stopped(&mut self, reason: &str) {
        let closed = RequestError::Closed(reason.to_owned());
        for item in self.outgoing.drain() {
            self.actions.push(Action::Settle(item.id, Err(closed.clone())));
        }
        for ticket in self.requests.drain() {
            self.actions.push(Action::Answer(ticket, Box::new(Err(closed.clone()))));
        }
    }

    /// The application sends.
    pub fn send(&mut self, now: Instant, conversation: &str, id: MessageId, send: v1::Send) {
        self.outgoing.push(conversation, id, send);
        self.pump(now);
    }

    /// The application asks. The answer is an [`Action::Answer`] with this ticket.
    pub fn request(&mut self, now: Instant, ticket: Ticket, body: Ask) {
        if let Ask::Watch(watch) = &body {
            self.watched.clone_from(&watch.conversations);
            self.watching = false;
        }
        if !self.requests.push(ticket, body) {
            self.actions.push(Action::Answer(ticket, Box::new(Err(RequestError::QueueFull))));
        }
        self.pump(now);
    }

    /// The application signals. Lost if there is no connection.
    pub fn signal(&mut self, now: Instant, signal: v1::Signal) {
        if self.online {
            self.write(now, 0, Ask::Signal(signal));
        }
    }

    /// The application opens a stream.
    pub fn open_stream(&mut self, now: Instant, id: StreamId, conversation: String, from: Since) {
        self.inboxes.open(id, conversation, from);
        self.pump(now);
    }

    /// The application dropped a stream.
    pub fn close_stream(&mut self, id: StreamId) {
        self.inboxes.close(id);
    }

    /// The application took messages out of a stream.
    pub fn refund(&mut self, now: Instant, id: StreamId, messages: usize, bytes: usize) {
        self.inboxes.refund(id, messages, bytes);
        self.pump(now);
    }

    /// A fresh token is there.
    pub fn renew(&mut self, now: Instant, token: String) {
        if self.online {
            self.ask(now, Pending::Housekeeping, Ask::RefreshAuth(v1::RefreshAuth { token }));
        }
    }

    /// Says goodbye.
    pub fn bye(&mut self, now: Instant) {
        if self.online {
            self.write(now, 0, Ask::Bye(v1::Bye {}));
        }
    }

    /// Bytes arrived, of a frame that is not whole yet perhaps.
    pub fn on_bytes(&mut self, now: Instant) {
        self.pulse.on_received(now);
        self.patience.on_arrived(now);
    }

    /// A frame arrived.
    pub fn on_frame(&mut self, now: Instant, frame: ServerFrame) {
        self.on_bytes(now);
        if frame.session_seq > 0 {
            match self.pulse.on_push(now, frame.session_seq) {
                Arrival::New => {}
                Arrival::Again => return self.pump(now),
                Arrival::Gap => self.inboxes.restart(),
            }
        }
        match (frame.body, self.pending.remove(&frame.re)) {
            (Some(body), Some((_, pending))) => self.on_answer(now, frame.re, pending, body),
            (Some(body), None) => self.on_push(now, body),
            (None, Some((_, pending))) => self.on_unreadable(now, frame.re, pending),
            (None, None) => {}
        }
        self.pump(now);
    }

    /// The time of [`Session::deadline`] has come.
    pub fn on_tick(&mut self, now: Instant) {
        self.inboxes.wake(now);
        self.outgoing.wake(now);
        self.requests.wake(now);
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            self.actions.push(Action::FetchToken);
        }
        self.pump(now);
    }

    /// When [`Session::on_tick`] is to be called next; `None` without a connection.
    pub fn deadline(&self) -> Option<Instant> {
        let answer = self.pending.values().next().map(|(asked, _)| self.patience.ends(*asked));
        let waits = [self.inboxes.deadline(), self.outgoing.deadline(), self.requests.deadline()];
        let all = waits.into_iter().chain([answer, self.renew_at, Some(self.pulse.deadline())]);
        all.flatten().min().filter(|_| self.online)
    }

    /// Writes what may go out.
    fn pump(&mut self, now: Instant) {
        if !self.online {
            return;
        }
        while let Some((lane, send)) = self.outgoing.next(self.next_id) {
            let send = self.address(send, &lane);
            self.ask(now, Pending::Send { lane }, Ask::Send(send));
        }
        while let Some(body) = self.requests.next(self.next_id) {
            self.ask(now, Pending::Request, body);
        }
        while self.syncs < SYNCS_IN_FLIGHT
            && let Some((streams, ranges)) = self.inboxes.take_sync()
        {
            self.syncs += 1;
            self.ask(now, Pending::Sync { streams }, Ask::Sync(v1::Sync { ranges }));
        }
        self.beat(now);
    }

    fn beat(&mut self, now: Instant) {
        let oldest = self.pending.values().next();
        if oldest.is_some_and(|(asked, _)| self.patience.ends(*asked) <= now) {
            return self.hang_up(Lost::broken("the server does not answer a request"));
        }
        match self.pulse.beat(now) {
            Beat::Nothing => {}
            Beat::Dead => self.hang_up(Lost::broken("the server is silent")),
            Beat::Ack => self.write(now, 0, Ask::Ping(v1::Ping {})),
            Beat::Ping => {
                self.pulse.on_ping(now);
                self.ask(now, Pending::Housekeeping, Ask::Ping(v1::Ping {}));
            }
        }
    }

    /// A direct conversation is made on first use, so it is addressed by its other user.
    fn address(&self, send: v1::Send, lane: &str) -> v1::Send {
        match protocol::names::direct_peer(lane, &self.me.user) {
            Some(peer) => v1::Send { to_user: peer.to_owned(), conversation: String::new(), ..send },
            None => v1::Send { conversation: lane.to_owned(), ..send },
        }
    }

    fn ask(&mut self, now: Instant, pending: Pending, body: Ask) {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, (self.patience.ask(now), pending));
        self.write(now, id, body);
    }

    fn write(&mut self, now: Instant, id: u64, body: Ask) {
        let ack = self.pulse.on_sent(now);
        self.actions.push(Action::Write(Box::new(ClientFrame { ack, id, body: Some(body) })));
    }

    fn emit(&mut self, event: Event) {
        self.actions.push(Action::Emit(Box::new(event)));
    }

    fn hang_up(&mut self, lost: Lost) {
        // Nothing goes out any more; `on_lost` puts the state right.
        self.online = false;
        self.actions.push(Action::HangUp(Box::new(lost)));
    }

    /// The server says what time it is, or 0, and when the token runs out.
    fn expect_expiry(&mut self, now: Instant, server_ms: i64, expires_ms: i64) {
        if server_ms > 0 {
            self.server_clock = (now, server_ms);
        }
        let (then, then_ms) = self.server_clock;
        let now_ms = then_ms.saturating_add(now.duration_since(then).as_millis() as i64);
        let life = Duration::from_millis(u64::try_from(expires_ms.saturating_sub(now_ms)).unwrap_or(0));
        let before = RENEW_BEFORE.min(life / 2);
        self.renew_at = (expires_ms > 0).then(|| now + (life - before));
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
