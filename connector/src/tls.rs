//! TLS for the device port, the HTTP port and QUIC: one identity, one configuration per use.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::preface;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;

use crate::tls_stream::TlsStream;

/// ALPN protocol name on the HTTP port.
pub const HTTP_ALPN: &[u8] = b"http/1.1";

/// The names a self-signed certificate is for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate chain and its key, which belong together.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

/// Shows neither key nor certificate.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.0.cert.len()).finish_non_exhaustive()
    }
}

/// A fresh identity for development, with its certificate for clients to pin.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    pub identity: Identity,
    pub certificate_pem: String,
    pub certificate_der: CertificateDer<'static>,
}

/// What a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The device TCP port: ALPN `whimbrel/1`.
    Device,
    /// The HTTP port: ALPN `http/1.1`.
    Http,
    /// The QUIC port: ALPN `whimbrel/1`, TLS 1.3 only.
    Quic,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the certificate file {}: {source}", path.display())]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("the certificate file {} holds no PEM certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("cannot read a private key from {}: {source}", path.display())]
    Key { path: PathBuf, source: pem::Error },
    #[error("the key in {} is not usable with the certificate in {}: {source}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl Identity {
    /// Reads a certificate chain (leaf first) and its private key (PKCS#8, PKCS#1 or SEC1) from PEM files.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_chain(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Self::new(chain, private).map_err(|source| TlsError::Mismatch { certificate, key, source })
    }

    /// Makes a certificate for localhost, 127.0.0.1 and ::1, signed with its own key. For development only.
    pub fn self_signed() -> Result<SelfSigned, TlsError> {
        let made = rcgen::generate_simple_self_signed(LOCAL_NAMES.map(String::from))?;
        let certificate_der = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let identity = Self::new(vec![certificate_der.clone()], key.into())?;
        Ok(SelfSigned { identity, certificate_pem: made.cert.pem(), certificate_der })
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, rustls::Error> {
        Ok(Self(Arc::new(CertifiedKey::from_der(chain, key, &ring::default_provider())?)))
    }

    /// The configuration for one use.
    ///
    /// Resumption is by one ticket that the server does not remember, so a session that ended costs no memory; early
    /// data is off, because it can be replayed.
    pub fn server_config(&self, r#use: Use) -> Result<Arc<ServerConfig>, TlsError> {
        let (versions, alpn): (&[_], _) = match r#use {
            Use::Device => (&[&TLS13, &TLS12], preface::ALPN),
            Use::Http => (&[&TLS13, &TLS12], HTTP_ALPN),
            Use::Quic => (&[&TLS13], preface::ALPN),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&self.0))));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

/// Does the TLS handshake on a connection, within the deadline.
pub async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    deadline: Duration,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    let handshake = Box::pin(TlsStream::accept(config, stream));
    match tokio::time::timeout(deadline, handshake).await {
        Ok(stream) => Ok(Box::new(stream?)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|source| TlsError::Certificate { path: path.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a fresh certificate and key as `name.crt` and `name.key`.
    fn write_pair(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = directory.join(name).with_extension("crt");
        let key = directory.join(name).with_extension("key");
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn a_pair_loads_and_shows_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(directory.path(), "a");
        let identity = Identity::from_pem_files(&certificate, &key).unwrap();
        assert_eq!(format!("{identity:?}"), "Identity { certificates: 1, .. }");
        for (r#use, alpn) in
            [(Use::Device, preface::ALPN), (Use::Http, HTTP_ALPN), (Use::Quic, preface::ALPN)]
        {
            let config = identity.server_config(r#use).unwrap();
            assert_eq!(config.alpn_protocols, [alpn]);
            assert_eq!(config.max_early_data_size, 0, "early data can be replayed");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(directory.path(), "a");
        let (_, other_key) = write_pair(directory.path(), "b");
        let absent = directory.path().join("absent.pem");

        let error = Identity::from_pem_files(&absent, &key).unwrap_err();
        assert!(matches!(&error, TlsError::Certificate { path, .. } if *path == absent));
        assert!(error.to_string().contains("absent.pem"), "{error}");
        let error = Identity::from_pem_files(&key, &key).unwrap_err();
        assert!(matches!(&error, TlsError::NoCertificate { path } if *path == key), "{error}");
        let error = Identity::from_pem_files(&certificate, &absent).unwrap_err();
        assert!(matches!(&error, TlsError::Key { path, .. } if *path == absent), "{error}");
        let error = Identity::from_pem_files(&certificate, &certificate).unwrap_err();
        assert!(matches!(&error, TlsError::Key { path, .. } if *path == certificate), "{error}");
        let error = Identity::from_pem_files(&certificate, &other_key).unwrap_err();
        assert!(matches!(&error, TlsError::Mismatch { key, .. } if *key == other_key), "{error}");
    }
}
