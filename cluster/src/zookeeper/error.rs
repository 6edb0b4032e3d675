//! Why a node does not join.

use idgen::{NodeId, WorkerNumber};

/// Why a node cannot be part of the cluster. Waiting does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("ZooKeeper does not let this node use {path}: its access list names somebody else")]
    Refused { path: String },
    #[error("ZooKeeper does not know the user it was given")]
    User,
    #[error("{path} in ZooKeeper belongs to the cluster {found:?}; this node is of {ours:?}")]
    OtherCluster { path: String, found: String, ours: String },
    #[error("{path} in ZooKeeper is of a cluster with {found} slots; this program has {ours}")]
    Slots { path: String, found: u32, ours: u16 },
    #[error("{path} in ZooKeeper has format {found}; this program knows {ours}")]
    Format { path: String, found: u32, ours: u32 },
    #[error("{path} in ZooKeeper is not what a cluster keeps there")]
    NoCluster { path: String },
    #[error("node number {number} is in use by {holder:#}; no two nodes share one")]
    Duplicate { number: WorkerNumber, holder: NodeId },
    #[error("all 4,096 node numbers are in use")]
    Full,
    #[error(
        "channel node {other:#} is there already, and {whose} store is one node's alone; several channel nodes need a \
         shared store"
    )]
    StoreAlone { other: NodeId, whose: &'static str },
    /// Only for who does not wait.
    #[error("ZooKeeper is out of reach: {0}")]
    Away(String),
    #[error("{0:?} is no list of ZooKeeper servers (host:port, with commas between them)")]
    Servers(String),
    #[error("a cluster's name has 1 to 64 letters, digits, dots, dashes and underscores")]
    Name,
    #[error("{0:?} is no path in ZooKeeper, such as /whimbrel")]
    Path(String),
}

/// What an attempt ended with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Final(#[from] JoinError),
    /// Trying again may help. Also where it is not known whether a change was made.
    #[error("{0}")]
    Away(String),
}

impl From<Trouble> for JoinError {
    fn from(trouble: Trouble) -> JoinError {
        match trouble {
            Trouble::Final(error) => error,
            Trouble::Away(why) => JoinError::Away(why),
        }
    }
}

impl Trouble {
    /// By what the client says of an operation on `path`.
    pub(super) fn of(error: zookeeper_client::Error, path: &str) -> Trouble {
        use zookeeper_client::Error as Said;
        match error {
            Said::NoAuth | Said::InvalidAcl => JoinError::Refused { path: path.to_owned() }.into(),
            Said::AuthFailed => JoinError::User.into(),
            error => Trouble::Away(error.to_string()),
        }
    }
}
