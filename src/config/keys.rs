//! The keys of `[[auth.keys]]` and the password of `[cql]`, read from their files.

use std::path::Path;

use connector::auth::{Algorithm, AuthConfig, Key, Verifier};

use super::load::Loaded;
use super::origin::Origin;
use super::problem::Problem;
use super::sections::{AuthKey, Cql};

/// The configured keys, and what is wrong with those that are missing from the list.
pub fn keys(loaded: &Loaded) -> (Vec<Key>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut keys = Vec::new();
    for (index, entry) in loaded.config.auth.keys.iter().enumerate() {
        let at = loaded.origins.of(&format!("auth.keys[{index}]"));
        let named = |message: String| format!("auth.keys, kid \"{}\": {message}", entry.kid);
        match key(entry, &at, &mut problems) {
            Ok(key) => keys.push(key),
            Err(message) => problems.push(Problem::error(at, named(message))),
        }
    }
    (keys, problems)
}

/// The verifier of the configured keys.
pub fn verifier(loaded: &Loaded) -> Result<Verifier, Vec<Problem>> {
    let (keys, problems) = keys(loaded);
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let auth = &loaded.config.auth;
    let config = AuthConfig { issuer: auth.issuer.clone(), audience: auth.audience.clone(), keys };
    Verifier::new(config)
        .map_err(|error| vec![Problem::error(loaded.origins.of("auth.keys"), format!("auth: {error}"))])
}

fn key(entry: &AuthKey, at: &Origin, problems: &mut Vec<Problem>) -> Result<Key, String> {
    let algorithm = Algorithm::from_name(&entry.algorithm)
        .ok_or_else(|| "algorithm must be \"HS256\", \"ES256\" or \"EdDSA\"".to_owned())?;
    if algorithm == Algorithm::Hs256 {
        let secret = secret(entry, at, problems)?;
        return Key::hs256(&entry.kid, secret.as_bytes()).map_err(|error| error.to_string());
    }
    if !entry.secret.expose().is_empty() || entry.secret_file.get().is_some() {
        return Err(format!("{} takes a public_key_file, not a secret", algorithm.name()));
    }
    let path = entry.public_key_file.get();
    let path = path.ok_or_else(|| format!("{} needs public_key_file, a PEM file", algorithm.name()))?;
    Key::public(&entry.kid, algorithm, read(path)?.as_bytes())
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn secret(entry: &AuthKey, at: &Origin, problems: &mut Vec<Problem>) -> Result<String, String> {
    if entry.public_key_file.get().is_some() {
        return Err("HS256 takes secret or secret_file, not a public key".into());
    }
    match (entry.secret.expose(), entry.secret_file.get()) {
        ("", None) => Err("HS256 needs secret or secret_file; make one with `openssl rand -hex 32`".into()),
        ("", Some(path)) => {
            let secret = read(path)?;
            problems.extend(readable_by_others(path, at));
            Ok(secret.trim().to_owned())
        }
        (secret, None) => Ok(secret.to_owned()),
        (_, Some(_)) => Err("secret and secret_file are both set; remove one".into()),
    }
}

/// The password of `[cql]`; `None` where nobody asks for one.
pub fn password(cql: &Cql) -> Result<Option<String>, String> {
    let password = match (cql.password.expose(), cql.password_file.get()) {
        ("", None) => None,
        ("", Some(path)) => Some(read(path)?.trim().to_owned()),
        (password, None) => Some(password.to_owned()),
        (_, Some(_)) => return Err("cql.password and cql.password_file are both set; remove one".into()),
    };
    match (cql.user.is_empty(), &password) {
        (false, None) => Err("cql.user is set; set cql.password or cql.password_file too".into()),
        (true, Some(_)) => Err("cql.password is set; set cql.user too".into()),
        _ => Ok(password),
    }
}

/// A warning for a file with a secret that everybody on the machine can read.
pub fn readable_by_others(path: &Path, at: &Origin) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let message = || format!("{0} is readable by everybody; run `chmod 600 {0}`", path.display());
    (mode & 0o004 != 0).then(|| Problem::warning(at.clone(), message()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
