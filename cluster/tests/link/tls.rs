//! Certificates: the cluster's CA, and what its holder may be.

use std::path::Path;

use cluster::link::LinkConfig;
use cluster::link::tls::{CHANNEL_URI, CONNECTOR_URI, LinkTls, LinkTlsError};
use idgen::NodeType;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use whimbrel_cluster as cluster;

use super::support::{Dialler, Port, channel, config, connector, node, until};

struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let directory = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { directory, issuer: Issuer::new(params, key) }
    }

    fn ca(&self) -> std::path::PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A certificate for 127.0.0.1 with these URIs.
    fn node(&self, name: &str, uris: &[&str]) -> LinkTls {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap())));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        LinkTls::from_pem_files(&path("pem"), &path("key"), &self.ca()).unwrap()
    }
}

fn with(tls: &LinkTls, config: LinkConfig) -> LinkConfig {
    LinkConfig { tls: Some(tls.clone()), ..config }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_of_the_authority_in_their_own_role_are_linked() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let port = Port::start(with(&ours.node("channel", &[CHANNEL_URI]), config(channel(), 1))).await;
    let refused = [
        ("another authority's", theirs.node("other", &[CONNECTOR_URI])),
        ("a channel node's", ours.node("wrong", &[CHANNEL_URI])),
        ("without a role", ours.node("none", &[])),
        ("both roles", ours.node("both", &[CONNECTOR_URI, CHANNEL_URI])),
    ];
    let refused = refused.map(|(what, tls)| {
        (what, Dialler::start(with(&tls, config(connector(), 1)), channel(), port.address))
    });
    let plain = Dialler::start(config(connector(), 1), channel(), port.address);
    let good = ours.node("connector", &[CONNECTOR_URI]);
    let good = Dialler::start(with(&good, config(connector(), 1)), channel(), port.address);
    until("the good one", || good.link.is_connected()).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!plain.link.is_connected());
    for (what, dialler) in refused {
        assert!(!dialler.link.is_connected() && *dialler.events.began.lock() == 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_nodes_link_with_each_other_by_their_own_certificates() {
    let ours = Authority::new();
    let port = Port::start(with(&ours.node("channel", &[CHANNEL_URI]), config(channel(), 1))).await;
    let peer = node(NodeType::Channel, 9);
    let thief = with(&ours.node("connector", &[CONNECTOR_URI]), config(peer, 1));
    let thief = Dialler::start(thief, channel(), port.address);
    let good =
        Dialler::start(with(&ours.node("peer", &[CHANNEL_URI]), config(peer, 1)), channel(), port.address);
    until("the good one", || good.link.is_connected()).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!thief.link.is_connected() && *thief.events.began.lock() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connectors_certificate_makes_no_channel_node() {
    let ours = Authority::new();
    let port = Port::start(with(&ours.node("thief", &[CONNECTOR_URI]), config(channel(), 1))).await;
    let tls = ours.node("connector", &[CONNECTOR_URI]);
    let dialler = Dialler::start(with(&tls, config(connector(), 1)), channel(), port.address);
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(!dialler.link.is_connected() && *dialler.events.began.lock() == 0);
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let ours = Authority::new();
    let missing = LinkTls::from_pem_files(Path::new("/nowhere.pem"), Path::new("/nowhere.key"), &ours.ca());
    assert!(matches!(missing, Err(LinkTlsError::File { path, .. }) if path == "/nowhere.pem"));
    let empty = ours.directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = LinkTls::from_pem_files(&empty, &empty, &ours.ca());
    assert!(matches!(empty, Err(LinkTlsError::Empty { .. })));
}
