//! The gateway's own protocol.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use prost::Message as _;
use protocol::frame::{self, FLAG_BATCH, Peek};
use protocol::limit::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES};
use protocol::preface::PREFACE;
use protocol::v1::go_away::Verdict;
use protocol::v1::{
    ClientFrame, ClientInfo, Content, Error, GoAway, Hello, Ping, Resume, Send, Sync, SyncRange, SyncResult,
    Welcome, client_frame, welcome,
};

use super::{Device, Event, Publish, Speech, To, fields};
use crate::load::plan::{Part, Transport};
use crate::token::Minter;

/// Pushes that a device acknowledges at once, at the latest.
const ACK_EVERY: u64 = 64;

/// Field numbers of a server frame's bodies.
const MESSAGE: u32 = 3;
const SEND_ACK: u32 = 4;
const HEAD: u32 = 6;
const SYNC_RESULT: u32 = 7;
const WELCOME: u32 = 14;
const ERROR: u32 = 15;
const GO_AWAY: u32 = 16;

pub struct Gateway {
    transport: Transport,
    minter: Minter,
    group: String,
    /// In front of every client_msg_id, so that no other process makes the same.
    salt: u64,
}

impl Gateway {
    pub fn new(transport: Transport, minter: Minter, group: String) -> Gateway {
        Gateway { transport, minter, group, salt: rand::random() }
    }

    /// A server frame: its body's field number and what it says.
    fn frame<'a>(
        &self,
        device: &mut Device,
        mut bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Event<'a>> {
        let (mut session_seq, mut re, mut body) = (0, 0, None);
        while let Some((number, value)) = fields::next(&mut bytes)? {
            match number {
                1 => session_seq = value.number(),
                2 => re = value.number(),
                number => body = Some((number, value.bytes())),
            }
        }
        if session_seq > 0 && session_seq <= device.session.seen {
            return Ok(Event::Repeated);
        }
        device.session.seen = device.session.seen.max(session_seq);
        if device.session.seen >= device.session.acknowledged + ACK_EVERY && device.part != Part::Stalled {
            self.acknowledge(device, out);
        }
        match body {
            Some((kind, body)) => said(device, kind, re, body),
            None => Ok(Event::Nothing),
        }
    }

    fn message_id(&self, device: &Device, id: u64) -> Bytes {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(self.salt ^ u64::from(device.number)).to_be_bytes());
        bytes[8..].copy_from_slice(&id.to_be_bytes());
        Bytes::copy_from_slice(&bytes)
    }
}

impl Speech for Gateway {
    fn greet(&self, device: &Device, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if matches!(self.transport, Transport::Tcp | Transport::Tls) {
            out.extend_from_slice(&PREFACE);
        }
        let session = &device.session;
        let resume = session.resume && !session.token.is_empty();
        let resume = resume.then(|| Resume { token: session.token.clone().into(), last_seq: session.seen });
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            client: Some(ClientInfo { name: "bench".into(), ..ClientInfo::default() }),
            token: self.minter.token(&user(device))?,
            installation: "bench".into(),
            resume,
            ..Hello::default()
        };
        say(0, client_frame::Body::Hello(hello), out);
        Ok(())
    }

    fn publish(&self, device: &Device, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let content = Content {
            r#type: "application/octet-stream".into(),
            data: Bytes::copy_from_slice(publish.payload),
        };
        let mut send = Send {
            client_msg_id: self.message_id(device, publish.id),
            content: Some(content),
            no_store: !publish.stored,
            ..Send::default()
        };
        match publish.to {
            To::All => send.conversation.clone_from(&self.group),
            To::Receiver(number) => send.to_user = self.minter.name(&format!("r{number}")),
            To::Own(number) => send.to_user = self.minter.name(&format!("k{}-{number}", device.number)),
            To::Idle(number) => send.to_user = self.minter.name(&crate::fleet::user(number as usize)),
        }
        say(publish.id, client_frame::Body::Send(send), out);
    }

    fn hear<'a>(
        &self,
        device: &mut Device,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Option<(usize, Event<'a>)>> {
        let Peek::Whole(length) = frame::peek(bytes, MAX_FRAME_BYTES)? else { return Ok(None) };
        let (flags, body) = (bytes[FRAME_HEADER_BYTES - 1], &bytes[FRAME_HEADER_BYTES..length]);
        if flags & FLAG_BATCH != 0 {
            bail!("the gateway sends batches, which nobody offered to take");
        }
        Ok(Some((length, self.frame(device, body, out)?)))
    }

    fn acknowledge(&self, device: &mut Device, out: &mut Vec<u8>) {
        if device.session.seen > device.session.acknowledged {
            device.session.acknowledged = device.session.seen;
            let frame = ClientFrame { ack: device.session.seen, id: 0, body: None };
            out.extend_from_slice(&frame::encode(&frame));
        }
    }

    fn ping(&self, out: &mut Vec<u8>) {
        say(0, client_frame::Body::Ping(Ping {}), out);
    }

    fn ask(&self, conversation: &str, id: u64, from: u64, limit: u32, out: &mut Vec<u8>) {
        let range = SyncRange { conversation: conversation.into(), from, limit, ..SyncRange::default() };
        say(id, client_frame::Body::Sync(Sync { ranges: vec![range] }), out);
    }

    fn group(&self) -> &str {
        &self.group
    }
}

