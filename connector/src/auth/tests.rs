use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};

use super::*;
use protocol::v1::Role;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
const NOW_S: i64 = 1_800_000_000;
const NOW: i64 = NOW_S * 1000;

#[test]
fn a_good_token_names_its_bearer() {
    let token = signed(&claims());
    let verified = verifier().inspect(&token, NOW).unwrap();
    let identity = Identity {
        tenant: "demo".into(),
        user: "alice".into(),
        name: "Alice".into(),
        role: Role::Agent.into(),
    };
    assert_eq!(verified, Verified { identity, expires_ms: NOW + 60_000 + LEEWAY_MS });
}

#[test]
fn name_and_role_are_optional_and_the_audience_may_be_a_list() {
    let mut claims = without("name");
    claims.as_object_mut().unwrap().remove("role");
    claims["aud"] = json!(["other", "gateway"]);
    let identity = verifier().inspect(&signed(&claims), NOW).unwrap().identity;
    assert_eq!((identity.name.as_str(), identity.role()), ("", Role::Member));
}

#[test]
fn what_mint_makes_verifies() {
    let identity = Identity { tenant: "t".into(), user: "u".into(), ..Identity::default() };
    let mut new = NewClaims {
        identity,
        issuer: "issuer".into(),
        audience: "gateway".into(),
        issued_s: NOW_S,
        expires_s: NOW_S + 9,
    };
    let token = mint(&hs256("a", SECRET), &new).unwrap();
    assert_eq!(verifier().inspect(&token, NOW).unwrap().identity, new.identity);
    new.identity.role = Role::Owner.into();
    assert_eq!(mint(&hs256("a", SECRET), &new), Err(MintError::BadRole));
    new.identity.user = "a~b".into();
    assert!(matches!(mint(&hs256("a", SECRET), &new), Err(MintError::Refused(_))));
}

#[test]
fn two_keys_hold_during_a_rotation() {
    let verifier = with_keys(vec![hs256("old", OTHER), hs256("new", SECRET)]);
    for (kid, secret) in [("old", OTHER), ("new", SECRET)] {
        let token = sign_hs(&json!({"alg": "HS256", "kid": kid}), &claims(), secret);
        assert!(verifier.inspect(&token, NOW).is_ok());
    }
    let crossed = sign_hs(&json!({"alg": "HS256", "kid": "old"}), &claims(), SECRET);
    assert_eq!(verifier.inspect(&crossed, NOW), Err(Rejected::BadSignature));
}

#[test]
fn public_keys_verify_and_cannot_mint() {
    for (algorithm, kind) in [(Algorithm::Es256, &PKCS_ECDSA_P256_SHA256), (Algorithm::EdDsa, &PKCS_ED25519)]
    {
        let pair = KeyPair::generate_for(kind).unwrap();
        let key = Key::public("p", algorithm, pair.public_key_pem().as_bytes()).unwrap();
        let verifier = with_keys(vec![key.clone()]);
        let token = sign_pem(algorithm, &pair);
        assert!(verifier.inspect(&token, NOW).is_ok(), "{algorithm:?}");
        let stranger = sign_pem(algorithm, &KeyPair::generate_for(kind).unwrap());
        assert_eq!(verifier.inspect(&stranger, NOW), Err(Rejected::BadSignature));
        assert_eq!(key.sign(b"x"), None);
    }
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = pair.public_key_pem();
    let verifier = with_keys(vec![Key::public("a", Algorithm::Es256, pem.as_bytes()).unwrap()]);
    // The public key used as an HMAC secret, in both forms an attacker may try.
    for secret in [pem.as_bytes(), &pair.subject_public_key_info()] {
        let token = sign_hs(&json!({"alg": "HS256", "kid": "a"}), &claims(), secret);
        assert_eq!(verifier.inspect(&token, NOW), Err(Rejected::WrongAlgorithm));
        let lying = sign_hs(&json!({"alg": "ES256", "kid": "a"}), &claims(), secret);
        assert_eq!(verifier.inspect(&lying, NOW), Err(Rejected::BadSignature));
    }
}

#[test]
fn unsigned_tokens_are_refused() {
    for alg in ["none", "None", "NONE", "", "RS256", "HS512", "hs256"] {
        let header = json!({"alg": alg, "kid": "a"});
        let unsigned = format!("{}.{}.", encoded(&header), encoded(&claims()));
        assert_eq!(verifier().inspect(&unsigned, NOW), Err(Rejected::WrongAlgorithm), "{alg}");
        let signed = sign_hs(&header, &claims(), SECRET);
        assert_eq!(verifier().inspect(&signed, NOW), Err(Rejected::WrongAlgorithm), "{alg}");
    }
    let bare = format!("{}.{}.", encoded(&json!({"alg": "HS256", "kid": "a"})), encoded(&claims()));
    assert_eq!(verifier().inspect(&bare, NOW), Err(Rejected::BadSignature));
}

