//! Signed tokens for any user.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use connector::auth::{Key, NewClaims, mint};
use protocol::node::v1::Identity;
use protocol::v1::Role;

/// The tenant of every test that does not need two.
pub const TENANT: &str = "demo";
/// The key's id in the configuration the harness writes.
pub const KID: &str = "test";
/// Issuer and audience, the defaults of the configuration.
const PARTY: &str = "whimbrel";

/// Signs tokens with the secret that a gateway was started with.
#[derive(Clone)]
pub struct Issuer {
    kid: &'static str,
    name: &'static str,
    secret: String,
}

impl Issuer {
    /// An issuer with a secret of its own.
    pub fn new() -> Issuer {
        let secret = crate::support::history::Hex(&rand::random::<[u8; 32]>()).to_string();
        Issuer { kid: KID, name: PARTY, secret }
    }

    /// The issuer that `whimbrel dev` has made in its data directory.
    pub fn of_dev(data: &Path) -> Issuer {
        let secret = std::fs::read_to_string(data.join("dev-secret")).unwrap();
        Issuer { kid: "dev", name: "whimbrel-dev", secret: secret.trim().to_owned() }
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// A token that holds for three hours, so also where a clock is an hour ahead.
    pub fn token(&self, user: &str) -> String {
        self.lasting(TENANT, user, 3 * 3_600)
    }

    /// A token of any tenant that runs out in so many seconds, or has run out so long ago.
    pub fn lasting(&self, tenant: &str, user: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let identity = Identity {
            tenant: tenant.into(),
            user: user.into(),
            name: String::new(),
            role: Role::Member.into(),
        };
        let claims = NewClaims {
            identity,
            issuer: self.name.into(),
            audience: PARTY.into(),
            issued_s: now.min(now + seconds) - 60,
            expires_s: now + seconds,
        };
        mint(&Key::hs256(self.kid, self.secret.as_bytes()).unwrap(), &claims).unwrap()
    }
}
