//! From an address to a socket that is about to be connected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use protocol::preface::ALPN;
use rustix::io::Errno;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use socket2::{Domain, Protocol, Socket, Type};

use super::layer::Layer;
use super::plan::{self, Plan, Transport};

/// Connections from one loopback address: with more, finding a free port takes long.
const PER_SOURCE: u32 = 8_000;
/// What a stalled device's socket takes, and its segments, so that the server's side fills up soon.
const STALLED_BUFFER: usize = 4_096;
const STALLED_SEGMENT: u32 = 536;

/// Makes sockets and the layers upon them.
pub struct Dialer {
    addresses: Vec<SocketAddr>,
    pub transport: Transport,
    pub tls: Option<Arc<ClientConfig>>,
    /// The name in the server's certificate.
    pub host: String,
}

impl Dialer {
    pub fn of(plan: &Plan) -> anyhow::Result<Dialer> {
        let (transport, certificate, host) = match &plan.speech {
            plan::Speech::Gateway { transport, certificate, host, .. } => {
                (*transport, certificate.as_deref(), host.clone())
            }
            _ => (Transport::Tcp, None, String::new()),
        };
        let tls = match transport.is_secure() {
            true => Some(Arc::new(trusting(certificate.context("TLS and QUIC need --certificate")?)?)),
            false => None,
        };
        if plan.addresses.is_empty() {
            bail!("no address to connect to");
        }
        Ok(Dialer { addresses: plan.addresses.clone(), transport, tls, host })
    }

    /// Where the device with this place among all connects to, once it was sent away so often.
    pub fn address(&self, at: usize, sent_away: usize) -> SocketAddr {
        self.addresses[at.wrapping_add(sent_away) % self.addresses.len()]
    }

    /// A socket under way to its address, and the layer upon it.
    pub fn dial(&self, address: SocketAddr, number: u32, stalled: bool) -> anyhow::Result<(OwnedFd, Layer)> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
        let socket = socket.map_err(explain)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Closing resets: no port is kept for a connection that is gone.
        socket.set_linger(Some(std::time::Duration::ZERO))?;
        if stalled {
            socket.set_recv_buffer_size(STALLED_BUFFER)?;
            socket.set_tcp_mss(STALLED_SEGMENT)?;
        }
        if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && number >= PER_SOURCE {
            socket.bind(&SocketAddr::from((source(number), 0)).into()).map_err(explain)?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                Err(explain(error)).with_context(|| format!("cannot connect to {address}"))
            }
            _ => Ok((socket.into(), self.layer()?)),
        }
    }

    fn layer(&self) -> anyhow::Result<Layer> {
        match (self.transport, &self.tls) {
            (Transport::Tls, Some(tls)) => Layer::tls(tls.clone(), &self.host),
            (Transport::Websocket, _) => Ok(Layer::WebSocket(Box::default())),
            _ => Ok(Layer::Plain),
        }
    }
}

/// The loopback address from which the device with this number connects, whichever process plays it.
fn source(number: u32) -> Ipv4Addr {
    let [_, _, high, low] = (number / PER_SOURCE).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Says what to do where descriptors or ports have run out.
fn explain(error: std::io::Error) -> anyhow::Error {
    let advice = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => "too few file descriptors; `bench doctor` says what to change",
        Some(Errno::ADDRNOTAVAIL) => "no local port is left; `bench doctor` says what to change",
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(advice)
}

/// A client that trusts the certificates of a PEM file.
pub fn trusting(certificate: &std::path::Path) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(certificate);
    for certificate in read.with_context(|| format!("cannot read {}", certificate.display()))? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
