//! The client's one task: it performs what the session decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use protocol::code::Code;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{Welcome, go_away::Verdict};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::sleep_until;

use crate::client::Status;
use crate::command::{Command, SendReply};
use crate::error::{ConnectError, RequestError, describe};
use crate::event::Event;
use crate::handshake::{self, Profile};
use crate::inboxes::StreamId;
use crate::message::MessageId;
use crate::places::Places;
use crate::reconnect::{Backoff, Lost, STABLE_AFTER};
use crate::requests::Ticket;
use crate::session::{Action, Session};
use crate::stream::Buffer;
use crate::wire::{Step, WRITE_BEHIND, Wire};

/// How long an orderly end waits for the acks of what was sent.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// Commands taken at once before frames are looked at again.
const COMMANDS_AT_ONCE: usize = 64;

type Dialed = Result<(Wire, Welcome), ConnectError>;

/// What connects the client to its server now.
enum Link {
    Up(Box<Wire>),
    Waiting(Instant),
    Dialing(BoxFuture<'static, Dialed>),
}

/// What the link brought.
enum News {
    Step(Result<Step, Lost>),
    DialNow,
    Dialed(Box<Dialed>),
}

/// Everything the task owns.
pub struct Driver {
    profile: Profile,
    session: Session,
    link: Link,
    commands: mpsc::Receiver<Command>,
    status: Arc<Status>,
    events: broadcast::Sender<Event>,
    backoff: Backoff,
    rng: StdRng,
    connected_at: Instant,
    places: Places,
    sends: HashMap<MessageId, Vec<SendReply>>,
    answers: HashMap<Ticket, oneshot::Sender<Result<Told, RequestError>>>,
    next_ticket: Ticket,
    streams: HashMap<StreamId, Arc<Buffer>>,
    token: Option<BoxFuture<'static, Option<String>>>,
    /// Set once the application closes: when to stop waiting for acks.
    closing: Option<Instant>,
    closed: Vec<oneshot::Sender<()>>,
    stopped: Option<String>,
}

impl Driver {
    /// A task for a connection that is already up.
    pub fn new(
        profile: Profile,
        (wire, welcome): (Wire, Welcome),
        commands: mpsc::Receiver<Command>,
        status: Arc<Status>,
        events: broadcast::Sender<Event>,
    ) -> Driver {
        let now = now();
        let mut rng = StdRng::from_os_rng();
        let mut session = Session::new(now, rand::Rng::random(&mut rng));
        let mut places = Places::new(profile.address.clone());
        places.welcomed(&welcome);
        session.on_connected(now, welcome);
        Driver {
            profile,
            session,
            link: Link::Up(Box::new(wire)),
            commands,
            status,
            events,
            backoff: Backoff::default(),
            rng,
            connected_at: now,
            places,
            sends: HashMap::new(),
            answers: HashMap::new(),
            next_ticket: 1,
            streams: HashMap::new(),
            token: None,
            closing: None,
            closed: Vec::new(),
            stopped: None,
        }
    }

    /// Runs until the application closes the client, drops its last handle, or the server says never.
    pub async fn run(mut self) {
        self.perform();
        while self.stopped.is_none() && !self.is_drained() {
            self.turn().await;
            self.perform();
        }
        self.finish().await;
    }

    /// Waits for one thing to happen and tells the session. No arm goes before another: a flood of pushes must
    /// not keep sends or heartbeats back, nor the other way round.
    async fn turn(&mut self) {
        let roomy = !matches!(&self.link, Link::Up(wire) if wire.behind() > WRITE_BEHIND);
        let deadline = [self.session.deadline(), self.closing].into_iter().flatten().min();
        let open = self.closing.is_none();
        let mut batch = Vec::new();
        tokio::select! {
            news = self.link.next() => self.on_news(news),
            () = until(deadline) => self.session.on_tick(now()),
            token = token(&mut self.token) => {
                self.token = None;
                token.into_iter().for_each(|token| self.session.renew(now(), token));
            }
            () = self.status.news.notified() => self.look_after_streams(),
            taken = self.commands.recv_many(&mut batch, COMMANDS_AT_ONCE), if roomy && open => {
                if taken == 0 {
                    self.begin_close();
                }
                batch.into_iter().for_each(|command| self.on_command(command));
            }
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Step(Ok(Step::Frame(frame))) => self.session.on_frame(now(), *frame),
            News::Step(Ok(Step::Arrived)) => self.session.on_bytes(now()),
            News::Step(Ok(Step::Flushed)) => {}
            News::Step(Err(lost)) => self.on_lost(lost),
            News::DialNow => self.dial(),
            News::Dialed(dialed) => match *dialed {
                Ok((wire, welcome)) => self.on_connected(wire, welcome),
                Err(error) => self.on_not_connected(error),
            },
        }
    }

    fn dial(&mut self) {
        let address = self.places.next(&mut self.rng);
        let dialing = handshake::connect(self.profile.clone(), address, self.session.resume());
        self.link = Link::Dialing(dialing.boxed());
    }

    fn on_connected(&mut self, wire: Wire, welcome: Welcome) {
        self.link = Link::Up(Box::new(wire));
        self.connected_at = now();
        self.places.welcomed(&welcome);
        self.session.on_connected(now(), welcome);
    }

    fn on_not_connected(&mut self, error: ConnectError) {
        self.places.failed();
        let retryable = error.retryable();
        let lost = match error {
            ConnectError::Refused { lost, .. } => lost,
            error => Lost {
                verdict: if retryable { Verdict::Resume } else { Verdict::Never },
                ..Lost::broken(error.to_string())
            },
        };
        self.plan(lost);
    }

