//! What a channel node is told at start.

use std::sync::Arc;
use std::time::Duration;

use cluster::Lease;
use idgen::{NodeId, WorkerNumber};

pub use crate::creations::CreationLimit;
use crate::device_limit::DeviceLimit;

/// How long a user must be less present before anybody is told, unless configured otherwise.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(5);

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// This node.
    pub node: NodeId,
    /// Stands in every DeviceId this node makes; nobody else may use it meanwhile.
    pub worker: WorkerNumber,
    /// While it holds, that is so.
    pub lease: Arc<Lease>,
    /// Tasks that number messages; conversations are spread over them.
    pub slot_tasks: usize,
    /// How long a user must be less present before anybody is told.
    pub presence_grace: Duration,
    /// Devices that one user may have connected.
    pub device_limit: DeviceLimit,
    /// Conversations that one user may create.
    pub creation_limit: CreationLimit,
    /// No other node appends to this store while this one does, so nobody else can leave anything untold. True where a
    /// lock sees to that.
    pub sole_owner: bool,
}

impl ChannelConfig {
    /// Settings with as many slot tasks as suit one machine.
    pub fn new(node: NodeId, worker: WorkerNumber) -> Self {
        Self {
            node,
            worker,
            lease: Arc::new(Lease::for_ever()),
            slot_tasks: 64,
            presence_grace: PRESENCE_GRACE,
            device_limit: DeviceLimit::default(),
            creation_limit: CreationLimit::default(),
            sole_owner: true,
        }
    }
}
