//! Who may link with whom. Pure.

use idgen::{NodeId, NodeType};
use protocol::node::v1::link_refused::Reason;
use protocol::node::v1::{LinkHello, LinkRefused, LinkWelcome};
use protocol::version::{NODE_VERSIONS, agree_on};

/// Most bytes of a cluster's name.
pub const MAX_CLUSTER_BYTES: usize = 64;

/// This node, as it presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub cluster: String,
    pub node: NodeId,
    pub incarnation: u64,
}

/// A node that may be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub node: NodeId,
    pub incarnation: u64,
    /// Of the node protocol: the highest that both speak.
    pub version: u32,
}

/// Why a node is not linked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub reason: Reason,
    /// For people.
    pub text: String,
}

impl Refusal {
    pub fn new(reason: Reason, text: impl Into<String>) -> Refusal {
        Refusal { reason, text: text.into() }
    }

    /// As it is told.
    pub fn message(&self) -> LinkRefused {
        LinkRefused { reason: self.reason.into(), text: self.text.clone() }
    }
}

impl From<LinkRefused> for Refusal {
    fn from(told: LinkRefused) -> Refusal {
        let reason = Reason::try_from(told.reason).unwrap_or(Reason::Unspecified);
        let printable = told.text.chars().filter(|one| !one.is_control()).take(200);
        Refusal { reason, text: printable.collect() }
    }
}

impl Me {
    /// The dialler's first message.
    pub fn hello(&self, to: NodeId, session: u64, received: u64, window: usize) -> LinkHello {
        LinkHello {
            version_min: *NODE_VERSIONS.start(),
            version_max: *NODE_VERSIONS.end(),
            cluster: self.cluster.clone(),
            node: self.node.as_u64(),
            incarnation: self.incarnation,
            to: to.as_u64(),
            session,
            received,
            window: u32::try_from(window).unwrap_or(u32::MAX),
        }
    }

    /// Judges a hello. `role` is what the caller's certificate lets it be, where certificates are asked for;
    /// `newest` the highest incarnation known of a node.
    pub fn admit(
        &self,
        hello: &LinkHello,
        role: Option<NodeType>,
        newest: impl Fn(NodeId) -> Option<u64>,
    ) -> Result<Caller, Refusal> {
        if hello.cluster != self.cluster {
            let text = format!("this is cluster {:?}, not {:?}", self.cluster, clip(&hello.cluster));
            return Err(Refusal::new(Reason::Cluster, text));
        }
        let version = agree_on(&NODE_VERSIONS, hello.version_min, hello.version_max).ok_or_else(|| {
            let (min, max) = (hello.version_min, hello.version_max);
            let ours = format!("{} to {}", NODE_VERSIONS.start(), NODE_VERSIONS.end());
            Refusal::new(Reason::Version, format!("node protocol {ours} here, {min} to {max} there"))
        })?;
        let node = NodeId::from_u64(hello.node)
            .map_err(|error| Refusal::new(Reason::Hello, format!("no node id: {error}")))?;
        if hello.to != self.node.as_u64() {
            let text = format!("this is {}, not {:016x}", self.node, hello.to);
            return Err(Refusal::new(Reason::NotMe, text));
        }
        if node == self.node {
            return Err(Refusal::new(Reason::Stale, format!("{node} is this node's own id")));
        }
        if role.is_some_and(|role| role != node.node_type()) {
            let text = format!("the certificate is not one of a {}", node.node_type());
            return Err(Refusal::new(Reason::Role, text));
        }
        if let Some(newest) = newest(node).filter(|&newest| newest > hello.incarnation) {
            let text = format!("{node} lives in incarnation {newest}; {} is over", hello.incarnation);
            return Err(Refusal::new(Reason::Stale, text));
        }
        Ok(Caller { node, incarnation: hello.incarnation, version })
    }

    /// The answer to a hello that was admitted.
    pub fn welcome(&self, version: u32, resumed: bool, received: u64, window: usize) -> LinkWelcome {
        let window = u32::try_from(window).unwrap_or(u32::MAX);
        let (node, incarnation) = (self.node.as_u64(), self.incarnation);
        LinkWelcome { version, node, incarnation, resumed, received, window }
    }

    /// Judges a welcome: it must be of the node that was dialled, in a version that was offered.
    pub fn welcomed(to: NodeId, role: Option<NodeType>, welcome: &LinkWelcome) -> Result<(), Refusal> {
        if welcome.node != to.as_u64() {
            return Err(Refusal::new(Reason::NotMe, format!("{:016x} answers, not {to}", welcome.node)));
        }
        if !NODE_VERSIONS.contains(&welcome.version) {
            return Err(Refusal::new(
                Reason::Version,
                format!("version {} was not offered", welcome.version),
            ));
        }
        if role.is_some_and(|role| role != to.node_type()) {
            return Err(Refusal::new(
                Reason::Role,
                format!("its certificate is not one of a {}", to.node_type()),
            ));
        }
        Ok(())
    }
}

/// What a stranger sends, short enough for a log line.
fn clip(text: &str) -> String {
    text.chars().take(MAX_CLUSTER_BYTES).collect()
}
