//! What a token says, and the checks it must pass.

use std::borrow::Cow;

use protocol::check;
use protocol::node::v1::Identity;
use protocol::v1::Role;
use serde::Deserialize;

use super::{AuthConfig, LEEWAY_MS, Rejected, Verified};

/// The claims that count. Others are ignored; one of these twice is an error.
#[derive(Deserialize)]
pub(super) struct Claims<'a> {
    sub: String,
    tenant: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: Option<String>,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Audience<'a>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
}

impl<'a> Claims<'a> {
    /// Reads the decoded payload of a token whose signature matched.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Claims<'a>, Rejected> {
        serde_json::from_slice(payload).map_err(|error| Rejected::BadClaims(error.to_string()))
    }

    /// Checks them all against the configuration and the time.
    pub(super) fn check(self, config: &AuthConfig, now_ms: i64) -> Result<Verified, Rejected> {
        if self.iss != config.issuer {
            return Err(Rejected::WrongClaim("iss"));
        }
        if !self.aud.names(&config.audience) {
            return Err(Rejected::WrongClaim("aud"));
        }
        let expires_ms = self.validity(now_ms)?;
        Ok(Verified { identity: self.identity()?, expires_ms })
    }

    // `nbf` or `iat` says since when; where both stand, both hold.
    fn validity(&self, now_ms: i64) -> Result<i64, Rejected> {
        if self.nbf.is_none() && self.iat.is_none() {
            return Err(Rejected::NoStart);
        }
        let latest_start_ms = now_ms.saturating_add(LEEWAY_MS);
        if self.nbf.into_iter().chain(self.iat).any(|start| millis(start) > latest_start_ms) {
            return Err(Rejected::NotYetValid);
        }
        let expires_ms = millis(self.exp).saturating_add(LEEWAY_MS);
        if expires_ms <= now_ms {
            return Err(Rejected::Expired);
        }
        Ok(expires_ms)
    }

    fn identity(self) -> Result<Identity, Rejected> {
        check::user(&self.sub).map_err(|_| Rejected::WrongClaim("sub"))?;
        check::tenant(&self.tenant).map_err(|_| Rejected::WrongClaim("tenant"))?;
        // A name is shown where titles are and has their shape.
        check::title(&self.name).map_err(|_| Rejected::WrongClaim("name"))?;
        let role = self.role.as_deref().map_or(Some(Role::Member), role_from_name);
        let role = role.ok_or(Rejected::WrongClaim("role"))?.into();
        Ok(Identity { tenant: self.tenant, user: self.sub, name: self.name, role })
    }
}

impl Audience<'_> {
    fn names(&self, audience: &str) -> bool {
        match self {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// The role a token may give: `member`, `agent` or `visitor`. Nobody is an owner by token.
pub fn role_from_name(name: &str) -> Option<Role> {
    [Role::Member, Role::Agent, Role::Visitor].into_iter().find(|role| role_name(*role) == name)
}

/// The name of a role in a token.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Owner => "owner",
        Role::Agent => "agent",
        Role::Visitor => "visitor",
    }
}

// Token times are seconds, perhaps with a fraction; far ones end at the bounds of i64.
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}
