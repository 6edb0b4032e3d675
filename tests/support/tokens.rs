//! Signed tokens for any user.

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
#[derive(Clone, Debug)]
pub struct Issuer {
    secret: String,
}

impl Issuer {
    /// An issuer with a secret of its own.
    pub fn new() -> Issuer {
        Issuer { secret: crate::support::history::Hex(&rand::random::<[u8; 32]>()).to_string() }
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// A token that holds for an hour.
    pub fn token(&self, user: &str) -> String {
        self.lasting(TENANT, user, 3_600)
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
            issuer: PARTY.into(),
            audience: PARTY.into(),
            issued_s: now.min(now + seconds) - 60,
            expires_s: now + seconds,
        };
        mint(&Key::hs256(KID, self.secret.as_bytes()).unwrap(), &claims).unwrap()
    }
}
