//! A key that tokens are signed with. Its id names it; it has one algorithm.

use std::fmt;

use jsonwebtoken::{DecodingKey, EncodingKey};

/// Fewest bytes of an HS256 secret: as many as the hash has (RFC 7518 section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
/// Most bytes of a key id.
pub const MAX_KID_BYTES: usize = 64;

/// The algorithms a key may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever verifies can also sign.
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// One key. `Debug` shows the id and the algorithm alone.
#[derive(Clone)]
pub struct Key {
    kid: String,
    algorithm: Algorithm,
    decoding: DecodingKey,
    // Only a shared secret can also sign.
    encoding: Option<EncodingKey>,
}

/// Why something is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("kid has {0} bytes, it must have 1 to {MAX_KID_BYTES}")]
    BadKeyId(usize),
    #[error(
        "the secret has {0} bytes, HS256 needs at least {MIN_SECRET_BYTES}; make one with `openssl rand -hex 32`"
    )]
    ShortSecret(usize),
    #[error("not a PEM public key for {0}; it starts with -----BEGIN PUBLIC KEY-----")]
    NotAPublicKey(&'static str),
}

impl Algorithm {
    /// The name in a token's `alg` and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm with exactly this name.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        [Algorithm::Hs256, Algorithm::Es256, Algorithm::EdDsa].into_iter().find(|known| known.name() == name)
    }

    fn in_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl Key {
    /// A shared secret of at least [`MIN_SECRET_BYTES`].
    pub fn hs256(kid: impl Into<String>, secret: &[u8]) -> Result<Key, KeyError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        let encoding = Some(EncodingKey::from_secret(secret));
        Key::new(kid.into(), Algorithm::Hs256, DecodingKey::from_secret(secret), encoding)
    }

    /// A public key in PEM, for [`Algorithm::Es256`] or [`Algorithm::EdDsa`].
    pub fn public(kid: impl Into<String>, algorithm: Algorithm, pem: &[u8]) -> Result<Key, KeyError> {
        let decoding = match algorithm {
            Algorithm::Hs256 => None,
            Algorithm::Es256 => {
                DecodingKey::from_ec_pem(pem).ok().filter(|key| has_bytes(key, P256_POINT_BYTES))
            }
            Algorithm::EdDsa => {
                DecodingKey::from_ed_pem(pem).ok().filter(|key| has_bytes(key, ED25519_BYTES))
            }
        };
        let not_a_key = KeyError::NotAPublicKey(algorithm.name());
        let decoding = decoding.filter(|_| is_public(pem)).ok_or(not_a_key.clone())?;
        let key = Key::new(kid.into(), algorithm, decoding, None)?;
        // The library builds its verifier at each use; one that cannot be built has to be known now.
        jsonwebtoken::crypto::verify("", b"", &key.decoding, algorithm.in_jsonwebtoken())
            .map_err(|_| not_a_key)?;
        Ok(key)
    }

    /// What a token's header names.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm of tokens signed with this key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` (base64url) is this key's over `signed`.
    pub(super) fn verifies(&self, signed: &[u8], signature: &str) -> bool {
        let outcome =
            jsonwebtoken::crypto::verify(signature, signed, &self.decoding, self.algorithm.in_jsonwebtoken());
        outcome.unwrap_or(false)
    }

    /// This key's signature (base64url) over `signed`; `None` for a key that only verifies.
    pub(super) fn sign(&self, signed: &[u8]) -> Option<String> {
        jsonwebtoken::crypto::sign(signed, self.encoding.as_ref()?, self.algorithm.in_jsonwebtoken()).ok()
    }

    fn new(
        kid: String,
        algorithm: Algorithm,
        decoding: DecodingKey,
        encoding: Option<EncodingKey>,
    ) -> Result<Key, KeyError> {
        if kid.is_empty() || kid.len() > MAX_KID_BYTES {
            return Err(KeyError::BadKeyId(kid.len()));
        }
        Ok(Key { kid, algorithm, decoding, encoding })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

// An uncompressed point: 0x04, x, y.
const P256_POINT_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

fn has_bytes(key: &DecodingKey, count: usize) -> bool {
    key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == count)
}

// The library also takes the key out of a certificate, whose validity nobody here would check.
fn is_public(pem: &[u8]) -> bool {
    pem.windows(BEGIN.len()).any(|window| window == BEGIN)
}

const BEGIN: &[u8] = b"-----BEGIN PUBLIC KEY-----";
