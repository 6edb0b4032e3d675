//! Nodes that must not join: one line says why, and the others go on.

use crate::nodes::{Nodes, channel_settings, settings};
use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, text};

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
