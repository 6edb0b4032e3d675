//! New tokens, for development and tests. In production the tenant's own backend signs them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::check::{self, Refused};
use protocol::node::v1::Identity;
use protocol::v1::Role;
use serde::Serialize;

use super::claims::role_name;
use super::{Key, MAX_TOKEN_BYTES};

/// What a new token says.
#[derive(Clone, Debug)]
pub struct NewClaims {
    pub identity: Identity,
    pub issuer: String,
    pub audience: String,
    /// From when the token holds, seconds since 1970; `iat` and `nbf`.
    pub issued_s: i64,
    /// Until when, seconds since 1970; `exp`.
    pub expires_s: i64,
}

/// Why there is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("role must be member, agent or visitor")]
    BadRole,
    #[error("key {0:?} is a public key; tokens for it come from whoever holds its private half")]
    PublicKey(String),
    #[error("the token would have {0} bytes, the limit is {MAX_TOKEN_BYTES}")]
    TooLong(usize),
}

/// A token signed with `key`, which has to be a shared secret.
pub fn mint(key: &Key, claims: &NewClaims) -> Result<String, MintError> {
    let identity = &claims.identity;
    check::user(&identity.user)?;
    check::tenant(&identity.tenant)?;
    check::title(&identity.name)?;
    let role = Role::try_from(identity.role).ok().filter(|role| *role != Role::Owner);
    let payload = Payload {
        sub: &identity.user,
        tenant: &identity.tenant,
        name: &identity.name,
        role: role_name(role.ok_or(MintError::BadRole)?),
        iss: &claims.issuer,
        aud: &claims.audience,
        iat: claims.issued_s,
        nbf: claims.issued_s,
        exp: claims.expires_s,
    };
    let header = Header { alg: key.algorithm().name(), typ: "JWT", kid: key.kid() };
    let signed = format!("{}.{}", part(&header), part(&payload));
    let signature = key.sign(signed.as_bytes()).ok_or_else(|| MintError::PublicKey(key.kid().to_owned()))?;
    let token = format!("{signed}.{signature}");
    if token.len() > MAX_TOKEN_BYTES {
        return Err(MintError::TooLong(token.len()));
    }
    Ok(token)
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Payload<'a> {
    sub: &'a str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    role: &'a str,
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
}

#[expect(clippy::expect_used, reason = "texts and integers always have a JSON form")]
fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("texts and integers"))
}
