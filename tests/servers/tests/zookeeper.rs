//! ZooKeeper runs, as a client of it sees.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use whimbrel_servers::zookeeper::word;
use whimbrel_servers::{ZooKeeper, ZooKeeperSettings};
use zookeeper_client::{Acls, Client, CreateMode};

async fn connect(servers: &ZooKeeper) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(4));
    connector.connect(&servers.connect_string()).await.unwrap()
}

#[tokio::test]
async fn one_server_stores_and_outlasts_a_kill() {
    let servers = ZooKeeper::start(ZooKeeperSettings::default()).await.unwrap();
    assert_eq!(word(&servers.address(1), "ruok").await.unwrap(), "imok");
    let lasting = CreateMode::Persistent.with_acls(Acls::anyone_all());
    connect(&servers).await.create("/whimbrel", b"here", &lasting).await.unwrap();
    servers.kill(1).unwrap();
    assert!(word(&servers.address(1), "ruok").await.is_err(), "it is killed");
    servers.restart(1).await.unwrap();
    let (data, _) = connect(&servers).await.get_data("/whimbrel").await.unwrap();
    assert_eq!(data, b"here");
}

#[tokio::test]
async fn an_ensemble_of_three_goes_on_without_its_leader() {
    let servers = ZooKeeper::start(ZooKeeperSettings { nodes: 3, ..Default::default() }).await.unwrap();
    let client = connect(&servers).await;
    let lasting = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create("/before", b"", &lasting).await.unwrap();
    let leader = servers.leader().await.expect("there is a leader");
    servers.kill(leader).unwrap();
    // The client finds another server by itself; what was underway is unknown to it.
    let again = async {
        while client.create("/after", b"", &lasting).await.is_err()
            && client.get_data("/after").await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("two of three take writes");
    assert_ne!(servers.leader().await, Some(leader));
    servers.restart(leader).await.unwrap();
    servers.stall(leader).unwrap();
    assert!(word(&servers.address(leader), "ruok").await.is_err(), "it is stalled");
    servers.resume(leader).unwrap();
    // One that was away looks for its leader before it answers, and hangs up on whom it served until then.
    let answers = async {
        while word(&servers.address(leader), "ruok").await.ok().as_deref() != Some("imok") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answers).await.expect("it is there again");
}
