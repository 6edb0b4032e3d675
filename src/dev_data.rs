//! What `whimbrel dev` keeps in its data directory, and how other commands find it there.
//!
//! | file | what it is |
//! |---|---|
//! | `dev-secret` | the HS256 secret that signs the tokens of the seeded users |
//! | `dev-cert.pem`, `dev-key.pem` | the self-signed certificate of the QUIC port |
//! | `dev.json` | where the gateway listens, or listened last |
//! | `store/` | the embedded store |

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use connector::auth::{AuthConfig, Key, KeyError, MintError, NewClaims, mint};
use connector::tls::{Identity as Certificate, TlsError};
use protocol::node::v1::Identity;
use protocol::v1::Role;
use serde::{Deserialize, Serialize};

use crate::private_file;

/// The tenant of the seeded users.
pub const TENANT: &str = "demo";
/// The directory where none is named.
pub const DEFAULT_DIR: &str = "whimbrel-data";
/// Seeded users: id, name, role.
pub const USERS: [(&str, &str, Role); 4] = [
    ("alice", "Alice", Role::Member),
    ("bob", "Bob", Role::Member),
    ("ada", "Ada (support)", Role::Agent),
    ("vera", "Vera (visitor)", Role::Visitor),
];

const SECRET: &str = "dev-secret";
const CERT: &str = "dev-cert.pem";
const KEY: &str = "dev-key.pem";
const ADDRESSES: &str = "dev.json";
const ISSUER: &str = "whimbrel-dev";
const AUDIENCE: &str = "whimbrel";
const KID: &str = "dev";
/// The names that the development certificate is for.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The data directory of a development gateway.
#[derive(Debug)]
pub struct DevData {
    dir: PathBuf,
    key: Key,
}

/// Where a gateway listens; `None` for what is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub tcp: Option<SocketAddr>,
    pub quic: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
}

/// Why the directory is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DevDataError {
    #[error("{} is no data directory of `whimbrel dev`; start `whimbrel dev` first, or name its --data", .0.display())]
    NotThere(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}; remove the file to get a new one", path.display())]
    BadSecret { path: PathBuf, source: KeyError },
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl DevData {
    /// Makes the directory and what is missing in it.
    pub fn create(dir: &Path) -> Result<DevData, DevDataError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let (secret, cert, key) = (dir.join(SECRET), dir.join(CERT), dir.join(KEY));
        private_file::create(&secret, hex(&rand::random::<[u8; 32]>()).as_bytes()).map_err(at(&secret))?;
        if !cert.exists() {
            let made = rcgen::generate_simple_self_signed(LOOPBACK_NAMES.map(String::from))?;
            private_file::replace(&key, made.signing_key.serialize_pem().as_bytes()).map_err(at(&key))?;
            private_file::replace(&cert, made.cert.pem().as_bytes()).map_err(at(&cert))?;
        }
        DevData::open(dir)
    }

    /// Opens a directory that `whimbrel dev` has made.
    pub fn open(dir: &Path) -> Result<DevData, DevDataError> {
        let path = dir.join(SECRET);
        let secret = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DevDataError::NotThere(dir.to_owned()),
            _ => DevDataError::Io { path: path.clone(), source },
        })?;
        let key = Key::hs256(KID, secret.trim().as_bytes());
        let key = key.map_err(|source| DevDataError::BadSecret { path, source })?;
        Ok(DevData { dir: dir.to_owned(), key })
    }

    /// What the gateway accepts.
    pub fn auth(&self) -> AuthConfig {
        AuthConfig { issuer: ISSUER.into(), audience: AUDIENCE.into(), keys: vec![self.key.clone()] }
    }

    /// A token that holds for `ttl_s` seconds from `now_s`, seconds since 1970.
    pub fn token(&self, identity: Identity, now_s: i64, ttl_s: i64) -> Result<String, MintError> {
        let claims = NewClaims {
            identity,
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            issued_s: now_s,
            expires_s: now_s.saturating_add(ttl_s),
        };
        mint(&self.key, &claims)
    }

    /// The certificate of the QUIC port.
    pub fn certificate(&self) -> Result<Certificate, DevDataError> {
        Ok(Certificate::from_pem_files(&self.certificate_path(), &self.dir.join(KEY))?)
    }

    /// The certificate's file, for clients that trust it by name.
    pub fn certificate_path(&self) -> PathBuf {
        self.dir.join(CERT)
    }

    /// Leaves word of where the gateway listens.
    pub fn put_addresses(&self, addresses: &Addresses) -> Result<(), DevDataError> {
        let path = self.dir.join(ADDRESSES);
        let text = serde_json::to_vec_pretty(addresses).map_err(|error| at(&path)(error.into()))?;
        private_file::replace(&path, &text).map_err(at(&path))
    }

    /// Where the gateway listens, or listened last; `None` before its first start.
    pub fn addresses(&self) -> Option<Addresses> {
        serde_json::from_slice(&std::fs::read(self.dir.join(ADDRESSES)).ok()?).ok()
    }
}

/// A seeded user as a token names it; for any other id a member of the same tenant.
pub fn identity(user: &str) -> Identity {
    let seeded = USERS.into_iter().find(|(id, _, _)| *id == user);
    let (_, name, role) = seeded.unwrap_or((user, "", Role::Member));
    Identity { tenant: TENANT.into(), user: user.into(), name: name.into(), role: role.into() }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DevDataError {
    let path = path.to_owned();
    move |source| DevDataError::Io { path, source }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use connector::auth::Verifier;

    use super::*;

    #[test]
    fn a_second_start_keeps_secret_and_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().join("data");
        assert!(matches!(DevData::open(&dir), Err(DevDataError::NotThere(_))));
        let first = DevData::create(&dir).unwrap();
        let token = first.token(identity("ada"), 1_000, 60).unwrap();
        let cert = std::fs::read(first.certificate_path()).unwrap();
        let second = DevData::create(&dir).unwrap();
        assert_eq!(std::fs::read(second.certificate_path()).unwrap(), cert);
        second.certificate().unwrap();
        let verified = Verifier::new(second.auth()).unwrap().verify(&token, 1_000_000).unwrap();
        assert_eq!(verified.identity, identity("ada"));
        assert_eq!(verified.identity.role(), Role::Agent);
        assert!(second.addresses().is_none());
        let addresses = Addresses { tcp: Some(([127, 0, 0, 1], 7400).into()), ..Addresses::default() };
        second.put_addresses(&addresses).unwrap();
        assert_eq!(first.addresses(), Some(addresses));
    }
}
