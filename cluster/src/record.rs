//! What a node publishes of itself.

use std::net::Ipv4Addr;

use idgen::{NodeId, NodeType, WorkerNumber};
use prost::Message as _;
use protocol::node::v1;
use protocol::version::{NODE_VERSIONS, agree_on};

use crate::slots::{Candidate, WEIGHTS};

/// The weight of an ordinary machine.
pub const DEFAULT_WEIGHT: u32 = 16;
/// Most bytes of a published record.
pub const MAX_RECORD_BYTES: usize = 8 * 1024;

/// One node that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    pub node: NodeId,
    /// Higher each time the node's process starts, across the cluster; the same while it lives.
    pub incarnation: u64,
    /// `host:port` for links; empty where none is taken.
    pub link: String,
    /// URLs for devices.
    pub endpoints: Vec<String>,
    /// Lowest and highest version of the node protocol.
    pub versions: (u32, u32),
    pub weight: u32,
    /// About how many devices it holds.
    pub connections: u32,
    /// It is going: no slots, no new devices.
    pub draining: bool,
    /// Random per process.
    pub process: [u8; 16],
    /// Name and version of what runs there, for people.
    pub program: String,
    /// The store is this node's alone.
    pub store_alone: bool,
    /// What an operator asked it last to hand on.
    pub rebalance: Option<Rebalance>,
    /// Channel nodes that a connector is linked to.
    pub links: u32,
    /// How long the oldest message has waited that one of them has not confirmed, milliseconds; 0 where that is no
    /// longer than an idle link takes.
    pub lag_ms: u32,
}

/// An operator's wish that a connector hand some of its devices on, and how far it is with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// Random; a node begins with each once.
    pub id: u64,
    /// Of a thousand devices, so many go.
    pub share: u32,
    pub per_second: u32,
    /// By the node: how many that is, and how many have been sent.
    pub devices: u32,
    pub moved: u32,
    pub done: bool,
}

/// A whole, in [`Rebalance::share`].
pub const WHOLE: u32 = 1_000;

/// Why published bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("it has {bytes} bytes, more than {MAX_RECORD_BYTES}")]
    TooLarge { bytes: usize },
    #[error("it is no NodeRecord")]
    Malformed,
    #[error("its node id is none")]
    Node,
    #[error("its process is no 16 bytes")]
    Process,
}

impl NodeRecord {
    /// A node of this code's versions with nothing particular.
    pub fn new(node: NodeId, incarnation: u64) -> NodeRecord {
        NodeRecord {
            node,
            incarnation,
            link: String::new(),
            endpoints: Vec::new(),
            versions: (*NODE_VERSIONS.start(), *NODE_VERSIONS.end()),
            weight: DEFAULT_WEIGHT,
            connections: 0,
            draining: false,
            process: [0; 16],
            program: String::new(),
            store_alone: false,
            rebalance: None,
            links: 0,
            lag_ms: 0,
        }
    }

    /// The same with what an operator has noted on `published`, which is what everybody sees of this node now.
    pub fn asked(&self, published: &NodeRecord) -> NodeRecord {
        let known = |asked: &Rebalance| self.rebalance.is_some_and(|own| own.id == asked.id);
        let asked = published.rebalance.filter(|asked| asked.moved == 0 && !asked.done && !known(asked));
        NodeRecord {
            draining: self.draining || published.draining,
            rebalance: asked.or(self.rebalance),
            ..self.clone()
        }
    }

    /// Whether it routes users and owns conversations.
    pub fn is_channel(&self) -> bool {
        self.node.node_type() == NodeType::Channel
    }

    /// Whether this code and the node can talk.
    pub fn speaks_with_us(&self) -> bool {
        agree_on(&NODE_VERSIONS, self.versions.0, self.versions.1).is_some()
    }

    /// The record as one that may own slots.
    pub fn candidate(&self) -> Candidate {
        Candidate { node: self.node, weight: self.weight, draining: self.draining }
    }

    /// The same place under another number.
    pub fn with_number(&self, number: WorkerNumber) -> NodeRecord {
        let (kind, ip, port): (NodeType, Ipv4Addr, u16) =
            (self.node.node_type(), self.node.ip(), self.node.port());
        let node = NodeId::new(kind, number, ip, port).unwrap_or(self.node);
        NodeRecord { node, ..self.clone() }
    }

    /// As it is published.
    pub fn encode(&self) -> Vec<u8> {
        let record = v1::NodeRecord {
            node: self.node.as_u64(),
            incarnation: self.incarnation,
            link: self.link.clone(),
            endpoints: self.endpoints.clone(),
            version_min: self.versions.0,
            version_max: self.versions.1,
            weight: self.weight,
            connections: self.connections,
            draining: self.draining,
            process: self.process.to_vec().into(),
            program: self.program.clone(),
            store_alone: self.store_alone,
            rebalance: self.rebalance.map(Rebalance::encoded),
            links: self.links,
            lag_ms: self.lag_ms,
        };
        record.encode_to_vec()
    }

    /// Reads what was published. Weights out of range are brought into it.
    pub fn decode(bytes: &[u8]) -> Result<NodeRecord, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        let record = v1::NodeRecord::decode(bytes).map_err(|_| RecordError::Malformed)?;
        Ok(NodeRecord {
            node: NodeId::from_u64(record.node).map_err(|_| RecordError::Node)?,
            incarnation: record.incarnation,
            link: record.link,
            endpoints: record.endpoints,
            versions: (record.version_min, record.version_max),
            weight: record.weight.clamp(*WEIGHTS.start(), *WEIGHTS.end()),
            connections: record.connections,
            draining: record.draining,
            process: record.process.as_ref().try_into().map_err(|_| RecordError::Process)?,
            program: record.program,
            store_alone: record.store_alone,
            rebalance: record.rebalance.map(Rebalance::decoded),
            links: record.links,
            lag_ms: record.lag_ms,
        })
    }
}

impl Rebalance {
    fn encoded(self) -> v1::Rebalance {
        let Rebalance { id, share, per_second, devices, moved, done } = self;
        v1::Rebalance { id, share, per_second, devices, moved, done }
    }

    fn decoded(from: v1::Rebalance) -> Rebalance {
        let v1::Rebalance { id, share, per_second, devices, moved, done } = from;
        Rebalance { id, share: share.min(WHOLE), per_second, devices, moved, done }
    }
}
