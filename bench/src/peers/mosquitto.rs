//! Mosquitto, an MQTT broker, without persistence and with its limits on queues lifted.

use super::{Peer, Protocol};
use crate::server::free_port;

pub fn start(cpu: Option<usize>) -> anyhow::Result<Peer> {
    let address = free_port()?;
    let configuration = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 0\n\
         max_inflight_messages 0\nlog_dest stderr\nlog_type error\nlog_type warning\n",
        address.port()
    );
    Peer::start("mosquitto", &["-c"], ("mosquitto.conf", configuration), address, Protocol::Mqtt, cpu)
}
