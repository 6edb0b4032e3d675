//! How devices get into a gateway: its addresses, and the tokens that it believes.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::load::plan::{Speech, Transport};
use crate::token::Minter;

/// One gateway, or the nodes of one.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where devices connect over TCP, TLS and QUIC; over WebSocket, `http`.
    pub devices: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    pub minter: Minter,
    /// PEM of whom to trust.
    pub certificate: Option<PathBuf>,
    /// The name in the server's certificate.
    pub host: String,
}

impl Access {
    /// Where devices connect over a transport.
    pub fn addresses(&self, transport: Transport) -> &[SocketAddr] {
        match transport {
            Transport::Websocket => &self.http,
            _ => &self.devices,
        }
    }

    pub fn speech(&self, transport: Transport, group: &str) -> Speech {
        Speech::Gateway {
            transport,
            minter: self.minter.clone(),
            certificate: self.certificate.clone(),
            host: self.host.clone(),
            group: group.to_owned(),
        }
    }
}