    fn on_lost(&mut self, lost: Lost) {
        if now() >= self.connected_at + STABLE_AFTER {
            self.backoff.reset();
        }
        self.plan(lost);
    }

    /// Decides about the next attempt.
    fn plan(&mut self, lost: Lost) {
        self.session.on_lost(&lost);
        self.token = None;
        let expired = lost.code == Some(Code::TOKEN_EXPIRED) && self.profile.tokens.can_renew();
        let never = lost.verdict == Verdict::Never && !expired;
        if lost.code == Some(Code::SUPERSEDED) {
            self.tell(Event::Superseded);
        }
        if self.places.sent_to(&lost.endpoint) {
            // Nothing has failed, and whoever sends devices elsewhere does so at its own pace.
            self.backoff.reset();
        }
        let wait = self.backoff.next(lost.delay, &mut self.rng);
        let retry_in = (!never).then_some(wait);
        self.tell(Event::Disconnected { reason: describe(&lost), code: lost.code, retry_in });
        if never {
            self.stopped = Some(describe(&lost));
        }
        self.link = Link::Waiting(now() + wait);
    }

    fn tell(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }
}

/// Commands of the application.
impl Driver {
    fn on_command(&mut self, command: Command) {
        match command {
            Command::Send { conversation, id, send, reply } => self.on_send(&conversation, id, *send, reply),
            Command::Request { body, reply } => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.answers.insert(ticket, reply);
                self.session.request(now(), ticket, *body);
            }
            Command::Signal(signal) => self.session.signal(now(), signal),
            Command::Open { stream, conversation, from, buffer } => {
                self.streams.insert(stream, buffer);
                self.session.open_stream(now(), stream, conversation, from);
            }
            Command::Close { reply } => {
                self.closed.push(reply);
                self.begin_close();
            }
        }
    }

    /// A send under an id that is still on its way joins the first.
    fn on_send(&mut self, conversation: &str, id: MessageId, send: protocol::v1::Send, reply: SendReply) {
        let replies = self.sends.entry(id).or_default();
        replies.push(reply);
        if replies.len() == 1 {
            self.session.send(now(), conversation, id, send);
        }
    }

    fn begin_close(&mut self) {
        self.closing.get_or_insert_with(|| now() + DRAIN_WITHIN);
    }

    fn is_drained(&self) -> bool {
        self.closing.is_some_and(|until| self.session.is_settled() || now() >= until)
    }

    /// Returns credit to the session and forgets streams whose readers are gone.
    fn look_after_streams(&mut self) {
        let now = now();
        let session = &mut self.session;
        self.streams.retain(|id, buffer| {
            let (messages, bytes) = buffer.taken();
            match buffer.is_dropped() {
                true => session.close_stream(*id),
                false if messages > 0 => session.refund(now, *id, messages, bytes),
                false => {}
            }
            !buffer.is_dropped()
        });
    }
}

/// Actions of the session.
impl Driver {
    fn perform(&mut self) {
        for action in self.session.take_actions() {
            match action {
                Action::Write(frame) => {
                    if let Link::Up(wire) = &mut self.link {
                        wire.queue(&frame);
                    }
                }
                Action::Settle(id, result) => {
                    for SendReply { reply, permit } in self.sends.remove(&id).into_iter().flatten() {
                        drop(permit);
                        let _ = reply.send(result.clone());
                    }
                }
                Action::Answer(ticket, answer) => {
                    if let Some(reply) = self.answers.remove(&ticket) {
                        let _ = reply.send(*answer);
                    }
                }
                Action::Deliver(stream, message) => {
                    if let Some(buffer) = self.streams.get(&stream) {
                        buffer.put(*message);
                    }
                }
                Action::End(stream, error) => {
                    self.streams
                        .remove(&stream)
                        .into_iter()
                        .for_each(|buffer| buffer.end(Some(error.clone())));
                }
                Action::Emit(event) => self.tell(*event),
                Action::FetchToken => self.fetch_token(),
                Action::HangUp(lost) => self.on_lost(*lost),
            }
        }
    }

    fn fetch_token(&mut self) {
        if !self.profile.tokens.can_renew() {
            return;
        }
        let tokens = self.profile.tokens.clone();
        let fetch = async move {
            let token = tokens.get().await;
            // Without a new token the connection lasts until the old one runs out; the next one tries again.
            token.map_err(|error| tracing::warn!(%error, "the token cannot be renewed")).ok()
        };
        self.token = Some(fetch.boxed());
    }

    /// Says goodbye and settles everything that is left.
    async fn finish(mut self) {
        let reason = self.stopped.take();
        if reason.is_none() {
            self.session.bye(now());
            self.perform();
            if let Link::Up(wire) = std::mem::replace(&mut self.link, Link::Waiting(now())) {
                wire.close().await;
            }
        }
        let text = reason.clone().unwrap_or_else(|| "closed by the application".into());
        let _ = self.status.ended.set(text.clone());
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.on_command(command);
        }
        self.session.on_stopped(&text);
        self.perform();
        let error = reason.map(RequestError::Closed);
        self.streams.values().for_each(|buffer| buffer.end(error.clone()));
        for reply in self.closed {
            let _ = reply.send(());
        }
    }
}

impl Link {
    async fn next(&mut self) -> News {
        match self {
            Link::Up(wire) => News::Step(wire.step().await),
            Link::Waiting(at) => {
                sleep_until((*at).into()).await;
                News::DialNow
            }
            Link::Dialing(dialing) => News::Dialed(Box::new(dialing.await)),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn token(fetch: &mut Option<BoxFuture<'static, Option<String>>>) -> Option<String> {
    match fetch {
        Some(fetch) => fetch.await,
        None => std::future::pending().await,
    }
}

/// The runtime's clock, which tests may pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
