//! A device that speaks bytes: for what no SDK would do.

use std::net::SocketAddr;

use bytes::BytesMut;
use protocol::code::Code;
use protocol::codec::FrameCodec;
use protocol::frame;
use protocol::preface::PREFACE;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::Decoder;

use super::process::Gateway;
use super::{fresh_id, soon};

/// One TCP connection.
pub struct Raw {
    pub stream: TcpStream,
    input: BytesMut,
    /// Frames read and not yet taken.
    waiting: Vec<ServerFrame>,
    next_id: u64,
    /// The latest push, where they are acknowledged.
    heard: Option<u64>,
}

impl Raw {
    /// A connection on which nothing has been said.
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw::on(TcpStream::connect(address).await.expect("the gateway listens"))
    }

    /// A device on a connection that is there.
    pub fn on(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).unwrap();
        Raw { stream, input: BytesMut::new(), waiting: Vec::new(), next_id: 1, heard: None }
    }

    /// Acknowledges with each request the pushes before it, as devices do; others are sent away after a while.
    #[allow(dead_code, reason = "few tests take that long")]
    pub fn acknowledging(self) -> Raw {
        Raw { heard: Some(0), ..self }
    }

    /// A device that is logged in.
    pub async fn login(gateway: &Gateway, user: &str, installation: &str) -> (Raw, Welcome) {
        let mut raw = Raw::connect(gateway.tcp).await;
        let welcome = raw.hello(hello(&gateway.token(user), installation)).await;
        let welcome = welcome.unwrap_or_else(|refused| panic!("{user} is refused: {refused:?}"));
        (raw, welcome)
    }

    /// Sends preface and Hello; Welcome, or the GoAway that came instead.
    pub async fn hello(&mut self, hello: Hello) -> Result<Welcome, GoAway> {
        self.bytes(&PREFACE).await;
        self.frame(Ask::Hello(hello)).await;
        match self.next().await.and_then(|frame| frame.body) {
            Some(Told::Welcome(welcome)) => Ok(welcome),
            Some(Told::GoAway(go_away)) => Err(go_away),
            other => panic!("neither Welcome nor GoAway: {other:?}"),
        }
    }

    /// Sends preface and Hello; `None` if the connection ends before there is a Welcome.
    pub async fn try_hello(&mut self, hello: Hello) -> Option<Welcome> {
        self.bytes(&PREFACE).await;
        self.frame(Ask::Hello(hello)).await;
        match self.next().await?.body {
            Some(Told::Welcome(welcome)) => Some(welcome),
            _ => None,
        }
    }

    /// Writes bytes as they are. The server may have closed already: what it said is still to be read.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a body that wants no answer.
    pub async fn frame(&mut self, body: Ask) {
        self.bytes(&frame::encode(&ClientFrame { ack: 0, id: 0, body: Some(body) })).await;
    }

    /// Sends a request without waiting; its id comes back.
    pub async fn ask(&mut self, body: Ask) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let ack = self.heard.unwrap_or(0);
        self.bytes(&frame::encode(&ClientFrame { ack, id, body: Some(body) })).await;
        id
    }

    /// Sends a request and waits for its answer; pushes that come before it are kept.
    pub async fn request(&mut self, body: Ask) -> Told {
        let id = self.ask(body).await;
        self.answer(id).await
    }

    /// The answer to a request.
    pub async fn answer(&mut self, id: u64) -> Told {
        self.answer_or_end(id).await.expect("the gateway closed the connection")
    }

    /// The answer to a request; `None` if the connection ends before.
    pub async fn answer_or_end(&mut self, id: u64) -> Option<Told> {
        self.find(|frame| frame.re == id).await?.body
    }

    /// The next push of a message.
    pub async fn pushed(&mut self) -> Message {
        let frame = self.find(|frame| matches!(frame.body, Some(Told::Message(_)))).await;
        match frame.and_then(|frame| frame.body) {
            Some(Told::Message(message)) => message,
            _ => panic!("the gateway closed the connection"),
        }
    }

    /// The text of the next push that has one; joins and the like are passed over.
    pub async fn pushed_text(&mut self) -> String {
        loop {
            if let Some(content) = self.pushed().await.content {
                return String::from_utf8_lossy(&content.data).into_owned();
            }
        }
    }

    /// The first frame for which this holds, others are kept; `None` once the server has closed.
    pub async fn find(&mut self, wanted: impl Fn(&ServerFrame) -> bool) -> Option<ServerFrame> {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return Some(self.waiting.remove(at));
        }
        loop {
            let frame = self.read().await?;
            self.heard = self.heard.map(|heard| heard.max(frame.session_seq));
            if wanted(&frame) {
                return Some(frame);
            }
            self.waiting.push(frame);
        }
    }

    /// Reads one range of a conversation.
    pub async fn sync(&mut self, conversation: &str, from: u64) -> SyncedRange {
        let range = SyncRange { conversation: conversation.into(), from, backwards: false, limit: 0 };
        match self.request(Ask::Sync(Sync { ranges: vec![range] })).await {
            Told::SyncResult(mut result) => result.ranges.remove(0),
            other => panic!("no SyncResult: {other:?}"),
        }
    }

    /// Reads a conversation from a seq to its end.
    pub async fn sync_all(&mut self, conversation: &str, from: u64) -> Vec<Message> {
        let (mut messages, mut next) = (Vec::new(), from);
        loop {
            let range = self.sync(conversation, next).await;
            assert_eq!(range.error, None, "{conversation} can be read");
            messages.extend(range.messages);
            if !range.has_more {
                return messages;
            }
            assert!(range.last >= next, "no progress from {next}");
            next = range.last + 1;
        }
    }

    /// Makes a group; its id comes back.
    pub async fn create(&mut self, users: &[&str]) -> String {
        let new = |user: &&str| NewMember { user: (*user).into(), role: 0, with_history: true };
        let create = CreateConversation {
            client_msg_id: fresh_id().to_vec().into(),
            title: "room".into(),
            members: users.iter().map(new).collect(),
        };
        acked(self.request(Ask::CreateConversation(create)).await).conversation
    }

    /// Sends a message and waits until it is stored.
    pub async fn send(&mut self, send: Send) -> SendAck {
        acked(self.request(Ask::Send(send)).await)
    }

    /// The next frame; `None` once the server has closed.
    pub async fn next(&mut self) -> Option<ServerFrame> {
        if !self.waiting.is_empty() {
            return Some(self.waiting.remove(0));
        }
        self.read().await
    }

    /// The next frame, however long it takes; `None` once the server has closed. May be dropped while it waits.
    #[allow(dead_code, reason = "not every test has silent devices")]
    pub async fn arrives(&mut self) -> Option<ServerFrame> {
        match self.waiting.is_empty() {
            true => self.read_frame().await,
            false => Some(self.waiting.remove(0)),
        }
    }

    async fn read(&mut self) -> Option<ServerFrame> {
        soon("a frame or the end", self.read_frame()).await
    }

    async fn read_frame(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) =
                FrameCodec::default().decode(&mut self.input).expect("the server's frames are right")
            {
                return Some(frame.messages().next().unwrap().expect("the server's messages are right"));
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(1..) => {}
                // A reset says no more than an end: what came before it has been read.
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Reads to the end; the code of the GoAway that came last.
    pub async fn closed_with(&mut self) -> Option<Code> {
        Code::from_number(self.away().await?.code)
    }

    /// Reads to the end; the GoAway that came last.
    pub async fn away(&mut self) -> Option<GoAway> {
        let mut last = None;
        while let Some(frame) = self.next().await {
            if let Some(Told::GoAway(go_away)) = frame.body {
                last = Some(go_away);
            }
        }
        last
    }
}

/// A Hello of version 1.
pub fn hello(token: &str, installation: &str) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        token: token.into(),
        installation: installation.into(),
        ..Hello::default()
    }
}

/// A send of a text.
pub fn text(conversation: &str, text: &str) -> Send {
    Send {
        conversation: conversation.into(),
        client_msg_id: fresh_id().to_vec().into(),
        content: Some(Content { r#type: "text/plain".into(), data: text.to_owned().into() }),
        ..Send::default()
    }
}

/// A send of a text to a user.
pub fn text_to(user: &str, said: &str) -> Send {
    Send { conversation: String::new(), to_user: user.into(), ..text("", said) }
}

/// The SendAck this must be.
pub fn acked(told: Told) -> SendAck {
    match told {
        Told::SendAck(ack) => ack,
        other => panic!("no SendAck: {other:?}"),
    }
}

/// The code of the Error this must be.
pub fn refused(told: Told) -> Code {
    match told {
        Told::Error(error) => Code::from_number(error.code).expect("a known code"),
        other => panic!("no Error: {other:?}"),
    }
}
