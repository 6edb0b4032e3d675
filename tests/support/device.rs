//! Devices whose doings are recorded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Since};
use futures::StreamExt;
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{Content, Message, Send, Sync, SyncRange, SyncedRange};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::fresh_id;
use super::history::{Entry, Event, History, Meaning, MsgId, Op, Outcome, ReadResult};
use super::process::Gateway;
use super::raw::{Raw, hello};

/// Before something is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// A history that many devices write, and how many sends have been acked so far.
#[derive(Clone)]
pub struct Recorder {
    history: Arc<Mutex<History>>,
    acked: Arc<watch::Sender<u64>>,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder { history: Arc::new(Mutex::new(History::new())), acked: Arc::new(watch::Sender::new(0)) }
    }

    /// Writes to the history.
    pub fn with<T>(&self, write: impl FnOnce(&mut History) -> T) -> T {
        write(&mut self.history.lock())
    }

    /// The history so far.
    pub fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// Waits until so many sends have been acked in all.
    pub async fn acked(&self, count: u64) {
        let mut seen = self.acked.subscribe();
        seen.wait_for(|acked| *acked >= count).await.expect("the recorder is there");
    }

    /// Waits until so many more have been.
    #[allow(dead_code, reason = "not every test sends for a time")]
    pub async fn more_acked(&self, count: u64) {
        let now = *self.acked.borrow();
        self.acked(now + count).await;
    }

    fn ended(&self, op: Op, outcome: Outcome) {
        if matches!(outcome, Outcome::Acked { .. }) {
            self.acked.send_modify(|acked| *acked += 1);
        }
        self.with(|history| history.ended(op, outcome));
    }
}

/// A device that sends, and sends again whatever it got no answer for.
pub struct Sender {
    recorder: Recorder,
    address: SocketAddr,
    token: String,
    user: String,
    installation: String,
    conversation: String,
    connection: Option<Raw>,
    device: u64,
    /// The highest seq acked so far.
    last: u64,
}

impl Sender {
    pub fn new(
        recorder: &Recorder,
        gateway: &Gateway,
        user: &str,
        installation: &str,
        conversation: &str,
    ) -> Sender {
        Sender {
            recorder: recorder.clone(),
            address: gateway.tcp,
            token: gateway.token(user),
            user: user.into(),
            installation: installation.into(),
            conversation: conversation.into(),
            connection: None,
            device: 0,
            last: 0,
        }
    }

    /// Has it connect to another address, such as that of a proxy.
    #[allow(dead_code, reason = "not every test has a proxy")]
    pub fn through(self, address: SocketAddr) -> Sender {
        Sender { address, ..self }
    }

    /// Sends `count` messages, `pipelined` at a time, each until it is acked, reading the log now and then.
    pub async fn run(mut self, count: usize, pipelined: usize) {
        for done in (0..count).step_by(pipelined) {
            let ids: Vec<MsgId> = (0..pipelined.min(count - done)).map(|_| fresh_id()).collect();
            let mut settled = 0;
            while settled < ids.len() {
                let acked = self.send(&ids[settled..]).await;
                settled += acked;
                if acked == 0 {
                    // Whoever is told to try again waits first.
                    tokio::time::sleep(AGAIN).await;
                }
            }
            if done % (5 * pipelined) == 0 {
                self.read().await;
            }
        }
    }

    /// Sends one message after the other with a pause in between, each until it is acked, until told to stop; how many.
    #[allow(dead_code, reason = "not every test sends for a time")]
    pub async fn run_until(mut self, stop: watch::Receiver<bool>, pause: Duration) -> usize {
        let mut sent = 0;
        while !*stop.borrow() {
            let id = fresh_id();
            while self.send(&[id]).await == 0 {
                tokio::time::sleep(AGAIN).await;
            }
            sent += 1;
            tokio::time::sleep(pause).await;
        }
        sent
    }

