//! The ports for devices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use connector::Connector;
use connector::ports::http::HttpPort;
use connector::tls::{Identity, TlsError, Use};
use connector::websocket::upgrade::UpgradePolicy;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::config::setting::Plaintext;
use crate::dev_data::Addresses;
use crate::gateway::GatewayError;

/// Ports that are bound and not served yet.
pub struct Listeners {
    tcp: Option<(TcpListener, SocketAddr)>,
    pub http: Option<(TcpListener, SocketAddr)>,
    quic: Option<(quinn::Endpoint, SocketAddr)>,
    tls: Option<Identity>,
}

impl Listeners {
    /// Binds what the configuration names: all of it, or nothing.
    pub fn bind(
        config: &Config,
        tls: Option<Identity>,
        quic: Option<Identity>,
    ) -> Result<Listeners, GatewayError> {
        let tcp = config.tcp.listen.0.map(|address| bind("TCP", address)).transpose()?;
        let http = config.http.listen.0.map(|address| bind("HTTP", address)).transpose()?;
        let udp = config.quic.listen.0.zip(quic);
        let quic = udp.map(|(address, identity)| bind_quic(config, &identity, address)).transpose()?;
        Ok(Listeners { tcp, http, quic, tls })
    }

    /// Has a connector serve them, with pages on the HTTP port; where they are.
    pub fn serve(
        self,
        config: &Config,
        connector: &Arc<Connector>,
        router: Router,
    ) -> Result<Addresses, GatewayError> {
        let mut addresses = Addresses::default();
        let tls = self.tls.as_ref();
        if let Some((listener, address)) = self.tcp {
            addresses.tcp = Some(address);
            let plain = tls.is_none() || config.tcp.plaintext == Plaintext::Allow;
            connector.serve_tcp(listener, server_config(tls, Use::Device)?, plain);
        }
        if let Some((listener, address)) = self.http {
            addresses.http = Some(address);
            let policy = UpgradePolicy::new(config.http.allowed_origins.iter().cloned())?;
            let tls = server_config(tls, Use::Http)?;
            connector.serve_http(listener, HttpPort { policy, router, tls });
        }
        if let Some((endpoint, address)) = self.quic {
            addresses.quic = Some(address);
            connector.serve_quic(endpoint);
        }
        Ok(addresses)
    }

    /// Where devices come over TCP.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|(_, address)| *address)
    }
}

/// Binds a TCP port; its number is known then.
pub fn bind(port: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let failed = |source| GatewayError::Listen { port, address, source };
    let listener = connector::listen(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn bind_quic(
    config: &Config,
    identity: &Identity,
    address: SocketAddr,
) -> Result<(quinn::Endpoint, SocketAddr), GatewayError> {
    let silence = Duration::from_millis(3 * u64::from(config.limits.heartbeat_ms));
    let failed = |source| GatewayError::Listen { port: "QUIC (UDP)", address, source };
    let endpoint = connector::quic::bind(identity, address, silence).map_err(failed)?;
    let address = endpoint.local_addr().map_err(failed)?;
    Ok((endpoint, address))
}

fn server_config(
    identity: Option<&Identity>,
    r#use: Use,
) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
    identity.map(|identity| identity.server_config(r#use)).transpose()
}
