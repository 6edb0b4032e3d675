//! NATS, without persistence and with room for what one subscriber has not taken.

use super::{Peer, Protocol};
use crate::server::free_port;

pub fn start(cpu: Option<usize>) -> anyhow::Result<Peer> {
    let address = free_port()?;
    let configuration = format!(
        "listen: \"127.0.0.1:{}\"\nmax_connections: 100000\nmax_pending: 268435456\nping_interval: \"10m\"\n",
        address.port()
    );
    Peer::start("nats-server", &["-c"], ("nats.conf", configuration), address, Protocol::Nats, cpu)
}