fn say(id: u64, body: client_frame::Body, out: &mut Vec<u8>) {
    out.extend_from_slice(&frame::encode(&ClientFrame { ack: 0, id, body: Some(body) }));
}

/// The user that a device belongs to.
fn user(device: &Device) -> String {
    let number = device.number;
    match device.part {
        Part::Idle | Part::Listener | Part::Stalled => crate::fleet::user(number as usize),
        Part::Speaker => crate::group::SPEAKER.into(),
        Part::Sender => format!("s{number}"),
        Part::Receiver => format!("r{number}"),
        Part::Scribe => format!("w{number}"),
        Part::Reader => format!("h{number}"),
        Part::Caller => format!("c{number}"),
    }
}

fn said<'a>(device: &mut Device, kind: u32, re: u64, body: &'a [u8]) -> anyhow::Result<Event<'a>> {
    Ok(match kind {
        MESSAGE => {
            let (seq, content) = message(body)?;
            device.session.tip = device.session.tip.max(seq);
            content.map_or(Event::Nothing, |payload| Event::Delivered { payload, seq })
        }
        SEND_ACK => {
            let conversation = fields::find(body, 1)?.map_or(&[][..], fields::Value::bytes);
            let seq = fields::find(body, 2)?.map_or(0, fields::Value::number);
            Event::Accepted { id: re, seq, conversation: std::str::from_utf8(conversation)? }
        }
        HEAD => {
            let conversation = fields::find(body, 1)?.map_or(&[][..], fields::Value::bytes);
            Event::Behind { conversation: std::str::from_utf8(conversation)?.to_owned() }
        }
        SYNC_RESULT => page(re, body)?,
        WELCOME => {
            welcome(device, body)?;
            Event::Ready
        }
        ERROR => {
            let Error { code, message, .. } = Error::decode(body)?;
            bail!("the gateway answers {code}: {message}")
        }
        GO_AWAY => {
            let away = GoAway::decode(body)?;
            let why = format!("the gateway sends away with {}: {}", away.code, away.reason);
            if away.verdict() == Verdict::Never {
                bail!(why);
            }
            Event::SentAway { delay_ms: away.delay_ms, why }
        }
        _ => Event::Nothing,
    })
}

/// Seq and content of a pushed message; an entry that only tells of the members has no content.
fn message(mut body: &[u8]) -> anyhow::Result<(u64, Option<&[u8]>)> {
    let (mut seq, mut content) = (0, None);
    while let Some((number, value)) = fields::next(&mut body)? {
        match number {
            2 => seq = value.number(),
            7 => content = fields::find(value.bytes(), 2)?.map(fields::Value::bytes),
            _ => {}
        }
    }
    Ok((seq, content))
}

fn welcome(device: &mut Device, body: &[u8]) -> anyhow::Result<()> {
    let welcome = Welcome::decode(body)?;
    let session = &mut device.session;
    session.resumed = welcome.outcome() == welcome::Outcome::Resumed;
    session.token = welcome.resume_token.to_vec();
    if !session.resumed {
        (session.seen, session.acknowledged) = (0, 0);
    }
    Ok(())
}

fn page(id: u64, body: &[u8]) -> anyhow::Result<Event<'static>> {
    let mut ranges = SyncResult::decode(body)?.ranges;
    let range = ranges.pop().context("an answer to Sync without a range")?;
    if let Some(Error { code, message, .. }) = range.error {
        bail!("the gateway answers a read with {code}: {message}");
    }
    let message = |message: protocol::v1::Message| {
        (message.seq, message.content.map_or_else(Vec::new, |content| content.data.to_vec()))
    };
    Ok(Event::Page { id, messages: range.messages.into_iter().map(message).collect(), more: range.has_more })
}
