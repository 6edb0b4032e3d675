//! Links with certificates, on the real program: who is not of the cluster's authority, or not what it says, gets none.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use servers::ZooKeeper;
use tempfile::TempDir;

use crate::nodes::{channel_settings, settings, zookeeper};
use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, text};
use crate::support::soon;
use crate::support::tokens;

/// What signs certificates, in a directory of its own.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let (directory, key) = (TempDir::new().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { directory, issuer: Issuer::new(params, key) }
    }

    /// Settings with a certificate for 127.0.0.1 that lets its holder be this, signed here; `trusted` is whose
    /// certificates the node takes.
    fn node(&self, settings: Settings, role: &str, trusted: &Authority) -> Settings {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.subject_alt_names.push(SanType::URI(format!("whimbrel:{role}").try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let number = rand::random::<u32>();
        let path = |ending: &str| self.directory.path().join(format!("{number}.{ending}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        settings
            .set("cluster.cert", quoted(path("pem")))
            .set("cluster.key", quoted(path("key")))
            .set("cluster.ca", quoted(trusted.directory.path().join("ca.pem")))
    }
}

async fn says(node: &Gateway, what: &[&str]) {
    soon(what[0], async {
        while !node.log().lines().any(|line| what.iter().all(|word| line.contains(word))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn connector(zookeeper: &ZooKeeper, issuer: &tokens::Issuer, with: impl Fn(Settings) -> Settings) -> Gateway {
    let mut node = Gateway::connector(with(settings(zookeeper)), issuer);
    node.spawn();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_connectors_of_the_authority_are_linked() {
    let (zookeeper, issuer) = (zookeeper().await, tokens::Issuer::new());
    let (ours, theirs) = (Authority::new(), Authority::new());
    let own = |role: &'static str| {
        let ours = &ours;
        move |settings| ours.node(settings, role, ours)
    };
    let mut channel = Gateway::channel(own("channel")(channel_settings(&zookeeper)), &issuer);
    channel.launch().await;
    let foreign = connector(&zookeeper, &issuer, |settings| theirs.node(settings, "connector", &ours));
    says(&channel, &["a link was refused", "certificate"]).await;
    says(&foreign, &["no link", "does not take this node's certificate"]).await;
    let wrong = connector(&zookeeper, &issuer, own("channel"));
    says(&wrong, &["no link", "the certificate is not one of a connector"]).await;
    let suspicious = connector(&zookeeper, &issuer, |settings| ours.node(settings, "connector", &theirs));
    says(&suspicious, &["no link", "certificate is not one of a node of this cluster"]).await;
    let plain = connector(&zookeeper, &issuer, |settings| settings);
    says(&plain, &["no link"]).await;
    // Beside all of them one that is what it says.
    let mut good = Gateway::connector(own("connector")(settings(&zookeeper)), &issuer);
    good.launch().await;
    let (mut alice, _) = Raw::login(&good, "alice", "phone").await;
    let room = alice.create(&["bob"]).await;
    alice.send(text(&room, "over TLS")).await;
    for node in [&foreign, &wrong, &suspicious, &plain] {
        assert!(!node.log().contains(" linked "), "{}", node.log());
    }
}
