//! What a channel node is told at start.

use idgen::{NodeId, WorkerNumber};

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// This node.
    pub node: NodeId,
    /// Stands in every DeviceId this node makes; nobody else may use it meanwhile.
    pub worker: WorkerNumber,
    /// Tasks that number messages; conversations are spread over them.
    pub slot_tasks: usize,
}

impl ChannelConfig {
    /// Settings with as many slot tasks as suit one machine.
    pub fn new(node: NodeId, worker: WorkerNumber) -> Self {
        Self { node, worker, slot_tasks: 64 }
    }
}
