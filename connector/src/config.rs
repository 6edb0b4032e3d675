//! What an operator decides about a connector.

use std::time::Duration;

use idgen::NodeId;

use crate::delivery::Schedule;

/// Settings of one connector.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    pub node: NodeId,
    /// Silence after which a device pings. Three times this without any traffic closes the connection.
    pub heartbeat: Duration,
    /// Time from accept to a complete Hello.
    pub hello_timeout: Duration,
    /// Bytes of pushes that wait for one device before they become Head hints.
    pub outbox_bytes: usize,
    /// How long an unacknowledged push waits to be sent again, and between repetitions.
    pub ack_timeout: Duration,
    /// Repetitions; after as long again the connection is closed.
    pub ack_resends: u32,
    /// How long a session waits for its device to come back.
    pub resume_ttl: Duration,
    /// How long a request waits for an owner within reach before it is refused.
    pub hold: Duration,
    /// Connections accepted per second on each TCP port, and at once after a pause.
    pub accepts_per_second: u32,
    /// Connections held at once, logins under way included.
    pub max_connections: usize,
    /// Connections of the HTTP port that are no devices and are answered at once: pages and probes.
    pub max_http_connections: usize,
    /// Those of `max_connections` that each hold a file descriptor: all but QUIC's. What the process may open less what it needs
    /// itself, because a store that cannot open a file takes no more writes.
    pub max_sockets: usize,
}

impl ConnectorConfig {
    /// The defaults of the configuration file.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            heartbeat: Duration::from_secs(24),
            hello_timeout: Duration::from_secs(5),
            outbox_bytes: 128 * 1024,
            ack_timeout: Duration::from_secs(18),
            ack_resends: 3,
            accepts_per_second: 10_000,
            resume_ttl: Duration::from_secs(120),
            hold: Duration::from_secs(10),
            max_connections: 100_000,
            max_http_connections: 512,
            max_sockets: 100_000,
        }
    }

    /// When unacknowledged pushes are sent again.
    pub fn schedule(&self) -> Schedule {
        Schedule { after: self.ack_timeout.as_secs().max(1) as u32, resends: self.ack_resends }
    }

    /// Seconds without traffic after which a connection is closed.
    pub fn silence_limit(&self) -> u32 {
        (3 * self.heartbeat).as_secs().max(1) as u32
    }
}
