//! A device that sends one message at a time and says what became of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::code::Code;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{Content, Error, Ping, Send};
use tokio::net::TcpStream;

use crate::report::Report;
use crate::support::device::{Recorder, outcome};
use crate::support::fresh_id;
use crate::support::history::{MsgId, Outcome};
use crate::support::process::Gateway;
use crate::support::raw::{Raw, hello};

/// How an attempt ended.
#[derive(Debug)]
pub enum Answer {
    Acked,
    Error(Error),
    /// No answer: the time is up, the connection ended, or there was none.
    Silent,
}

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    pub at: Instant,
    pub took: Duration,
    pub answer: Answer,
}

pub struct Prober {
    recorder: Recorder,
    address: SocketAddr,
    token: String,
    installation: String,
    conversation: String,
    device: u64,
    raw: Option<Raw>,
    /// When the latest message was stored, by its owner's clock.
    pub owner_ms: i64,
}

impl Prober {
    /// A device that is logged in.
    pub async fn login(recorder: &Recorder, gateway: &Gateway, name: &str, conversation: &str) -> Prober {
        Prober::login_as(recorder, gateway, "alice", name, conversation).await
    }

    /// The same, of any user.
    pub async fn login_as(
        recorder: &Recorder,
        gateway: &Gateway,
        user: &str,
        name: &str,
        conversation: &str,
    ) -> Prober {
        let mut prober = Prober {
            recorder: recorder.clone(),
            address: gateway.tcp,
            token: gateway.token(user),
            installation: name.into(),
            conversation: conversation.into(),
            device: 0,
            raw: None,
            owner_ms: 0,
        };
        prober.connect().await;
        assert!(prober.raw.is_some(), "{name} cannot log in");
        prober
    }

    /// Sends a message of this size, once. A connection that is lost is made again at the next attempt.
    pub async fn attempt(&mut self, bytes: usize, limit: Duration) -> Attempt {
        self.attempt_of(fresh_id(), bytes, limit).await
    }

    /// Connects elsewhere from now on.
    pub fn go_to(&mut self, address: SocketAddr) {
        (self.address, self.raw) = (address, None);
    }

    /// Sends this message of this size, perhaps not for the first time.
    pub async fn attempt_of(&mut self, id: MsgId, bytes: usize, limit: Duration) -> Attempt {
        let at = Instant::now();
        let told = match tokio::time::timeout(limit, self.connect()).await {
            Ok(()) => self.send(id, bytes, limit).await,
            Err(_) => None,
        };
        let answer = match told {
            Some(Told::SendAck(ack)) => {
                self.owner_ms = ack.at_ms;
                Answer::Acked
            }
            Some(Told::Error(error)) => Answer::Error(error),
            _ => Answer::Silent,
        };
        if matches!(answer, Answer::Silent) {
            self.raw = None;
        }
        Attempt { at, took: at.elapsed(), answer }
    }

    /// Whether the connection still is the one it was, and answers.
    pub async fn answers(&mut self) -> bool {
        let Some(raw) = &mut self.raw else { return false };
        let request = raw.ask(Ask::Ping(Ping {})).await;
        matches!(tokio::time::timeout(Duration::from_secs(5), raw.answer_or_end(request)).await, Ok(Some(_)))
    }

    async fn send(&mut self, id: MsgId, bytes: usize, limit: Duration) -> Option<Told> {
        let raw = self.raw.as_mut()?;
        let body: Vec<u8> = id.iter().copied().cycle().take(bytes).collect();
        let op = self.recorder.with(|h| h.send(self.device, &self.conversation, id, &body));
        let send = Send {
            conversation: self.conversation.clone(),
            client_msg_id: id.to_vec().into(),
            content: Some(Content { r#type: "application/octet-stream".into(), data: body.into() }),
            ..Send::default()
        };
        let request = raw.ask(Ask::Send(send)).await;
        let told = tokio::time::timeout(limit, raw.answer_or_end(request)).await.ok().flatten();
        let ended = told.clone().map_or(Outcome::Unknown, |told| outcome(Some(told)));
        self.recorder.with(|h| h.ended(op, ended));
        told
    }

    async fn connect(&mut self) {
        if self.raw.is_some() {
            return;
        }
        let Ok(stream) = TcpStream::connect(self.address).await else { return };
        let mut raw = Raw::on(stream).acknowledging();
        if let Some(welcome) = raw.try_hello(hello(&self.token, &self.installation)).await {
            self.device = welcome.device_id;
            self.raw = Some(raw);
        }
    }
}

/// While the store takes nothing, a sender hears only that: retryable, and that it is not stored or not known.
pub fn only_retryable<'a>(report: &mut Report, name: &str, attempts: impl IntoIterator<Item = &'a Attempt>) {
    let allowed = [Code::OUTCOME_UNKNOWN, Code::UNAVAILABLE].map(Code::number);
    let wrong: Vec<&Error> = attempts
        .into_iter()
        .filter_map(|attempt| match &attempt.answer {
            Answer::Error(error) if !error.retryable || !allowed.contains(&error.code) => Some(error),
            _ => None,
        })
        .collect();
    report.exactly(format!("{name}: answers but UNKNOWN and UNAVAILABLE"), wrong.len(), 0);
    if let Some(error) = wrong.first() {
        report.note(format!("the first of them: {} {:?}", error.code, error.message));
    }
}

/// How long acks went on after the first attempt that failed. `None` if none failed.
pub fn acks_after_failure(attempts: &[Attempt]) -> Option<Duration> {
    let end = |attempt: &Attempt| attempt.at + attempt.took;
    let failed = attempts.iter().filter(|a| !matches!(a.answer, Answer::Acked)).map(end).min()?;
    let acks = attempts.iter().filter(|a| matches!(a.answer, Answer::Acked)).map(end);
    Some(acks.max().map_or(Duration::ZERO, |last| last.saturating_duration_since(failed)))
}
