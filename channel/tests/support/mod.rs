//! A node over a store in a temporary directory, and a connector that records what it is told.
#![allow(dead_code, reason = "each test file uses a part")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{ChannelLink, ConnectorLink};
use idgen::{Clock, NodeId, NodeType, SystemClock, WorkerNumber};
use prost::Message as _;
use protocol::node::v1::*;
use protocol::v1::{self, Content, ConversationInfo, Role, ServerFrame, client_frame, server_frame};
use storage::embedded::{EmbeddedConfig, EmbeddedStore};
use storage::log::{Append, AppendOutcome, Entry, EntryKind, Users};
use storage::member::MemberRow;
use storage::{ConversationKey, Log};
use tempfile::TempDir;
use tokio::sync::mpsc;
use whimbrel_channel::config::{ChannelConfig, CreationLimit};
use whimbrel_channel::node::ChannelNode;

/// Grace of presence in most tests.
pub const GRACE: Duration = Duration::from_millis(100);
pub const TENANT: &str = "demo";
/// Frames that a test may leave unread.
const INBOX: usize = 16_384;
/// Longer than any answer takes; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn node_id(kind: NodeType, number: u16) -> NodeId {
    NodeId::new(kind, WorkerNumber::new(number).unwrap(), Ipv4Addr::LOCALHOST, 7000).unwrap()
}

/// A node and its store; the directory goes with it.
pub struct World {
    pub node: Arc<ChannelNode>,
    pub store: Arc<EmbeddedStore>,
    directory: Option<TempDir>,
}

impl World {
    pub async fn new() -> World {
        World::with_clock(Arc::new(SystemClock)).await
    }

    pub async fn with_clock(clock: Arc<dyn Clock>) -> World {
        let directory = TempDir::new().unwrap();
        let config = EmbeddedConfig { sync: false, ..EmbeddedConfig::new(directory.path().join("data")) };
        let store = Arc::new(EmbeddedStore::open(config).unwrap());
        World { directory: Some(directory), ..World::over(store, clock).await }
    }

    /// Another node over a store that is open already.
    pub async fn over(store: Arc<EmbeddedStore>, clock: Arc<dyn Clock>) -> World {
        let node = node_id(NodeType::Channel, 1);
        let config = ChannelConfig::new(node, WorkerNumber::new(7).unwrap());
        World::configured(ChannelConfig { presence_grace: GRACE, ..config }, store, clock).await
    }

    /// Another node with settings of its own.
    pub async fn configured(
        config: ChannelConfig,
        store: Arc<EmbeddedStore>,
        clock: Arc<dyn Clock>,
    ) -> World {
        let node = ChannelNode::start(config, store.clone(), clock).await.unwrap();
        World { node, store, directory: None }
    }

    /// A node with one slot task over a store that wraps `store`.
    pub async fn wrapped(store: Arc<EmbeddedStore>, wrapper: Arc<dyn storage::Store>) -> World {
        let node = node_id(NodeType::Channel, 1);
        // Tests of many conversations have one user.
        let creation_limit = CreationLimit { per_minute: 1_000_000, at_once: 1_000_000 };
        let config = ChannelConfig::new(node, WorkerNumber::new(7).unwrap());
        let config = ChannelConfig { slot_tasks: 1, creation_limit, ..config };
        let node = ChannelNode::start(config, wrapper, Arc::new(SystemClock)).await.unwrap();
        World { node, store, directory: None }
    }

    /// Stores entries of a conversation: the first creates it with these members, the rest carry `payloads`.
    pub async fn seed(&self, conversation: &str, members: Vec<MemberRow>, payloads: &[Vec<u8>], at_ms: i64) {
        let info = ConversationInfo { kind: 0, title: conversation.to_owned() };
        let first = entry(1, b"created", &members[0].user);
        let texts = payloads.iter().enumerate();
        let rest = texts.map(|(n, data)| entry(n as u64 + 2, data, &members[0].user));
        let entries: Vec<Entry> = std::iter::once(first).chain(rest).collect();
        let key = ConversationKey::new(TENANT, conversation);
        let opened = self.store.open(&key).await.unwrap();
        let mut tip = opened.tip;
        let active: Users =
            members.iter().filter(|row| row.is_active()).map(|row| row.user.as_str().into()).collect();
        for (n, chunk) in entries.chunks(100).enumerate() {
            let first = n == 0;
            let append = Append {
                key: key.clone(),
                epoch: opened.epoch,
                expected_tip: tip,
                batch: [n as u8 + 1; 16],
                at_ms,
                entries: chunk.to_vec(),
                members: if first { members.clone() } else { Vec::new() },
                active: active.clone(),
                info: first.then(|| info.clone()),
            };
            assert_eq!(self.store.append(append).await, AppendOutcome::Applied);
            tip += chunk.len() as u64;
        }
    }

    pub fn connector(&self, number: u16) -> Connector {
        Connector::of(&self.node, number)
    }
}

