//! Which servers are believed: the system's roots, or the certificates that the application names.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::ConnectError;

/// Roots of trust. Empty means the system's.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Trusts exactly what was added: every certificate of a PEM text, or one in DER.
    pub fn add(&mut self, pem_or_der: &[u8]) -> Result<(), ConnectError> {
        let text = pem_or_der.trim_ascii_start();
        if !text.starts_with(b"-----BEGIN") {
            self.certificates.push(CertificateDer::from(pem_or_der.to_vec()));
            return Ok(());
        }
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let read = read.map_err(|error| ConnectError::Tls(error.to_string()))?;
        if read.is_empty() {
            return Err(ConnectError::Tls("the PEM text holds no certificate".into()));
        }
        self.certificates.extend(read);
        Ok(())
    }

    /// A TLS configuration that offers these protocols.
    pub fn config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, ConnectError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(tls)?;
        let mut config = builder.with_root_certificates(self.roots()?).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, ConnectError> {
        let mut roots = RootCertStore::empty();
        if self.certificates.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
        for certificate in &self.certificates {
            roots.add(certificate.clone()).map_err(tls)?;
        }
        if roots.is_empty() {
            return Err(ConnectError::Tls("the system has no trusted certificates; name one".into()));
        }
        Ok(roots)
    }
}

fn tls(error: rustls::Error) -> ConnectError {
    ConnectError::Tls(error.to_string())
}
