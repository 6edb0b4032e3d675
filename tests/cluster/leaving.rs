//! Devices that are sent to another connector: by a drain, by a signal, to even out the cluster.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::code::Code;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::life::ready;
use crate::nodes::Nodes;
use crate::operator::{cluster, number_of, try_cluster};
use crate::support::fleet::Fleet;
use crate::support::metrics::Metrics;
use crate::support::process::Gateway;
use crate::support::raw::{Raw, text};
use crate::support::{http, soon};

const DEVICES: usize = 400;
/// When devices are given up.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Devices on the first connector, all there.
async fn fleet(nodes: &Nodes) -> Fleet {
    let began = Instant::now();
    let fleet = Fleet::login(nodes.connectors[0].tcp, &nodes.issuer, "d", DEVICES).await;
    assert_eq!(fleet.back(began, GIVEN_UP).await.len(), DEVICES);
    fleet
}

async fn devices(connector: &Gateway) -> usize {
    Metrics::of(connector.http).await.get("whimbrel_connector_sessions") as usize
}

/// Where devices may connect, by what a connector says.
async fn places(connector: &Gateway) -> Vec<String> {
    let answer = http::get(connector.http, "/v1/endpoints").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let urls = |connector: &Value| connector["urls"][0].as_str().unwrap().to_owned();
    told["connectors"].as_array().unwrap().iter().map(urls).collect()
}

fn url(address: SocketAddr) -> String {
    format!("tcp://{address}")
}

/// Waits until a node that drains takes nobody any more, and says so.
async fn takes_nobody(connector: &Gateway) {
    let said = ready(connector, 503).await;
    assert!(said.contains("shutting down"), "{said}");
    soon("it refuses connections", async {
        while TcpStream::connect(connector.tcp).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// By the operator and by the signal the same: the probe says no, nobody new is taken, and the devices go where they are
/// told, which they could not guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_of_a_connector_that_goes_are_told_where_to_go() {
    let mut nodes = Nodes::start().await;
    let (from, to) = (nodes.connectors[0].tcp, nodes.connectors[1].tcp);
    let fleet = fleet(&nodes).await;
    let (mut alice, welcome) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    assert_eq!(welcome.endpoints, [url(to)], "the other one, for when this one does not answer");
    assert_eq!(places(&nodes.connectors[1]).await.len(), 2);
    let number = number_of(&nodes.channels[0], from);
    let began = Instant::now();
    cluster(&nodes.channels[0], &["drain", &number]);
    takes_nobody(&nodes.connectors[0]).await;
    let away = alice.away().await.expect("it says that it goes");
    assert_eq!((away.code, away.endpoint), (Code::SHUTTING_DOWN.number(), url(to)));
    assert!(nodes.connectors[0].ended().await.success());
    let drained = began.elapsed();
    let back = fleet.back(began, GIVEN_UP).await;
    assert_eq!((back.len(), fleet.banned()), (DEVICES, Vec::new()));
    assert_eq!(devices(&nodes.connectors[1]).await, DEVICES);
    assert_eq!(places(&nodes.connectors[1]).await, [url(to)]);
    let last = back.iter().max().unwrap();
    eprintln!("{DEVICES} devices: drained in {drained:.2?}, all back after {last:.2?}");
    // The same by SIGTERM, the other way round.
    nodes.connectors[0].launch().await;
    soon("the first is known to the second", async {
        while places(&nodes.connectors[1]).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let began = Instant::now();
    assert!(nodes.connectors[1].stop().await.success());
    assert_eq!(fleet.back(began, GIVEN_UP).await.len(), DEVICES);
    assert_eq!(devices(&nodes.connectors[0]).await, DEVICES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_node_that_goes_finishes_what_it_has() {
    let mut nodes = Nodes::start().await;
    let (mut alice, _) = Raw::login(&nodes.connectors[0], "alice", "phone").await;
    let room = alice.create(&["bob"]).await;
    alice.send(text(&room, "before")).await;
    let status = cluster(&nodes.channels[0], &["status"]);
    let channel = status.lines().find(|line| line.contains(" channel ")).unwrap();
    let number = channel.split_whitespace().next().unwrap();
    assert!(cluster(&nodes.channels[0], &["drain", number]).contains("was asked to go"));
    assert!(nodes.channels[0].ended().await.success());
    assert!(ready(&nodes.connectors[0], 503).await.contains("no channel node"));
    nodes.channels[0].launch().await;
    ready(&nodes.connectors[0], 200).await;
    assert_eq!(alice.send(text(&room, "after")).await.seq, 3, "on the same connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_the_devices_is_handed_on_at_a_pace() {
    let nodes = Nodes::start().await;
    let fleet = fleet(&nodes).await;
    let number = number_of(&nodes.channels[0], nodes.connectors[0].tcp);
    let (share, rate) = (DEVICES / 4, 100);
    let began = Instant::now();
    let ask = ["rebalance", "--share", "25%", "--per-second", "100", &number];
    let said = cluster(&nodes.channels[0], &ask);
    let took = began.elapsed();
    let last = said.lines().last().unwrap();
    let all = format!(": {share} of {share} devices were sent to other connectors");
    assert!(last.ends_with(&all), "{said}");
    assert!(took >= Duration::from_secs(share as u64 / rate) / 2, "{took:?} for {share} at {rate}/s");
    soon("those who were sent are there", async {
        while devices(&nodes.connectors[1]).await < share {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!((devices(&nodes.connectors[1]).await, fleet.banned()), (share, Vec::new()));
    // A session that waits for its device to come back ends when that is seen elsewhere.
    soon("those who stayed are there", async {
        while devices(&nodes.connectors[0]).await != DEVICES - share {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for (words, why) in [
        (["rebalance", "--share", "0%", &number].as_slice(), "0.1% to 100%"),
        (&["rebalance", "--share", "10%", "4095"], "no node of whimbrel has number 4095"),
        (&["rebalance", &number], "--share"),
    ] {
        let output = try_cluster(&nodes.channels[0], words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
}