#[test]
fn the_header_names_a_known_key_and_nothing_critical() {
    let header = |header: Value| verifier().inspect(&sign_hs(&header, &claims(), SECRET), NOW).unwrap_err();
    assert_eq!(header(json!({"alg": "HS256"})), Rejected::NoKeyId);
    assert_eq!(header(json!({"alg": "HS256", "kid": "b"})), Rejected::UnknownKey);
    assert_eq!(header(json!({"alg": "HS256", "kid": ""})), Rejected::UnknownKey);
    assert_eq!(header(json!({"alg": "HS256", "kid": 1})), Rejected::Malformed);
    assert_eq!(header(json!({"kid": "a"})), Rejected::Malformed);
    for crit in [json!(["x"]), json!([]), json!(null), json!(false), json!(""), json!({})] {
        let refused = header(json!({"alg": "HS256", "kid": "a", "crit": crit}));
        assert_eq!(refused, Rejected::CriticalExtension, "{crit}");
    }
}

#[test]
fn times_are_checked_against_the_given_now() {
    let at = |claims: &Value, now| verifier().inspect(&signed(claims), now).map(|_| ());
    let end = NOW + 60_000 + LEEWAY_MS;
    assert_eq!(at(&claims(), end - 1), Ok(()));
    assert_eq!(at(&claims(), end), Err(Rejected::Expired));
    let start = NOW - LEEWAY_MS;
    assert_eq!(at(&claims(), start), Ok(()));
    assert_eq!(at(&claims(), start - 1), Err(Rejected::NotYetValid));
    assert_eq!(at(&with("iat", json!(NOW_S + 6)), NOW), Err(Rejected::NotYetValid));
    assert_eq!(at(&with("nbf", json!(NOW_S + 6)), NOW), Err(Rejected::NotYetValid));
    assert_eq!(at(&with("exp", json!(1e300)), NOW), Ok(()));
    assert_eq!(at(&with("exp", json!(-1e300)), NOW), Err(Rejected::Expired));
    assert_eq!(at(&with("exp", json!(NOW_S as f64 + 0.5)), NOW + 5_499), Ok(()));
    assert_eq!(verifier().verify(&signed(&claims()), end), Err(Code::TOKEN_EXPIRED));
    // Extreme clocks neither panic nor wrap around.
    assert!(at(&claims(), i64::MAX).is_err());
    assert!(at(&claims(), i64::MIN).is_err());
}

#[test]
fn every_claim_that_counts_is_required() {
    for claim in ["sub", "tenant", "exp", "iss", "aud"] {
        let refused = verifier().inspect(&signed(&without(claim)), NOW).unwrap_err();
        assert!(matches!(&refused, Rejected::BadClaims(why) if why.contains(claim)), "{claim}: {refused}");
        assert_eq!(refused.code(), Code::TOKEN_INVALID);
    }
    assert!(verifier().inspect(&signed(&without("nbf")), NOW).is_ok());
    assert!(verifier().inspect(&signed(&without("iat")), NOW).is_ok());
    let mut neither = without("nbf");
    neither.as_object_mut().unwrap().remove("iat");
    assert_eq!(verifier().inspect(&signed(&neither), NOW), Err(Rejected::NoStart));
}

#[test]
fn claims_have_to_fit() {
    let bad = |claim, value| verifier().inspect(&signed(&with(claim, value)), NOW).unwrap_err();
    for (claim, value) in [
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["gatewa", "gateway2"])),
        ("sub", json!("")),
        ("sub", json!("a~b")),
        ("sub", json!("x".repeat(65))),
        ("tenant", json!("")),
        ("tenant", json!("a\nb")),
        ("name", json!("x".repeat(257))),
        ("role", json!("owner")),
        ("role", json!("Agent")),
    ] {
        assert_eq!(bad(claim, value.clone()), Rejected::WrongClaim(claim), "{claim} {value}");
    }
    for (claim, value) in
        [("sub", json!(1)), ("exp", json!("soon")), ("aud", json!(null)), ("iss", json!(["issuer"]))]
    {
        assert!(matches!(bad(claim, value), Rejected::BadClaims(_)), "{claim}");
    }
}

#[test]
fn a_claim_twice_is_refused() {
    let text = claims().to_string();
    let twice = text.replacen('{', r#"{"sub":"mallory","#, 1);
    let signed =
        format!("{}.{}", encoded(&json!({"alg": "HS256", "kid": "a"})), URL_SAFE_NO_PAD.encode(twice));
    let token = format!("{signed}.{}", hs256("a", SECRET).sign(signed.as_bytes()).unwrap());
    assert!(matches!(verifier().inspect(&token, NOW), Err(Rejected::BadClaims(_))));
}

#[test]
fn every_changed_character_is_noticed() {
    let token = signed(&claims());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verifier().verify(&changed, NOW).is_err(), "character {at}");
    }
    for end in 0..token.len() {
        assert!(verifier().verify(&token[..end], NOW).is_err(), "cut at {end}");
    }
}

