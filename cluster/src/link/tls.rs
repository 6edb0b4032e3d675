//! TLS between nodes: both sides show a certificate of the cluster's own CA, which says what its holder may be.

use std::io;
use std::path::Path;
use std::sync::Arc;

use idgen::NodeType;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::stream::Stream;

/// The URI among a certificate's names that lets its holder be a connector.
pub const CONNECTOR_URI: &str = "whimbrel:connector";
/// The one that lets it be a channel node.
pub const CHANNEL_URI: &str = "whimbrel:channel";

/// How long a caller whose certificate is refused may take to hear so, and reads of what it says meanwhile.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);
const MAX_SCRAPS: usize = 64;

/// Certificate, key and CA of a node.
#[derive(Clone)]
pub struct LinkTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl std::fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkTls")
    }
}

/// Why files make no TLS.
#[derive(Debug, thiserror::Error)]
pub enum LinkTlsError {
    #[error("{path}: {source}")]
    File { path: String, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate")]
    Empty { path: String },
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the CA makes no verifier: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl LinkTls {
    /// Reads PEM files: the node's certificate with its chain, its key, and the CA that both sides must be of.
    pub fn from_pem_files(cert: &Path, key: &Path, ca: &Path) -> Result<LinkTls, LinkTlsError> {
        let chain = certificates(cert)?;
        let failed = |source| LinkTlsError::File { path: key.display().to_string(), source };
        let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
        let mut roots = RootCertStore::empty();
        certificates(ca)?.into_iter().try_for_each(|one| roots.add(one))?;
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(LinkTls { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }

    /// The dialled side of a handshake, and what the caller's certificate lets it be.
    pub async fn accept<S: Stream>(&self, socket: S) -> io::Result<(server::TlsStream<S>, NodeType)> {
        match self.acceptor.accept(socket).into_fallible().await {
            Ok(stream) => {
                let role = role(stream.get_ref().1.peer_certificates());
                Ok((stream, role))
            }
            Err((error, socket)) => {
                linger(socket).await;
                Err(error)
            }
        }
    }

    /// The dialling side; `host` must be among the names of the peer's certificate.
    pub async fn connect<S: Stream>(
        &self,
        host: &str,
        socket: S,
    ) -> io::Result<(client::TlsStream<S>, NodeType)> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = self.connector.connect(name, socket).await?;
        let role = role(stream.get_ref().1.peer_certificates());
        Ok((stream, role))
    }
}

/// Reads on for a moment: the reset that unread bytes cause would overtake the alert that says why.
async fn linger(mut socket: impl Stream) {
    let rest = async {
        _ = socket.shutdown().await;
        let mut scrap = [0; 1_024];
        for _ in 0..MAX_SCRAPS {
            if !matches!(socket.read(&mut scrap).await, Ok(1..)) {
                return;
            }
        }
    };
    _ = tokio::time::timeout(LINGER, rest).await;
}

/// What is wrong with a certificate, if that is why a connection failed.
pub(super) fn explain(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => {
            Some(format!("the other side does not take this node's certificate: {alert:?}"))
        }
        rustls::Error::InvalidCertificate(why) => {
            Some(format!("the other side's certificate is not one of a node of this cluster: {why:?}"))
        }
        _ => None,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LinkTlsError> {
    let failed = |source| LinkTlsError::File { path: path.display().to_string(), source };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let all = all.map_err(failed)?;
    if all.is_empty() { Err(LinkTlsError::Empty { path: path.display().to_string() }) } else { Ok(all) }
}

/// What a certificate that was verified lets its holder be. One that names both roles, or none, is of neither: what
/// is left is a device, which no link takes.
fn role(chain: Option<&[CertificateDer<'_>]>) -> NodeType {
    let end = chain.and_then(|chain| webpki::EndEntityCert::try_from(chain.first()?).ok());
    let uris: Vec<&str> = end.iter().flat_map(|end| end.valid_uri_names()).collect();
    match (uris.contains(&CONNECTOR_URI), uris.contains(&CHANNEL_URI)) {
        (true, false) => NodeType::Connector,
        (false, true) => NodeType::Channel,
        _ => NodeType::Device,
    }
}
