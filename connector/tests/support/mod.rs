//! A connector with a pipe for a socket, a scripted channel node and a device that speaks bytes.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use cluster::{ChannelLink, ConnectorLink, FixedMembership, LinkError};
use idgen::{ManualClock, NodeId, NodeType, WorkerNumber};
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::frame::{self, Peek};
use protocol::limit::MAX_FRAME_BYTES;
use protocol::node::v1::push::Telling;
use protocol::node::v1::to_channel::Body as Up;
use protocol::node::v1::to_connector::Body as Down;
use protocol::node::v1::{self as node, Identity, Target, ToChannel, ToConnector};
use protocol::preface::PREFACE;
use protocol::v1::{self, ClientFrame, ServerFrame, client_frame, server_frame};
use protocol::{Proto as _, splice};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use whimbrel_connector::auth::{AuthConfig, Key, NewClaims, Verifier, mint};
use whimbrel_connector::{Connector, ConnectorConfig};

const NOW_MS: i64 = 1_800_000_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Admits every device as DeviceId 7 with rising epochs and records what it is sent.
pub struct Scripted {
    pub connector: Mutex<Option<Arc<dyn ConnectorLink>>>,
    pub seen: Mutex<Vec<Up>>,
    pub full: bool,
    pub is_down: AtomicBool,
}

impl ChannelLink for Scripted {
    fn node(&self) -> NodeId {
        node_id(NodeType::Channel)
    }

    fn send(&self, message: ToChannel) -> Result<(), LinkError> {
        let body = message.body.unwrap();
        if let Up::Attach(attach) = &body {
            let epoch = 1 + self.count(|body| matches!(body, Up::Attach(_)));
            let admitted = node::Admitted { device_id: 7, epoch };
            let outcome = Some(node::attached::Outcome::Admitted(admitted));
            self.deliver(Down::Attached(node::Attached { attach_id: attach.attach_id, outcome }));
        } else if let Up::Resend(resend) = &body {
            self.resend(resend);
        } else if self.full && matches!(body, Up::Request(_)) {
            return Err(LinkError::Full);
        }
        self.seen.lock().push(body);
        Ok(())
    }

    fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed)
    }
}

impl Scripted {
    pub fn deliver(&self, body: Down) {
        let link = self.connector.lock().clone().unwrap();
        link.deliver(ToConnector { body: Some(body) });
    }

    pub fn kick(&self, epoch: u64) {
        let target = Some(Target { device_id: 7, epoch });
        self.deliver(Down::Kick(node::Kick { target, code: Code::SUPERSEDED.number() }));
    }

    pub fn reply(&self, re: u64) {
        let reply = ServerFrame { re, ..Default::default() };
        let target = Some(Target { device_id: 7, epoch: 1 });
        self.deliver(Down::Reply(node::Reply { target, frame: reply.encode_to_vec().into() }));
    }

    /// The ids of the requests that have come.
    pub fn requests(&self) -> Vec<u64> {
        let id = |body: &Up| match body {
            Up::Request(request) => request.frame.as_ref().map(|frame| frame.id),
            _ => None,
        };
        self.seen.lock().iter().filter_map(id).collect()
    }

    pub fn count(&self, which: impl Fn(&Up) -> bool) -> u64 {
        self.seen.lock().iter().filter(|body| which(body)).count() as u64
    }

    /// Answers as the log would, four at a time.
    fn resend(&self, asked: &node::Resend) {
        let copies = asked.places.iter().take(4);
        let copies =
            copies.map(|place| node::Copy { place: Some(place.clone()), frame: message(place.seq, 1) });
        self.deliver(Down::Resent(node::Resent { target: asked.target, copies: copies.collect() }));
    }

    pub fn push(&self, epoch: u64, seq: u64, bytes: usize) {
        self.push_frame(epoch, seq, message(seq, bytes), Telling::First);
    }

    /// Tells a seq again.
    pub fn tell_again(&self, epoch: u64, seq: u64, telling: Telling) {
        let body = Some(v1::server_frame::Body::Head(v1::Head { conversation: "c".into(), tip: seq }));
        let frame = ServerFrame { body, ..Default::default() };
        self.push_frame(epoch, seq, frame.encode_to_vec().into(), telling);
    }

    fn push_frame(&self, epoch: u64, seq: u64, frame: Bytes, telling: Telling) {
        let targets = vec![Target { device_id: 7, epoch }];
        let conversation = Bytes::from_static(b"c");
        let telling = telling.into();
        self.deliver(Down::Push(node::Push { targets, frame, conversation, seq, telling }));
    }
}

