//! A gateway whose store refuses it: user, password, rights, schema. One line says why, the exit code is 1, and nobody reads a
//! password.

use std::process::{Command, Stdio};

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use servers::{Cassandra, CassandraSettings};

use crate::support::keyspace::{Keyspace, migrate};
use crate::support::process::{Gateway, PROGRAM, Settings, free_port};
use crate::support::tokens::Issuer;

const PASSWORD: &str = "rosebud-4711";
const GUESS: &str = "guess-4711";

/// A cluster with two users beside its first: one may do everything, the other nothing.
async fn cluster() -> (Cassandra, Session) {
    let settings = CassandraSettings { passwords: true, ..CassandraSettings::default() };
    let started = Cassandra::start(settings).await;
    let cluster = started.unwrap_or_else(|error| panic!("{error}; ./test servers fetches it"));
    let builder = SessionBuilder::new().known_nodes(cluster.addresses().iter().map(ToString::to_string));
    let session = builder.user("cassandra", "cassandra").build().await.unwrap();
    for (user, all) in [("gateway", true), ("nobody", false)] {
        let role =
            format!("CREATE ROLE {user} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true AND SUPERUSER = {all}");
        session.query_unpaged(role, ()).await.unwrap();
    }
    (cluster, session)
}

fn as_user(settings: Settings, user: &str, password: &str) -> Settings {
    settings.set("cql.user", format!("{user:?}")).set("cql.password", format!("{password:?}"))
}

/// The same as `serve`, and as a channel node among others; there is no ZooKeeper, but the store comes first.
fn nodes(settings: &Settings) -> [Gateway; 2] {
    let own = Settings::new()
        .set("cluster.zookeeper", format!("\"{}\"", free_port()))
        .set("cluster.listen", format!("\"{}\"", free_port()));
    let channel = Gateway::channel(settings.clone().and(own), &Issuer::new());
    [Gateway::prepare(settings.clone()), channel]
}

/// Nobody waits for what time does not heal.
async fn refuses(settings: Settings, said: &str) {
    let mut nodes = nodes(&settings);
    nodes.iter_mut().for_each(Gateway::spawn);
    for mut node in nodes {
        let status = node.ended().await;
        one_line(&node.log(), said);
        assert_eq!(status.code(), Some(1), "{}", node.log());
        assert!(!node.log().contains("waiting"), "{}", node.log());
    }
}

/// The same of `whimbrel store`.
async fn refuses_to(verb: &str, settings: Settings, said: &str) {
    let node = Gateway::prepare(settings);
    let mut command = Command::new(PROGRAM);
    command.args(["store", verb, "--config"]).arg(node.config()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    one_line(&told.concat(), said);
    assert_eq!(output.status.code(), Some(1), "{told:?}");
}

fn one_line(log: &str, said: &str) {
    let lines: Vec<&str> = log.lines().collect();
    assert!(matches!(lines.as_slice(), [line] if line.contains(said)), "{said}: {log}");
    assert!(!log.contains(PASSWORD) && !log.contains(GUESS), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_is_named_in_one_line() {
    let ((cluster, session), keyspace) = (cluster().await, Keyspace::new(1));
    // Lines as an operator sees them.
    let level = format!("{:?}", "warn,whimbrel=info");
    let settings = || keyspace.settings(1, &cluster.addresses()).set("log.level", &level);
    let ours = || as_user(settings(), "gateway", PASSWORD);
    let refused = "the store refuses the user name or the password";
    refuses(as_user(settings(), "gateway", GUESS), refused).await;
    refuses(settings(), refused).await;
    refuses_to("migrate", as_user(settings(), "gateway", GUESS), refused).await;
    refuses_to("check", settings(), refused).await;

    let missing = format!("has no keyspace {} yet: run whimbrel store migrate", keyspace.name());
    refuses(ours(), &missing).await;
    refuses_to("check", ours(), &missing).await;

    let mut gateway = Gateway::prepare(ours());
    migrate(&gateway).await;
    gateway.launch().await;
    assert!(gateway.stop().await.success());
    assert!(!gateway.log().contains(PASSWORD), "{}", gateway.log());
    // Who may log in and read nothing is told what it may not.
    let powerless = || as_user(settings(), "nobody", PASSWORD);
    refuses(powerless(), "the store refused to tell its version: User nobody has no SELECT permission").await;
    refuses_to("migrate", powerless(), "the store refused").await;

    let schema = async |version: u32| {
        let text = format!("UPDATE {}.about SET version = {version} WHERE id = 0 IF EXISTS", keyspace.name());
        session.query_unpaged(text, ()).await.unwrap();
    };
    schema(1_000).await;
    refuses(ours(), "the store has schema 1000, this program knows").await;
    refuses_to("migrate", ours(), "it was made by a later version").await;
    schema(0).await;
    refuses(ours(), "run whimbrel store migrate").await;
}
