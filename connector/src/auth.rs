//! Who a device is: a signed token (JWT) in, an [`Identity`] out. No clock and no I/O; the caller brings both.
//!
//! | file | noun |
//! |---|---|
//! | [`key`] | a key: its id pins the algorithm |
//! | [`claims`] | what a token says, and the checks it must pass |
//! | [`mint`] | new tokens, for development and tests |
//!
//! The token's own `alg` never chooses the algorithm: `kid` names a configured key, the key has one algorithm, and
//! a token that claims another one is refused before any cryptography.

pub mod claims;
pub mod key;
pub mod mint;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::code::Code;
use protocol::node::v1::Identity;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use claims::Claims;
pub use key::{Algorithm, Key, KeyError};
pub use mint::{MintError, NewClaims, mint};

/// Longest token, in bytes. A whole Hello has no more (`protocol::limit::MAX_HELLO_BYTES`).
pub const MAX_TOKEN_BYTES: usize = 4 * 1024;
/// How far the issuer's clock may differ, in milliseconds, for every time in a token.
pub const LEEWAY_MS: i64 = 5_000;
/// Refusals are logged this far apart, in milliseconds.
const TELL_EVERY_MS: u64 = 1_000;
/// Most keys at once. Two are enough for a rotation.
pub const MAX_KEYS: usize = 64;

/// What a verifier accepts.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The only accepted `iss`.
    pub issuer: String,
    /// Has to be `aud`, or one of `aud`.
    pub audience: String,
    /// At least one. Two are valid at once while keys are rotated.
    pub keys: Vec<Key>,
}

/// Checks tokens. Share it.
#[derive(Debug)]
pub struct Verifier {
    config: AuthConfig,
    told: Told,
}

/// When a refusal was last logged, and how many were not since.
#[derive(Debug)]
struct Told {
    last_ms: AtomicI64,
    untold: AtomicU64,
}

/// A token that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub identity: Identity,
    /// When the token stops being accepted, milliseconds since 1970: `exp` and the leeway. Later than the `now`
    /// it was verified at.
    pub expires_ms: i64,
}

/// Why a token is refused. Devices get [`Rejected::code`] only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("there is no token")]
    Empty,
    #[error("the token has {0} bytes, the limit is {MAX_TOKEN_BYTES}")]
    TooLong(usize),
    #[error("the token is not three base64url parts of JSON")]
    Malformed,
    #[error("the token's header has no kid")]
    NoKeyId,
    #[error("no configured key has the token's kid")]
    UnknownKey,
    #[error("the token's alg is not that of its key")]
    WrongAlgorithm,
    #[error("the token's header lists critical extensions")]
    CriticalExtension,
    #[error("the signature does not match")]
    BadSignature,
    #[error("the claims are incomplete or of the wrong type: {0}")]
    BadClaims(String),
    #[error("neither nbf nor iat is there")]
    NoStart,
    #[error("{0} is not acceptable")]
    WrongClaim(&'static str),
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token has expired")]
    Expired,
}

/// Why a verifier cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthConfigError {
    #[error("there is no key; without one no device can log in")]
    NoKeys,
    #[error("there are {0} keys, the limit is {MAX_KEYS}")]
    TooManyKeys(usize),
    #[error("two keys have the kid {0:?}")]
    SameKeyId(String),
    #[error("issuer is empty")]
    NoIssuer,
    #[error("audience is empty")]
    NoAudience,
}

impl Verifier {
    /// Takes the configuration if it can ever accept a token and each `kid` names one key.
    pub fn new(config: AuthConfig) -> Result<Verifier, AuthConfigError> {
        match config.keys.len() {
            0 => return Err(AuthConfigError::NoKeys),
            count if count > MAX_KEYS => return Err(AuthConfigError::TooManyKeys(count)),
            _ => {}
        }
        if config.issuer.is_empty() {
            return Err(AuthConfigError::NoIssuer);
        }
        if config.audience.is_empty() {
            return Err(AuthConfigError::NoAudience);
        }
        for (at, key) in config.keys.iter().enumerate() {
            if config.keys[..at].iter().any(|other| other.kid() == key.kid()) {
                return Err(AuthConfigError::SameKeyId(key.kid().to_owned()));
            }
        }
        let told = Told { last_ms: AtomicI64::new(i64::MIN), untold: AtomicU64::new(0) };
        Ok(Verifier { config, told })
    }