pub fn entry(seq: u64, data: &[u8], sender: &str) -> Entry {
    let content = Content { r#type: "text/plain".into(), data: Bytes::copy_from_slice(data) };
    let message =
        v1::Message { seq, sender: sender.into(), content: Some(content), ..v1::Message::default() };
    Entry {
        payload: message.encode_to_vec().into(),
        sender: sender.into(),
        slot: None,
        kind: EntryKind::Shown,
    }
}

pub fn member(user: &str, from: u64) -> MemberRow {
    MemberRow::join(user, Role::Member, from)
}

/// A connector's end of a link.
pub struct Connector {
    pub link: Arc<dyn ChannelLink>,
    pub recorder: Arc<Recorder>,
    inbox: mpsc::Receiver<ToConnector>,
    last_id: u64,
}

pub struct Recorder {
    node: NodeId,
    told: mpsc::Sender<ToConnector>,
}

impl ConnectorLink for Recorder {
    fn node(&self) -> NodeId {
        self.node
    }

    fn deliver(&self, message: ToConnector) {
        self.told.try_send(message).unwrap();
    }
}

/// A device as the connector knows it after its login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub user: String,
    pub id: u64,
    pub epoch: u64,
}

pub fn identity(tenant: &str, user: &str) -> Identity {
    Identity { tenant: tenant.into(), user: user.into(), name: user.to_uppercase(), role: 0 }
}

pub fn attach(attach_id: u64, user: &str, installation: &str) -> ToChannel {
    let attach = Attach {
        attach_id,
        identity: Some(identity(TENANT, user)),
        device_type: 1,
        installation: installation.into(),
        ..Attach::default()
    };
    ToChannel { body: Some(to_channel::Body::Attach(attach)) }
}

impl Connector {
    /// One that is linked to this node.
    pub fn of(node: &Arc<ChannelNode>, number: u16) -> Connector {
        let (told, inbox) = mpsc::channel(INBOX);
        let recorder = Arc::new(Recorder { node: node_id(NodeType::Connector, number), told });
        let link = node.connect(recorder.clone());
        Connector { link, recorder, inbox, last_id: 0 }
    }

    pub fn id(&self) -> NodeId {
        self.recorder.node
    }

    /// The next message of the link.
    pub async fn next(&mut self) -> to_connector::Body {
        let message = tokio::time::timeout(PATIENCE, self.inbox.recv()).await;
        message.expect("nothing came").expect("the link is open").body.unwrap()
    }

    /// What has arrived so far.
    pub fn arrived(&mut self) -> Vec<to_connector::Body> {
        std::iter::from_fn(|| self.inbox.try_recv().ok()).map(|message| message.body.unwrap()).collect()
    }

    /// Logs a device in. Nothing else may be on its way.
    pub async fn login(&mut self, user: &str, installation: &str) -> Device {
        self.link.send(attach(77, user, installation)).unwrap();
        match self.next().await {
            to_connector::Body::Attached(Attached { attach_id: 77, outcome: Some(outcome) }) => match outcome
            {
                attached::Outcome::Admitted(Admitted { device_id, epoch }) => {
                    Device { user: user.into(), id: device_id, epoch }
                }
                attached::Outcome::Refused(error) => panic!("refused: {error:?}"),
            },
            other => panic!("not an Attached: {other:?}"),
        }
    }

    /// The next message, which must refuse a login: its attach_id and why.
    pub async fn refusal(&mut self) -> (u64, v1::Error) {
        match self.next().await {
            to_connector::Body::Attached(Attached {
                attach_id,
                outcome: Some(attached::Outcome::Refused(error)),
            }) => (attach_id, error),
            other => panic!("not a refusal: {other:?}"),
        }
    }

    pub fn detach(&self, device: &Device) {
        let detach = Detach {
            tenant: TENANT.into(),
            user: device.user.clone(),
            device_id: device.id,
            epoch: device.epoch,
        };
        self.link.send(ToChannel { body: Some(to_channel::Body::Detach(detach)) }).unwrap();
    }

    /// Asks and returns the answer; it must be the next message of the link.
    pub async fn ask(&mut self, device: &Device, body: client_frame::Body) -> server_frame::Body {
        self.ask_as(identity(TENANT, &device.user), device, Some(body)).await
    }

    /// What is delivered next, hints that a log reaches further left out: a node that takes a log over gives them.
    async fn next_but_heads(&mut self) -> to_connector::Body {
        loop {
            let body = self.next().await;
            let frame = match &body {
                to_connector::Body::Push(push) => ServerFrame::decode(push.frame.clone()).unwrap(),
                _ => return body,
            };
            if !matches!(frame.body, Some(server_frame::Body::Head(_))) {
                return body;
            }
        }
    }

    pub async fn ask_as(
        &mut self,
        identity: Identity,
        device: &Device,
        body: Option<client_frame::Body>,
    ) -> server_frame::Body {
        self.last_id += 1;
        let re = self.last_id;
        self.send(identity, device, re, body);
        match self.next_but_heads().await {
            to_connector::Body::Reply(Reply { target, frame }) => {
                let expected = Target { device_id: device.id, epoch: device.epoch };
                assert_eq!(target, Some(expected));
                assert!(frame.len() < protocol::limit::MAX_FRAME_BYTES, "{} bytes", frame.len());
                let frame = ServerFrame::decode(frame).unwrap();
                assert_eq!((frame.re, frame.session_seq), (re, 0));
                frame.body.unwrap()
            }
            other => panic!("not a reply: {other:?}"),
        }
    }

    pub fn send(&self, identity: Identity, device: &Device, re: u64, body: Option<client_frame::Body>) {
        let frame = Some(v1::ClientFrame { ack: 0, id: re, body });
        let identity = Some(identity);
        let request = Request { identity, device_id: device.id, epoch: device.epoch, frame };
        self.link.send(ToChannel { body: Some(to_channel::Body::Request(request)) }).unwrap();
    }
}
