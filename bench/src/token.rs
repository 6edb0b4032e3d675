//! Tokens for the devices of a load test.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

pub const ISSUER: &str = "bench";
pub const AUDIENCE: &str = "whimbrel";
pub const KID: &str = "bench";
/// Known to everybody: the gateway under test lives for one run, on loopback.
pub const SECRET: &str = "a load test's secret, known to everybody";
/// The tenant of every device.
pub const TENANT: &str = "bench";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    tenant: &'a str,
    sub: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// A token for `user`, valid for a day.
pub fn token(user: &str) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims {
        iss: ISSUER,
        aud: AUDIENCE,
        tenant: TENANT,
        sub: user,
        iat: now - 60,
        nbf: now - 60,
        exp: now + 86_400,
    };
    let header = Header { kid: Some(KID.into()), ..Header::new(Algorithm::HS256) };
    Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}