    /// Sends messages without waiting in between, each naming its predecessor. Says how many of them, from the first
    /// on, are acked.
    async fn send(&mut self, ids: &[MsgId]) -> usize {
        self.connect().await;
        let mut connection = self.connection.take().expect("connected");
        let mut under_way = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let body = id.iter().rev().copied().collect::<Vec<u8>>();
            let op = self.recorder.with(|h| h.send(self.device, &self.conversation, *id, &body));
            let after = if at == 0 { &[][..] } else { &ids[at - 1] };
            let send = Send {
                conversation: self.conversation.clone(),
                client_msg_id: id.to_vec().into(),
                content: Some(Content { r#type: "application/octet-stream".into(), data: body.into() }),
                after: after.to_vec().into(),
                ..Send::default()
            };
            under_way.push((op, connection.ask(Ask::Send(send)).await));
        }
        let (mut acked, mut alive) = (0, true);
        for (at, (op, request)) in under_way.into_iter().enumerate() {
            let answer = if alive { connection.answer_or_end(request).await } else { None };
            alive = answer.is_some();
            let outcome = outcome(answer);
            if let Outcome::Acked { seq, .. } = outcome {
                self.last = self.last.max(seq);
            }
            acked += usize::from(acked == at && matches!(outcome, Outcome::Acked { .. }));
            self.recorder.ended(op, outcome);
        }
        self.connection = alive.then_some(connection);
        acked
    }

    /// Reads the log from a little before its end.
    async fn read(&mut self) {
        self.connect().await;
        let mut connection = self.connection.take().expect("connected");
        let from = self.last.saturating_sub(20).max(1);
        let op = self.recorder.with(|h| h.read(self.device, &self.user, &self.conversation, from));
        let range = SyncRange { conversation: self.conversation.clone(), from, backwards: false, limit: 0 };
        let request = connection.ask(Ask::Sync(Sync { ranges: vec![range] })).await;
        if let Some(Told::SyncResult(result)) = connection.answer_or_end(request).await {
            if let [range] = result.ranges.as_slice()
                && range.error.is_none()
            {
                let result = read_result(range);
                self.recorder.with(|h| h.push(Event::ReadEnded { op, result }));
            }
            self.connection = Some(connection);
        }
    }

    /// Logs in, as often as it takes.
    /// Who was cut off comes back a moment later: at once it would meet its own connection, whose end has not arrived, and
    /// be slowed down for that again and again.
    async fn connect(&mut self) {
        let mut again = self.device != 0;
        while self.connection.is_none() {
            if std::mem::replace(&mut again, true) {
                tokio::time::sleep(AGAIN).await;
            }
            self.connection = self.try_connect().await;
        }
    }

    async fn try_connect(&mut self) -> Option<Raw> {
        let mut raw = Raw::on(TcpStream::connect(self.address).await.ok()?);
        let welcome = raw.try_hello(hello(&self.token, &self.installation)).await?;
        assert!(self.device == 0 || self.device == welcome.device_id, "a device keeps its id");
        self.device = welcome.device_id;
        Some(raw)
    }
}

/// Reads a conversation with the SDK and records what it shows, until a seq has been seen.
pub async fn watch_until(
    recorder: Recorder,
    client: Client,
    conversation: String,
    last: watch::Receiver<u64>,
) -> Client {
    let (device, user) = (client.device_id(), client.user().to_owned());
    recorder.with(|h| h.push(Event::Follows { device, user, conversation: conversation.clone(), from: 1 }));
    let (mut messages, mut last, mut seen) =
        (client.conversation(&conversation).messages(Since::Start), last, 0);
    loop {
        let end = *last.borrow_and_update();
        if end != 0 && seen >= end {
            recorder.with(|h| h.push(Event::CaughtUp { device, conversation: conversation.clone() }));
            return client;
        }
        tokio::select! {
            Ok(()) = last.changed() => {}
            message = messages.next() => {
                let message = message.unwrap_or_else(|| panic!("the stream ended: {:?}", messages.ended_because()));
                seen = message.seq;
                let entry = shown(&message);
                recorder.with(|h| h.push(Event::Saw { device, conversation: conversation.clone(), entry }));
            }
        }
    }
}

/// A message of the SDK as the history has it.
pub fn shown(message: &client::Message) -> Entry {
    Entry {
        seq: message.seq,
        device: message.sender_device,
        id: message.id.as_ref().try_into().expect("16 bytes"),
        body: message.content.data.to_vec(),
        change: message.members_changed.is_some(),
        meaning: match message.change() {
            Some(client::Change::Edit(seq)) => Meaning::Edit(seq),
            Some(client::Change::Recall(seq)) => Meaning::Recall(seq),
            None if message.hidden => Meaning::Hidden,
            None => Meaning::Shown,
        },
        recalled: message.recalled,
    }
}

/// How a send ended that got this answer, or none.
pub fn outcome(answer: Option<Told>) -> Outcome {
    match answer {
        Some(Told::SendAck(ack)) => Outcome::Acked { seq: ack.seq, duplicate: ack.duplicate },
        Some(Told::Error(error)) if error.code == Code::OUTCOME_UNKNOWN.number() => Outcome::Unknown,
        Some(Told::Error(_)) => Outcome::Refused,
        Some(other) => panic!("no answer to a send: {other:?}"),
        None => Outcome::Unknown,
    }
}

/// A message as the history has it.
pub fn entry(message: &Message) -> Entry {
    let content = message.content.clone().unwrap_or_default();
    Entry {
        seq: message.seq,
        device: message.sender_device,
        // Only an entry the gateway made itself has none, such as the creation of a direct conversation.
        id: message.client_msg_id.as_ref().try_into().unwrap_or_default(),
        body: content.data.to_vec(),
        change: message.members_changed.is_some(),
        meaning: Meaning::of(message),
        recalled: message.recalled,
    }
}

/// A range as the history has it.
pub fn read_result(range: &SyncedRange) -> ReadResult {
    ReadResult {
        first: range.first,
        last: range.last,
        tip: range.tip,
        has_more: range.has_more,
        entries: range.messages.iter().map(entry).collect(),
    }
}
