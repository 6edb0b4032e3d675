//! Tokens for the devices of a load test.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

/// Who signs tokens, and for whom. The default is what a gateway that a verb starts by itself believes.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
pub struct Minter {
    /// HS256 secret that a foreign --server believes; its configuration has it
    #[arg(long = "token-secret", default_value = SECRET, hide_default_value = true)]
    pub secret: String,
    /// Key id of that secret
    #[arg(long = "token-kid", default_value = "bench")]
    pub kid: String,
    /// Issuer that the server believes
    #[arg(long = "token-issuer", default_value = "bench")]
    pub issuer: String,
    /// Audience that the server is
    #[arg(long = "token-audience", default_value = "whimbrel")]
    pub audience: String,
    /// Tenant of every device
    #[arg(long, default_value = "bench")]
    pub tenant: String,
    /// The run's own number in every user's name: a foreign server may still have what an earlier run has left there.
    #[arg(skip = Some(rand::random()))]
    run: Option<u32>,
}

/// Known to everybody: the gateway under test lives for one run, on loopback.
const SECRET: &str = "a load test's secret, known to everybody";

impl Default for Minter {
    fn default() -> Self {
        Minter {
            secret: SECRET.into(),
            kid: "bench".into(),
            issuer: "bench".into(),
            audience: "whimbrel".into(),
            tenant: "bench".into(),
            // A server of its own has no earlier run.
            run: None,
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    tenant: &'a str,
    sub: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Minter {
    /// What the server knows `user` by.
    pub fn name(&self, user: &str) -> String {
        self.run.map_or_else(|| user.to_owned(), |run| format!("{user}-{run:08x}"))
    }

    /// A token for `user`, valid for a day.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            tenant: &self.tenant,
            sub: self.name(user),
            iat: now - 60,
            nbf: now - 60,
            exp: now + 86_400,
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(self.secret.as_bytes()))?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        minter: Minter,
    }

    #[test]
    fn each_run_has_users_of_its_own_and_all_its_processes_know_them() {
        let run = || Words::parse_from(["bench"]).minter;
        let (one, other) = (run(), run());
        assert_ne!(one.name("r1"), other.name("r1"));
        let told: Minter = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        assert_eq!(told.name("r1"), one.name("r1"));
        assert_eq!(Minter::default().name("r1"), "r1", "a server of its own has no earlier run");
    }

    #[test]
    fn a_token_is_for_the_user_of_the_run() {
        let minter = Words::parse_from(["bench"]).minter;
        let token = minter.token("r1").unwrap();
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
        let mut wanted = jsonwebtoken::Validation::new(Algorithm::HS256);
        wanted.set_audience(&["whimbrel"]);
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &wanted).unwrap().claims;
        assert_eq!(claims["sub"], minter.name("r1"));
    }
}