    /// Who the token's bearer is. The reason of a refusal is logged at INFO, at most one in a second; the token
    /// never is.
    ///
    /// # Errors
    /// TOKEN_REQUIRED for an empty token, TOKEN_EXPIRED, TOKEN_INVALID for everything else.
    pub fn verify(&self, token: &str, now_unix_ms: i64) -> Result<Verified, Code> {
        self.inspect(token, now_unix_ms).map_err(|reason| {
            if let Some(others) = self.told.may_tell(now_unix_ms) {
                let kid = kid_for_log(token);
                tracing::info!(target: "whimbrel::auth", %reason, kid, others, "token refused");
            }
            reason.code()
        })
    }

    /// [`Verifier::verify`] with the reason, for operators and tests.
    pub fn inspect(&self, token: &str, now_unix_ms: i64) -> Result<Verified, Rejected> {
        match token.len() {
            0 => return Err(Rejected::Empty),
            length if length > MAX_TOKEN_BYTES => return Err(Rejected::TooLong(length)),
            _ => {}
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        let mut buffer = [0; DECODED_BYTES];
        let key = self.key_of(decode(header, &mut buffer)?)?;
        if !key.verifies(signed.as_bytes(), signature) {
            return Err(Rejected::BadSignature);
        }
        Claims::parse(decode(payload, &mut buffer)?)?.check(&self.config, now_unix_ms)
    }

    fn key_of(&self, header: &[u8]) -> Result<&Key, Rejected> {
        let header: Header<'_> = serde_json::from_slice(header).map_err(|_| Rejected::Malformed)?;
        if header.has_crit {
            return Err(Rejected::CriticalExtension);
        }
        let kid = header.kid.ok_or(Rejected::NoKeyId)?;
        let key = self.config.keys.iter().find(|key| key.kid() == kid).ok_or(Rejected::UnknownKey)?;
        if header.alg != key.algorithm().name() {
            return Err(Rejected::WrongAlgorithm);
        }
        Ok(key)
    }
}

impl Told {
    // How many were kept quiet, if one may be told now. A clock that was set back silences nothing.
    fn may_tell(&self, now_ms: i64) -> Option<u64> {
        let last = self.last_ms.load(Ordering::Relaxed);
        let mine = now_ms.abs_diff(last) >= TELL_EVERY_MS
            && self.last_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !mine {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

// Whoever sent it chose it, so it is cut, and escaped as `Debug` escapes.
fn kid_for_log(token: &str) -> String {
    let mut buffer = [0; DECODED_BYTES];
    let header = token.split_once('.').filter(|_| token.len() <= MAX_TOKEN_BYTES);
    let header = header.and_then(|(header, _)| decode(header, &mut buffer).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Header<'_>>(header).ok());
    let kid = header.and_then(|header| header.kid).unwrap_or_default();
    kid.chars().take(64).flat_map(char::escape_debug).collect()
}

impl Rejected {
    /// What the device is told.
    pub fn code(&self) -> Code {
        match self {
            Rejected::Empty => Code::TOKEN_REQUIRED,
            Rejected::Expired => Code::TOKEN_EXPIRED,
            _ => Code::TOKEN_INVALID,
        }
    }
}

// Decoding wants room for whole groups of three bytes.
const DECODED_BYTES: usize = MAX_TOKEN_BYTES / 4 * 3 + 3;

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(default)]
    kid: Option<String>,
    /// There is a `crit`, whatever it says: nothing critical is understood here, and `null` is no list either.
    #[serde(default, rename = "crit", deserialize_with = "present")]
    has_crit: bool,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(value).map(|_| true)
}

fn decode<'b>(part: &str, buffer: &'b mut [u8; DECODED_BYTES]) -> Result<&'b [u8], Rejected> {
    let length = URL_SAFE_NO_PAD.decode_slice(part, buffer).map_err(|_| Rejected::Malformed)?;
    Ok(&buffer[..length])
}

#[cfg(test)]
mod tests;
