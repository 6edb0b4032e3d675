//! What must hold between values before the gateway starts.

use std::path::Path;
use std::sync::Arc;

use connector::tls::Identity;
use connector::websocket::upgrade::UpgradePolicy;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::keys;
use super::load::Loaded;
use super::origin::Origin;
use super::problem::Problem;
use super::replicas;
use super::setting::{Backend, Consistency, Listen, Plaintext};

/// Most letters of a keyspace's name.
const MAX_KEYSPACE: usize = 48;

/// Everything that keeps `serve` from starting, and warnings.
pub fn validate(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(admin(loaded));
    listeners(loaded, &mut problems);
    certificate(loaded, &mut problems);
    authentication(loaded, &mut problems);
    problems.extend(store(loaded));
    origins(loaded, &mut problems);
    log_level(loaded, &mut problems);
    problems
}

/// What keeps the store from being opened.
pub fn store(loaded: &Loaded) -> Vec<Problem> {
    if loaded.config.store.backend == Backend::Embedded {
        return Vec::new();
    }
    let cql = &loaded.config.cql;
    let mut problems = Vec::new();
    if cql.hosts.is_empty() {
        let message = "cql.hosts is empty; name a node of the cluster, for example [\"10.0.0.1:9042\"]";
        problems.push(Problem::error(loaded.origins.of("cql.hosts"), message));
    }
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let begins = cql.keyspace.starts_with(|first: char| first.is_ascii_lowercase());
    if !begins || cql.keyspace.len() > MAX_KEYSPACE || !cql.keyspace.chars().all(fits) {
        let message = format!(
            "cql.keyspace: \"{}\" is not one word of lower-case letters, digits and underscores, at most {MAX_KEYSPACE}",
            cql.keyspace
        );
        problems.push(Problem::error(loaded.origins.of("cql.keyspace"), message));
    }
    if cql.consistency == Consistency::Local && cql.datacenter.is_empty() {
        let message = "cql.consistency = \"local\" needs cql.datacenter: the majority of which one?";
        problems.push(Problem::error(loaded.origins.of("cql.datacenter"), message));
    }
    if let Err(message) = replicas::read(&cql.replication) {
        problems.push(Problem::error(loaded.origins.of("cql.replication"), message));
    }
    match keys::password(cql) {
        Ok(_) => {
            let file = cql.password_file.get();
            let at = loaded.origins.of("cql.password_file");
            problems.extend(file.and_then(|path| keys::readable_by_others(path, &at)));
        }
        Err(message) => problems.push(Problem::error(loaded.origins.of("cql.password"), message)),
    }
    problems
}

/// What `dev` asks for: nobody on another machine reaches it.
pub fn validate_dev(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let listens = [("tcp", config.tcp.listen), ("quic", config.quic.listen), ("http", config.http.listen)];
    let mut problems = Vec::from_iter(admin(loaded));
    problems.extend(store(loaded));
    for (section, listen) in listens {
        if let Some(address) = listen.0.filter(|address| !address.ip().is_loopback()) {
            let message = format!(
                "{section}.listen = \"{address}\": `whimbrel dev` listens on loopback only, since everybody who reaches \
                 it may sign in; `whimbrel serve` is for other machines"
            );
            problems.push(Problem::error(loaded.origins.of(&format!("{section}.listen")), message));
        }
    }
    origins(loaded, &mut problems);
    log_level(loaded, &mut problems);
    problems
}

/// What `connector` asks for.
pub fn validate_connector(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = validate(loaded);
    cluster(loaded, &mut problems);
    problems
}

/// What `channel` asks for. It has no devices.
pub fn validate_channel(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::from_iter(admin(loaded));
    cluster(loaded, &mut problems);
    let own = &loaded.config.cluster;
    match own.listen.0 {
        None => {
            let message = "cluster.listen is off, so no connector could reach this node";
            problems.push(Problem::error(loaded.origins.of("cluster.listen"), message));
        }
        Some(address) if address.is_ipv6() => {
            let message =
                format!("cluster.listen = \"{address}\": use an IPv4 address; it is part of the node's id");
            problems.push(Problem::error(loaded.origins.of("cluster.listen"), message));
        }
        Some(address) if own.advertise.is_empty() && address.ip().is_unspecified() => {
            let message =
                "cluster.advertise is not set, and cluster.listen is no address that connectors could dial";
            problems.push(Problem::error(loaded.origins.of("cluster.advertise"), message));
        }
        Some(address) => {
            let open = !address.ip().is_loopback() && own.cert.get().is_none();
            if open && own.plaintext == Plaintext::Refuse {
                let message = format!(
                    "cluster.listen = \"{address}\" takes unencrypted links from other machines; set cluster.cert, key and \
                     ca, or plaintext = \"allow\" under [cluster] on a network that is yours alone"
                );
                problems.push(Problem::error(loaded.origins.of("cluster.listen"), message));
            }
        }
    }
    log_level(loaded, &mut problems);
    problems
}

/// What everybody asks for who has to do with a cluster.
pub fn cluster(loaded: &Loaded, problems: &mut Vec<Problem>) {
    let own = &loaded.config.cluster;
    if own.zookeeper.is_empty() {
        let message =
            "cluster.zookeeper is empty; nodes find each other through ZooKeeper (host:port, with commas)";
        problems.push(Problem::error(loaded.origins.of("cluster.zookeeper"), message));
    }
    let set = [&own.cert, &own.key, &own.ca].map(|file| file.get().is_some());
    if set.contains(&true) && set.contains(&false) {
        let message = "cluster.cert, cluster.key and cluster.ca belong together; set all or none";
        problems.push(Problem::error(loaded.origins.of("cluster.cert"), message));
    }
}