#[test]
fn junk_and_length() {
    let code = |token: &str| verifier().verify(token, NOW).unwrap_err();
    assert_eq!(code(""), Code::TOKEN_REQUIRED);
    for junk in [".", "..", "...", "a.b.c", "a.b.c.d", "Bearer x.y.z", "\0\0.\0.\0", "é.é.é", "e30.e30.e30"]
    {
        assert_eq!(code(junk), Code::TOKEN_INVALID, "{junk}");
    }
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(verifier().inspect(&long, NOW), Err(Rejected::TooLong(MAX_TOKEN_BYTES + 1)));
    // The longest part there is fits the buffer.
    assert_eq!(code(&format!("{}..", "A".repeat(MAX_TOKEN_BYTES - 2))), Code::TOKEN_INVALID);
    let padded = format!("{}=.{}", signed(&claims()).split_once('.').unwrap().0, "x.y");
    assert_eq!(code(&padded), Code::TOKEN_INVALID);
}

#[test]
fn keys_that_are_none_are_refused() {
    assert_eq!(Key::hs256("a", &SECRET[1..]).unwrap_err(), KeyError::ShortSecret(31));
    assert_eq!(Key::hs256("", SECRET).unwrap_err(), KeyError::BadKeyId(0));
    assert_eq!(Key::hs256("k".repeat(65), SECRET).unwrap_err(), KeyError::BadKeyId(65));
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    for (algorithm, pem) in [
        (Algorithm::Es256, ed.public_key_pem()),
        (Algorithm::Es256, p384.public_key_pem()),
        (Algorithm::Es256, p256.serialize_pem()),
        (Algorithm::EdDsa, p256.public_key_pem()),
        (Algorithm::EdDsa, ed.serialize_pem()),
        (Algorithm::EdDsa, "junk".into()),
        (Algorithm::Hs256, p256.public_key_pem()),
    ] {
        let refused = Key::public("a", algorithm, pem.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::NotAPublicKey(algorithm.name()));
    }
}

#[test]
fn a_verifier_needs_keys_with_distinct_ids() {
    let new = |keys| Verifier::new(config(keys)).unwrap_err();
    assert_eq!(new(vec![]), AuthConfigError::NoKeys);
    assert_eq!(new(vec![hs256("a", SECRET), hs256("a", OTHER)]), AuthConfigError::SameKeyId("a".into()));
    let nameless = AuthConfig { issuer: String::new(), ..config(vec![hs256("a", SECRET)]) };
    assert_eq!(Verifier::new(nameless).unwrap_err(), AuthConfigError::NoIssuer);
    let nameless = AuthConfig { audience: String::new(), ..config(vec![hs256("a", SECRET)]) };
    assert_eq!(Verifier::new(nameless).unwrap_err(), AuthConfigError::NoAudience);
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?} {:#?}", verifier(), hs256("a", SECRET));
    assert!(shown.contains("Hs256"));
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("48, 49, 50"), "{shown}");
}

fn verifier() -> Verifier {
    with_keys(vec![hs256("a", SECRET)])
}

fn with_keys(keys: Vec<Key>) -> Verifier {
    Verifier::new(config(keys)).unwrap()
}

fn config(keys: Vec<Key>) -> AuthConfig {
    AuthConfig { issuer: "issuer".into(), audience: "gateway".into(), keys }
}

fn hs256(kid: &str, secret: &[u8]) -> Key {
    Key::hs256(kid, secret).unwrap()
}

fn claims() -> Value {
    json!({
        "sub": "alice", "tenant": "demo", "name": "Alice", "role": "agent", "iss": "issuer", "aud": "gateway",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 60, "unknown": {"ignored": true},
    })
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim).unwrap();
    claims
}

fn signed(claims: &Value) -> String {
    sign_hs(&json!({"alg": "HS256", "typ": "JWT", "kid": "a"}), claims, SECRET)
}

// Signs with a secret of any length, as an attacker may.
fn sign_hs(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn sign_pem(algorithm: Algorithm, pair: &KeyPair) -> String {
    let pem = pair.serialize_pem();
    let (library, key) = match algorithm {
        Algorithm::Es256 => {
            (jsonwebtoken::Algorithm::ES256, jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()))
        }
        _ => (jsonwebtoken::Algorithm::EdDSA, jsonwebtoken::EncodingKey::from_ed_pem(pem.as_bytes())),
    };
    let signed = format!("{}.{}", encoded(&json!({"alg": algorithm.name(), "kid": "p"})), encoded(&claims()));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key.unwrap(), library).unwrap();
    format!("{signed}.{signature}")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn one_refusal_in_a_second_is_told_with_the_number_of_the_others() {
    let told = Told { last_ms: AtomicI64::new(i64::MIN), untold: AtomicU64::new(0) };
    let tells: Vec<Option<u64>> =
        [5_000, 5_001, 5_999, 6_000, 7_000, 2_000].map(|now| told.may_tell(now)).into();
    assert_eq!(tells, [Some(0), None, None, Some(2), Some(0), Some(0)]);
}