fn message(seq: u64, bytes: usize) -> Bytes {
    let content = v1::Content { r#type: "t".into(), data: vec![7; bytes].into() };
    let entry = v1::Message { seq, content: Some(content), ..Default::default() };
    splice::push_frame("c", &entry.encode_to_vec())
}

pub fn node_id(kind: NodeType) -> NodeId {
    NodeId::new(kind, WorkerNumber::new(0).unwrap(), std::net::Ipv4Addr::LOCALHOST, 1).unwrap()
}

pub struct World {
    pub connector: Arc<Connector>,
    pub channel: Arc<Scripted>,
    pub key: Key,
}

pub fn world(full: bool) -> World {
    let key = Key::hs256("k", SECRET).unwrap();
    let auth = AuthConfig { issuer: "iss".into(), audience: "aud".into(), keys: vec![key.clone()] };
    let mut config = ConnectorConfig::new(node_id(NodeType::Connector));
    config.outbox_bytes = 4096;
    let membership = FixedMembership::single(node_id(NodeType::Connector), node_id(NodeType::Channel));
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let connector = Connector::new(config, Verifier::new(auth).unwrap(), clock, Arc::new(membership));
    let channel = Arc::new(Scripted {
        connector: Mutex::default(),
        seen: Mutex::default(),
        full,
        is_down: AtomicBool::new(false),
    });
    *channel.connector.lock() = Some(connector.link());
    connector.add_channel(channel.clone());
    World { connector, channel, key }
}

pub struct Device {
    pub io: DuplexStream,
    pub input: BytesMut,
}

impl World {
    pub fn open(&self, pipe: usize) -> Device {
        let (ours, theirs) = tokio::io::duplex(pipe);
        self.connector.serve_stream(theirs, "127.0.0.1:1".parse().unwrap());
        Device { io: ours, input: BytesMut::new() }
    }

    pub fn hello(&self, ttl_s: i64) -> v1::Hello {
        let identity = Identity { tenant: "t".into(), user: "alice".into(), ..Default::default() };
        let claims = NewClaims {
            identity,
            issuer: "iss".into(),
            audience: "aud".into(),
            issued_s: NOW_MS / 1000,
            expires_s: NOW_MS / 1000 + ttl_s,
        };
        let token = mint(&self.key, &claims).unwrap();
        v1::Hello { version_min: 1, version_max: 1, token, installation: "i".into(), ..Default::default() }
    }

    pub async fn log_in(&self, pipe: usize) -> Device {
        self.log_in_for(pipe, 100_000).await
    }

    pub async fn log_in_for(&self, pipe: usize, ttl_s: i64) -> Device {
        self.log_in_with(pipe, self.hello(ttl_s)).await.0
    }

    pub async fn log_in_with(&self, pipe: usize, hello: v1::Hello) -> (Device, v1::Welcome) {
        let mut device = self.open(pipe);
        device.io.write_all(&PREFACE).await.unwrap();
        device.send(0, client_frame::Body::Hello(hello)).await;
        match device.next().await.unwrap().body {
            Some(server_frame::Body::Welcome(welcome)) => (device, welcome),
            other => panic!("not welcomed: {other:?}"),
        }
    }
}

impl Device {
    pub async fn send(&mut self, id: u64, body: client_frame::Body) {
        self.io.write_all(&frame::encode(&ClientFrame { ack: 0, id, body: Some(body) })).await.unwrap();
    }

    pub async fn acknowledge(&mut self, ack: u64) {
        self.io.write_all(&frame::encode(&ClientFrame { ack, id: 0, body: None })).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            if let Peek::Whole(length) = frame::peek(&self.input, MAX_FRAME_BYTES).unwrap() {
                let frame = frame::open(self.input.split_to(length).freeze()).unwrap();
                return frame.messages::<ServerFrame>().next().map(Result::unwrap);
            }
            if self.io.read_buf(&mut self.input).await.unwrap() == 0 {
                return None;
            }
        }
    }

    pub async fn goodbye(&mut self) -> (Code, v1::go_away::Verdict) {
        loop {
            if let Some(server_frame::Body::GoAway(away)) = self.next().await.unwrap().body {
                assert!(self.next().await.is_none(), "nothing follows GoAway");
                return (Code::from_number(away.code).unwrap(), away.verdict());
            }
        }
    }
}