fn listeners(loaded: &Loaded, problems: &mut Vec<Problem>) {
    let config = &loaded.config;
    let off = Listen(None);
    if config.tcp.listen == off && config.quic.listen == off && config.http.listen == off {
        let message = "nothing listens; set tcp.listen, quic.listen or http.listen";
        problems.push(Problem::error(loaded.origins.of("tcp.listen"), message));
    }
    problems.extend(plaintext(loaded, "tcp", config.tcp.listen, config.tcp.plaintext));
    problems.extend(plaintext(loaded, "http", config.http.listen, config.http.plaintext));
    if config.quic.listen != off && !has_certificate(loaded) {
        let message =
            "quic.listen needs a certificate; set tls.cert and tls.key, or listen = \"\" under [quic]";
        problems.push(Problem::error(loaded.origins.of("quic.listen"), message));
    }
    // Port 0 asks for any free port, so two of them are not the same.
    let fixed = config.tcp.listen.0.is_some_and(|address| address.port() != 0);
    if fixed && config.tcp.listen == config.http.listen {
        let message = "http.listen is the address of tcp.listen; give one of them another port";
        problems.push(Problem::error(loaded.origins.of("http.listen"), message));
    }
}

/// Whoever reaches it may ask anything.
fn admin(loaded: &Loaded) -> Option<Problem> {
    let address = loaded.config.admin.listen.0.filter(|address| !address.ip().is_loopback())?;
    let message = format!("admin.listen = \"{address}\": use a loopback address such as \"127.0.0.1:7490\"");
    Some(Problem::error(loaded.origins.of("admin.listen"), message))
}

fn plaintext(loaded: &Loaded, section: &str, listen: Listen, plaintext: Plaintext) -> Option<Problem> {
    let address = listen.0.filter(|address| !address.ip().to_canonical().is_loopback())?;
    if has_certificate(loaded) || plaintext == Plaintext::Allow {
        return None;
    }
    let message = format!(
        "{section}.listen = \"{address}\" takes unencrypted connections from other machines; set tls.cert and \
         tls.key, or plaintext = \"allow\" under [{section}] where something in front ends TLS"
    );
    Some(Problem::error(loaded.origins.of(&format!("{section}.listen")), message))
}

fn has_certificate(loaded: &Loaded) -> bool {
    loaded.config.tls.cert.get().is_some() && loaded.config.tls.key.get().is_some()
}

fn certificate(loaded: &Loaded, problems: &mut Vec<Problem>) {
    let (cert, key) = (loaded.config.tls.cert.get(), loaded.config.tls.key.get());
    match (cert, key) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            problems.extend(keys::readable_by_others(key, &loaded.origins.of("tls.key")));
            match Identity::from_pem_files(cert, key) {
                Ok(_) => problems.extend(is_ca(cert, &loaded.origins.of("tls.cert"))),
                Err(error) => {
                    problems.push(Problem::error(loaded.origins.of("tls.cert"), format!("tls: {error}")));
                }
            }
        }
        (Some(_), None) => {
            let message = "tls.cert is set and tls.key is not; set both or none";
            problems.push(Problem::error(loaded.origins.of("tls.cert"), message));
        }
        (None, Some(_)) => {
            let message = "tls.key is set and tls.cert is not; set both or none";
            problems.push(Problem::error(loaded.origins.of("tls.key"), message));
        }
    }
}

// Clients that check certificates by the book, as this project's does, take no CA's from a server.
fn is_ca(path: &Path, at: &Origin) -> Option<Problem> {
    let cert = CertificateDer::from_pem_file(path).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    // Whether it is a CA's is looked at before anything else but its dates; the library has no other question for it.
    let error = verifier.verify_server_cert(&cert, &[], &name, &[], UnixTime::now()).err()?;
    let message = format!(
        "{} is a CA certificate, which clients do not take from a server; make one with `openssl req -x509 ... -addext \
         basicConstraints=critical,CA:FALSE`",
        path.display()
    );
    format!("{error:?}").contains("CaUsedAsEndEntity").then(|| Problem::warning(at.clone(), message))
}

fn authentication(loaded: &Loaded, problems: &mut Vec<Problem>) {
    if loaded.config.auth.keys.is_empty() {
        let message = "auth.keys is empty, so no device could log in; add [[auth.keys]] with kid, algorithm and \
                       secret_file (`whimbrel config default` shows one)";
        problems.push(Problem::error(loaded.origins.of("auth.keys"), message));
        return;
    }
    let (_, found) = keys::keys(loaded);
    let broken = found.iter().any(Problem::is_error);
    problems.extend(found);
    if !broken {
        problems.extend(keys::verifier(loaded).err().into_iter().flatten());
    }
}

fn origins(loaded: &Loaded, problems: &mut Vec<Problem>) {
    for (index, origin) in loaded.config.http.allowed_origins.iter().enumerate() {
        if let Err(error) = UpgradePolicy::new([origin.as_str()]) {
            let at = loaded.origins.of(&format!("http.allowed_origins[{index}]"));
            problems.push(Problem::error(
                at,
                format!("http.allowed_origins: {error}, for example https://chat.example.com"),
            ));
        }
    }
}

fn log_level(loaded: &Loaded, problems: &mut Vec<Problem>) {
    if let Err(error) = crate::telemetry::filter(&loaded.config.log.level) {
        problems.push(Problem::error(loaded.origins.of("log.level"), format!("log.level: {error}")));
    }
}
