//! How nodes live: without ZooKeeper, through a restart of the other kind, asked to go.

use std::time::Duration;

use protocol::code::Code;

use crate::nodes::{LEASE_MS, Nodes, channel_settings, settings, zookeeper};
use crate::operator::{cluster, number_of};
use crate::support::process::Gateway;
use crate::support::raw::{Raw, text};
use crate::support::tokens::Issuer;
use crate::support::{http, soon};

/// Waits until `/readyz` answers so.
pub async fn ready(gateway: &Gateway, status: u16) -> String {
    let answered = async {
        loop {
            if let Ok(answer) = http::get(gateway.http, "/readyz").await
                && answer.status == status
            {
                return answer.body;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("readyz", answered).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_of_two_connectors_talk_and_an_operator_sees_the_nodes() {
    let mut nodes = Nodes::start().await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let (mut bob, _) = Raw::login(&nodes.connectors[1], "bob", "phone").await;
    let room = alice.create(&["bob"]).await;
    alice.send(text(&room, "to the other connector")).await;
    assert_eq!(bob.pushed_text().await, "to the other connector");
    let status = cluster(&nodes.channels[0], &["status"]);
    let lines: Vec<&str> = status.lines().collect();
    assert_eq!((lines[0], lines.len()), ("cluster whimbrel: 3 nodes", 5), "{status}");
    let of = |kind: &str| lines.iter().filter(|line| line.contains(kind)).copied().collect::<Vec<_>>();
    assert_eq!(of(" connector ").len(), 2, "{status}");
    let channel = of(" channel ");
    assert!(
        channel.len() == 1 && channel[0].contains(" 4096 ") && channel[0].contains(" there "),
        "{status}"
    );
    soon("both connectors say that they are linked", async {
        while linked(&nodes.channels[0]) < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    // One that is asked to go sends its devices away and ends by itself.
    let number = number_of(&nodes.channels[0], nodes.connectors[1].tcp);
    assert!(cluster(&nodes.channels[0], &["drain", &number]).contains("was asked to go"));
    assert_eq!(bob.closed_with().await, Some(Code::SHUTTING_DOWN));
    assert!(nodes.connectors[1].ended().await.success());
    assert!(cluster(&nodes.channels[0], &["status"]).starts_with("cluster whimbrel: 2 nodes"));
    alice.send(text(&room, "still here")).await;
}

/// How many nodes say that they are linked to one channel node and not behind.
fn linked(node: &Gateway) -> usize {
    let told: serde_json::Value = serde_json::from_str(&cluster(node, &["status", "--json"])).unwrap();
    let is_linked = |node: &&serde_json::Value| node["links"] == 1 && node["lag_ms"] == 0;
    told["nodes"].as_array().unwrap().iter().filter(is_linked).count()
}

/// Sessions outlive the channel node: their connector tells the next one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_stays_connected_while_the_channel_node_restarts() {
    let mut nodes = Nodes::start().await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let (mut bob, _) = Raw::login(&nodes.connectors[1], "bob", "phone").await;
    let room = alice.create(&["bob"]).await;
    alice.send(text(&room, "before")).await;
    assert_eq!(bob.pushed_text().await, "before");
    nodes.channels[0].crash_and_restart().await;
    for connector in &nodes.connectors {
        ready(connector, 200).await;
    }
    alice.send(text(&room, "after")).await;
    assert_eq!(bob.pushed_text().await, "after", "on the same connection, without a login");
    assert!(nodes.channels[0].stop().await.success());
    let said = ready(&nodes.connectors[0], 503).await;
    assert!(said.contains("no channel node"), "{said}");
    nodes.channels[0].launch().await;
    ready(&nodes.connectors[0], 200).await;
    alice.send(text(&room, "again")).await;
    assert_eq!(bob.pushed_text().await, "again");
}

/// ZooKeeper is away for longer than any lease: whoever is connected notices nothing, and who comes gets in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_zookeeper_disconnects_nobody() {
    let nodes = Nodes::start().await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let (mut bob, _) = Raw::login(&nodes.connectors[1], "bob", "phone").await;
    let room = alice.create(&["bob"]).await;
    nodes.zookeeper.kill(1).unwrap();
    for second in 0..3 * LEASE_MS / 1_000 {
        let said = format!("second {second}");
        alice.send(text(&room, &said)).await;
        assert_eq!(bob.pushed_text().await, said);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // A device that has its id already.
    let (mut again, _) = Raw::login(&nodes.connectors[0], "bob", "phone").await;
    assert_eq!(bob.closed_with().await, Some(Code::SUPERSEDED));
    nodes.zookeeper.restart(1).await.unwrap();
    for second in 0..3 * LEASE_MS / 1_000 {
        let said = format!("later second {second}");
        alice.send(text(&room, &said)).await;
        assert_eq!(again.pushed_text().await, said);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // New ids are made again.
    Raw::login(&nodes.connectors[1], "carol", "new phone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_wait_for_zookeeper_and_say_so() {
    let zookeeper = zookeeper().await;
    zookeeper.kill(1).unwrap();
    let issuer = Issuer::new();
    let mut channel = Gateway::channel(channel_settings(&zookeeper), &issuer);
    let mut connector = Gateway::connector(settings(&zookeeper), &issuer);
    for node in [&mut channel, &mut connector] {
        node.spawn();
        let said = ready(node, 503).await;
        assert!(said.contains("waiting for ZooKeeper"), "{said}");
        soon("a line that says so", async {
            while !node.log().contains("ZooKeeper is out of reach; waiting for it") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
    zookeeper.restart(1).await.unwrap();
    for node in [&channel, &connector] {
        ready(node, 200).await;
    }
    let (mut alice, _) = Raw::login(&connector, "alice", "phone").await;
    alice.create(&["bob"]).await;
}
