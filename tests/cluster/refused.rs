//! Nodes that must not join: one line says why, and the others go on.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::nodes::{Nodes, channel_settings, settings, zookeeper};
use crate::operator::cluster;
use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, text};
use crate::support::tokens::Issuer;

pub async fn refused(mut node: Gateway, said: &str) {
    node.spawn();
    let status = node.ended().await;
    let log = node.log();
    assert!(!status.success(), "{log}");
    assert!(log.lines().last().is_some_and(|line| line.contains(said)), "{said}: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_do_not_belong_are_refused_and_harm_nobody() {
    let nodes = Nodes::start().await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let room = alice.create(&["bob"]).await;
    // A second channel node, which has a store of its own; the other way round `several` has it.
    let second = Gateway::channel(channel_settings(&nodes.zookeeper), &nodes.issuer);
    refused(second, "several channel nodes need a shared store").await;
    let foreign = settings(&nodes.zookeeper).set("cluster.name", "\"other\"");
    let foreign = Gateway::connector(foreign, &nodes.issuer);
    refused(foreign, "belongs to the cluster \"whimbrel\"; this node is of \"other\"").await;
    let nowhere = Gateway::connector(Settings::new(), &nodes.issuer);
    refused(nowhere, "cluster.zookeeper is empty").await;
    let open = settings(&nodes.zookeeper).set("cluster.listen", "\"0.0.0.0:0\"");
    let open = Gateway::channel(open.set("cluster.advertise", "\"127.0.0.1:1\""), &nodes.issuer);
    refused(open, "takes unencrypted links from other machines").await;
    alice.send(text(&room, "still here")).await;
}

/// ZooKeeper lets nobody but the cluster's own user near what it keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_access_is_told_so() {
    let (zookeeper, issuer) = (zookeeper().await, Issuer::new());
    let user = |name: &str| settings(&zookeeper).set("cluster.zookeeper_user", format!("\"{name}:secret\""));
    let settings = user("ours").set("cluster.listen", "\"127.0.0.1:0\"");
    let mut channel = Gateway::channel(settings, &issuer);
    channel.launch().await;
    refused(Gateway::connector(user("theirs"), &issuer), "its access list names somebody else").await;
    refused(
        Gateway::connector(crate::nodes::settings(&zookeeper), &issuer),
        "its access list names somebody else",
    )
    .await;
    let mut connector = Gateway::connector(user("ours"), &issuer);
    connector.launch().await;
    let log = [channel.log(), connector.log()].concat();
    assert!(!log.contains("secret"), "{log}");
}

/// Whoever reaches the link port can say what it likes there, and fills no disk with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_link_port_harms_nobody() {
    const STRANGERS: usize = 200;
    let nodes = Nodes::start().await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let room = alice.create(&["bob"]).await;
    let status = cluster(&nodes.channels[0], &["status"]);
    let line = status.lines().find(|line| line.contains(" channel ")).unwrap();
    let port = line.split_whitespace().nth(2).unwrap().to_owned();
    for _ in 0..STRANGERS {
        let mut stranger = TcpStream::connect(&port).await.unwrap();
        _ = stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        _ = stranger.read(&mut [0; 64]).await;
    }
    alice.send(text(&room, "still here")).await;
    let log = nodes.channels[0].log();
    let told = log.matches("a link was refused").count();
    assert!((1..STRANGERS / 4).contains(&told), "{told} lines for {STRANGERS} strangers");
}
