//! `whimbrel token`

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use connector::auth::claims::role_from_name;
use connector::auth::{Algorithm, Key, NewClaims, mint};
use idgen::{Clock, SystemClock};
use protocol::node::v1::Identity;
use protocol::v1::Role;

use super::terminal::say;
use crate::config::{Problem, Problems, Sources, keys, load};
use crate::dev_data::{self, DevData};

const EXAMPLES: &str = "\
Examples:
  whimbrel token --user alice      for the gateway of `whimbrel dev`
  whimbrel token --user eve --name \"Eve\" --role agent --ttl 8h
  whimbrel token --user u17 --tenant shop-4 --config whimbrel.toml

In production the tenant's own backend signs tokens: a JWT whose header has
the key's kid and whose claims are sub (the user), tenant, iss, aud, exp, nbf
or iat, and if wanted name and role.";

/// Print a signed token for a user.
///
/// Without --config it is signed with the secret of `whimbrel dev`, with it by the first HS256 key of the file (or
/// the one that --kid names).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Token {
    /// The user's id
    #[arg(long)]
    user: String,
    /// The tenant's id; without --config it is `demo` if none is named
    #[arg(long)]
    tenant: Option<String>,
    /// The name that others see
    #[arg(long)]
    name: Option<String>,
    /// member, agent or visitor
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// How long it holds: a number and s, m, h or d
    #[arg(long, default_value = "1h", value_parser = ttl)]
    ttl: i64,
    /// Sign with a key of this configuration file
    #[arg(long, value_name = "FILE", requires = "tenant")]
    config: Option<PathBuf>,
    /// Which key of the file
    #[arg(long, requires = "config")]
    kid: Option<String>,
    /// The data directory of `whimbrel dev`
    #[arg(long, value_name = "DIR", default_value = dev_data::DEFAULT_DIR, conflicts_with = "config")]
    data: PathBuf,
}

impl Token {
    pub fn run(self) -> anyhow::Result<()> {
        let now_s = SystemClock.unix_millis() / 1000;
        let token = match &self.config {
            Some(file) => self.with_key_of(file.clone(), now_s)?,
            None => DevData::open(&self.data)?.token(self.identity(), now_s, self.ttl)?,
        };
        Ok(say(&token)?)
    }

    fn with_key_of(&self, file: PathBuf, now_s: i64) -> anyhow::Result<String> {
        let sources =
            Sources { file: Some(file.clone()), environment: load::environment(), flags: Vec::new() };
        let (loaded, mut problems) = load(&sources);
        let (keys, found) = keys::keys(&loaded);
        problems.extend(found);
        problems.retain(Problem::is_error);
        if !problems.is_empty() {
            return Err(Problems(problems).into());
        }
        let key = self.choose(&keys).with_context(|| file.display().to_string())?;
        let auth = &loaded.config.auth;
        let claims = NewClaims {
            identity: self.identity(),
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            issued_s: now_s,
            expires_s: now_s.saturating_add(self.ttl),
        };
        Ok(mint(key, &claims)?)
    }

    fn choose<'k>(&self, keys: &'k [Key]) -> anyhow::Result<&'k Key> {
        if let Some(kid) = &self.kid {
            return keys
                .iter()
                .find(|key| key.kid() == kid)
                .ok_or_else(|| anyhow!("there is no key with kid {kid:?}"));
        }
        if keys.is_empty() {
            bail!("auth.keys is empty; add one with algorithm = \"HS256\" and a secret_file");
        }
        let shared = keys.iter().find(|key| key.algorithm() == Algorithm::Hs256);
        shared.ok_or_else(|| {
            anyhow!("all keys are public ones; their tokens come from whoever holds the private half")
        })
    }

    // A seeded user keeps name and role unless told otherwise.
    fn identity(&self) -> Identity {
        let tenant = self.tenant.as_deref().unwrap_or(dev_data::TENANT);
        let known = if tenant == dev_data::TENANT && self.config.is_none() {
            dev_data::identity(&self.user)
        } else {
            Identity { role: Role::Member.into(), ..Identity::default() }
        };
        Identity {
            tenant: tenant.to_owned(),
            user: self.user.clone(),
            name: self.name.clone().unwrap_or(known.name),
            role: self.role.map_or(known.role, Into::into),
        }
    }
}

fn role(name: &str) -> Result<Role, String> {
    role_from_name(name).ok_or_else(|| "use member, agent or visitor".to_owned())
}

// Seconds in "90s", "15m", "8h", "7d"; a bare number is seconds.
fn ttl(text: &str) -> Result<i64, String> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("use a number and s, m, h or d, such as 15m".to_owned()),
    };
    let count: i64 = digits.parse().map_err(|_| "use a number and s, m, h or d, such as 15m".to_owned())?;
    count
        .checked_mul(seconds)
        .filter(|ttl| *ttl > 0)
        .ok_or_else(|| "the time has to be more than 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::ttl;

    #[test]
    fn times_have_units() {
        assert_eq!(ttl("90"), Ok(90));
        assert_eq!(ttl("15m"), Ok(900));
        assert_eq!(ttl("8h"), Ok(28_800));
        assert_eq!(ttl("7d"), Ok(604_800));
        for bad in ["", "h", "-1s", "1w", "0", "1.5h", "99999999999999999d", "9223372036854775807h", "1 h"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
