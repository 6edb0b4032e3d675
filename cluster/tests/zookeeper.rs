//! Membership on a real ZooKeeper: joining, leaving, dying, outages, and who is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use cluster::{
    JoinError, Membership as _, NodeRecord, SLOTS, Slot, View, ZooKeeperConfig, ZooKeeperMembership,
};
use idgen::{NodeId, NodeType, WorkerNumber};
use protocol::Proto as _;
use protocol::node::v1::ClusterIdentity;
use servers::{ZooKeeper, ZooKeeperSettings};
use tokio::time::Instant;
use whimbrel_cluster as cluster;
use zookeeper_client::{Acls, Client, CreateMode};

const LEASE: Duration = Duration::from_secs(2);

fn record(kind: NodeType, port: u16) -> NodeRecord {
    let number = WorkerNumber::new(0).unwrap();
    NodeRecord::new(NodeId::new(kind, number, Ipv4Addr::LOCALHOST, port).unwrap(), 0)
}

fn config(servers: &str, path: &str) -> ZooKeeperConfig {
    ZooKeeperConfig {
        servers: servers.into(),
        cluster: "test".into(),
        path: path.into(),
        user: None,
        session_timeout: LEASE,
        number: None,
    }
}

/// A part of the shared server's tree that is this test's alone.
async fn shared(name: &str) -> ZooKeeperConfig {
    let servers = servers::shared::zookeeper().await.expect("a ZooKeeper for tests");
    config(&servers, &format!("/membership-{}-{name}", std::process::id()))
}

async fn own() -> ZooKeeper {
    ZooKeeper::start(ZooKeeperSettings::default()).await.expect("a ZooKeeper for tests")
}

async fn join(config: &ZooKeeperConfig, kind: NodeType, port: u16) -> Arc<ZooKeeperMembership> {
    let joined = ZooKeeperMembership::join(config.clone(), record(kind, port));
    tokio::time::timeout(Duration::from_secs(30), joined).await.expect("joined in time").expect("joined")
}

async fn refused(config: &ZooKeeperConfig, record: NodeRecord) -> JoinError {
    let joined = ZooKeeperMembership::join(config.clone(), record);
    match tokio::time::timeout(Duration::from_secs(30), joined).await.expect("refused in time") {
        Ok(_) => panic!("it has joined"),
        Err(error) => error,
    }
}

async fn until(membership: &ZooKeeperMembership, what: &str, is_so: impl Fn(&View) -> bool) -> Duration {
    let began = Instant::now();
    let mut views = membership.watch();
    let seen = tokio::time::timeout(Duration::from_secs(30), views.wait_for(|view| is_so(view))).await;
    seen.unwrap_or_else(|_| panic!("not so in 30 s: {what}")).expect("the membership goes on");
    began.elapsed()
}

/// Waits until a condition outside any view holds.
async fn soon(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not so in 30 s: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_see_each_other_and_agree_on_owners() {
    let config = shared("agree").await;
    let connector = join(&config, NodeType::Connector, 1).await;
    assert_eq!(connector.snapshot().owner(Slot::of_user("t", "u")), None, "nobody owns anything yet");
    let one = join(&config, NodeType::Channel, 2).await;
    let other = join(&config, NodeType::Channel, 3).await;
    for member in [&connector, &one, &other] {
        until(member, "three nodes", |view| view.nodes().len() == 3).await;
        assert!(member.lease().holds());
    }
    let owners = |member: &ZooKeeperMembership| {
        let view = member.snapshot();
        Slot::all().map(|slot| view.owner(slot).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(owners(&connector), owners(&one));
    assert_eq!(owners(&connector), owners(&other));
    assert!(other.incarnation() > one.incarnation() && one.incarnation() > connector.incarnation());
    let published = connector.snapshot().node(one.node()).unwrap().incarnation;
    assert_eq!(published, one.incarnation(), "everybody knows it by the same incarnation");
    // It goes on purpose: at once, for all.
    one.publish(|record| record.draining = true);
    until(&connector, "its slots have gone", |view| view.owned_by(one.node()).count() == 0).await;
    let published = connector.snapshot().node(one.node()).unwrap().incarnation;
    assert_eq!(published, one.incarnation(), "a change of the record is no new life");
    one.leave().await;
    let took = until(&connector, "it is gone", |view| view.nodes().len() == 2).await;
    assert!(took < LEASE / 2, "{took:?}");
    assert!(!one.lease().holds());
}

/// Dies with its runtime: no farewell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_is_gone_after_its_lease_and_may_come_back_in_its_place() {
    let config = ZooKeeperConfig { number: WorkerNumber::new(7).ok(), ..shared("dies").await };
    let watcher = join(&ZooKeeperConfig { number: None, ..config.clone() }, NodeType::Connector, 1).await;
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (theirs, handle) = (config.clone(), doomed.handle().clone());
    let first = handle.spawn(async move { join(&theirs, NodeType::Channel, 2).await }).await.unwrap();
    until(&watcher, "two nodes", |view| view.nodes().len() == 2).await;
    let (node, incarnation) = (first.node(), first.incarnation());
    doomed.shutdown_background();
    std::mem::forget(first);
    // The same number again: it waits until nobody else can hold it.
    let again = join(&config, NodeType::Channel, 2).await;
    assert_eq!(again.node(), node);
    assert!(again.incarnation() > incarnation);
    until(&watcher, "its new life", |view| {
        view.node(node).is_some_and(|record| record.incarnation == again.incarnation())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_in_use_is_refused_and_its_holder_unharmed() {
    let config = ZooKeeperConfig { number: WorkerNumber::new(9).ok(), ..shared("duplicate").await };
    let first = join(&config, NodeType::Channel, 2).await;
    let error = refused(&config, record(NodeType::Channel, 3)).await;
    assert_eq!(error, JoinError::Duplicate { number: WorkerNumber::new(9).unwrap(), holder: first.node() });
    assert!(error.to_string().contains("node number 9 is in use by channel-9@127.0.0.1:2"), "{error}");
    assert!(first.lease().holds());
    assert_eq!(first.snapshot().nodes().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_in_the_same_place_is_refused() {
    let config = shared("other").await;
    let ours = join(&config, NodeType::Channel, 2).await;
    let theirs = ZooKeeperConfig { cluster: "prod".into(), ..config.clone() };
    let path = format!("{}/cluster", config.path);
    let (found, wanted) = ("test".to_owned(), "prod".to_owned());
    let error = refused(&theirs, record(NodeType::Channel, 3)).await;
    assert_eq!(error, JoinError::OtherCluster { path: path.clone(), found, ours: wanted });
    let client = Client::connect(&config.servers).await.unwrap();
    let identity = ClusterIdentity { name: "test".into(), slots: u32::from(SLOTS), format: 1 };
    let cases = [
        (ClusterIdentity { format: 2, ..identity.clone() }.encode_to_vec(), "format 2"),
        (ClusterIdentity { slots: 16_384, ..identity.clone() }.encode_to_vec(), "16384 slots"),
        (b"\xFF\xFF".to_vec(), "not what a cluster keeps"),
        (Vec::new(), "not what a cluster keeps"),
    ];
    for (data, said) in cases {
        client.set_data(&path, &data, None).await.unwrap();
        let error = refused(&config, record(NodeType::Channel, 3)).await.to_string();
        assert!(error.contains(said) && error.contains(&path), "{error}");
    }
    client.set_data(&path, &identity.encode_to_vec(), None).await.unwrap();
    join(&config, NodeType::Connector, 4).await;
    assert!(ours.lease().holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_access_is_refused() {
    let config = shared("access").await;
    let private = ZooKeeperConfig { user: Some("whimbrel:secret".into()), ..config.clone() };
    let member = join(&private, NodeType::Channel, 2).await;
    for stranger in [None, Some("whimbrel:guess".to_owned())] {
        let theirs = ZooKeeperConfig { user: stranger, ..config.clone() };
        let error = refused(&theirs, record(NodeType::Connector, 3)).await;
        assert!(matches!(&error, JoinError::Refused { path } if path.starts_with(&config.path)), "{error}");
    }
    join(&private, NodeType::Connector, 4).await;
    until(&member, "two nodes", |view| view.nodes().len() == 2).await;
    assert!(!format!("{private:?}").contains("secret"));
}

#[tokio::test]
async fn names_that_are_none_are_refused_before_anything_is_asked() {
    let config = config("127.0.0.1:1", "/whimbrel");
    for cluster in ["", "a b", "ü", &"x".repeat(65)] {
        let config = ZooKeeperConfig { cluster: cluster.into(), ..config.clone() };
        assert_eq!(refused(&config, record(NodeType::Channel, 1)).await, JoinError::Name);
    }
    for path in ["", "/", "whimbrel", "/a//b", "/a/", "/a/../b"] {
        let config = ZooKeeperConfig { path: path.into(), ..config.clone() };
        assert_eq!(refused(&config, record(NodeType::Channel, 1)).await, JoinError::Path(path.into()));
    }
    let config = ZooKeeperConfig { servers: "no servers at all:x".into(), ..config };
    assert!(matches!(refused(&config, record(NodeType::Channel, 1)).await, JoinError::Servers(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_among_the_nodes_harms_nobody() {
    let config = shared("rubbish").await;
    let member = join(&config, NodeType::Channel, 2).await;
    let client = Client::connect(&config.servers).await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let foreign = record(NodeType::Channel, 9).encode();
    let rubbish: [(&str, &[u8]); 5] =
        [("0099", b"\xFFgarbage"), ("0098", &[0; 20_000]), ("0097", &foreign), ("word", b""), ("70000", b"")];
    for (name, data) in rubbish {
        client.create(&format!("{}/nodes/{name}", config.path), data, &options).await.unwrap();
    }
    let connector = join(&config, NodeType::Connector, 3).await;
    until(&member, "the connector", |view| view.node(connector.node()).is_some()).await;
    assert_eq!(member.snapshot().nodes().len(), 2);
    let taken = ZooKeeperConfig { number: WorkerNumber::new(99).ok(), ..config.clone() };
    let error = refused(&taken, record(NodeType::Channel, 4)).await;
    assert!(matches!(error, JoinError::NoCluster { .. }), "{error}");
    // Whoever removes a node's record by hand does it no harm either.
    let number = member.node().number().get();
    client.delete(&format!("{}/nodes/{number:04}", config.path), None).await.unwrap();
    let is_back = || async { client.check_stat(&format!("{}/nodes/{number:04}", config.path)).await };
    for _ in 0..500 {
        if is_back().await.unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it has not published itself again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_ones_own_allows_no_second_channel_node() {
    let config = shared("alone").await;
    let alone = |port| NodeRecord { store_alone: true, ..record(NodeType::Channel, port) };
    let first = ZooKeeperMembership::join(config.clone(), alone(2)).await.unwrap();
    let second = refused(&config, record(NodeType::Channel, 3)).await;
    assert_eq!(second, JoinError::StoreAlone { other: first.node(), whose: "its" });
    let third = refused(&config, alone(4)).await;
    assert!(third.to_string().contains("several channel nodes need a shared store"), "{third}");
    join(&config, NodeType::Connector, 5).await;
    until(&first, "a connector is welcome", |view| view.nodes().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_zookeeper() {
    let zookeeper = own().await;
    let config = config(&zookeeper.connect_string(), "/whimbrel");
    zookeeper.kill(1).unwrap();
    let joining = tokio::time::timeout(
        Duration::from_secs(60),
        ZooKeeperMembership::join(config, record(NodeType::Channel, 2)),
    );
    let (joined, ()) = tokio::join!(joining, async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        zookeeper.restart(1).await.unwrap();
    });
    assert_eq!(joined.unwrap().unwrap().snapshot().nodes().len(), 1);
}

/// ZooKeeper is away for longer than any lease: nobody disappears from anybody's view, neither meanwhile nor when
/// all have to publish themselves anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_zookeeper_moves_nothing() {
    let zookeeper = own().await;
    let config = config(&zookeeper.connect_string(), "/whimbrel");
    let members = [
        join(&config, NodeType::Channel, 2).await,
        join(&config, NodeType::Channel, 3).await,
        join(&config, NodeType::Connector, 4).await,
    ];
    for member in &members {
        until(member, "three nodes", |view| view.nodes().len() == 3).await;
    }
    let before: Vec<Vec<_>> = members.iter().map(|member| owners(&member.snapshot())).collect();
    let mut views: Vec<_> = members.iter().map(|member| member.watch()).collect();
    views.iter_mut().for_each(|views| views.mark_unchanged());
    zookeeper.kill(1).unwrap();
    soon("the leases end", || members.iter().all(|member| !member.lease().holds())).await;
    tokio::time::sleep(2 * LEASE).await;
    zookeeper.restart(1).await.unwrap();
    soon("the leases hold again", || members.iter().all(|member| member.lease().holds())).await;
    tokio::time::sleep(3 * LEASE).await;
    for ((member, before), views) in members.iter().zip(&before).zip(&mut views) {
        assert_eq!(owners(&member.snapshot()), *before);
        assert!(!views.has_changed().unwrap(), "it saw another view: {:?}", views.borrow_and_update());
    }
    // And it still sees what happens.
    members[0].leave().await;
    until(&members[2], "one has left", |view| view.nodes().len() == 2).await;
}

fn owners(view: &View) -> Vec<Option<NodeId>> {
    Slot::all().map(|slot| view.owner(slot)).collect()
}

/// A server that stands still for longer than a lease, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_zookeeper_ends_leases_and_gives_them_back() {
    let zookeeper = own().await;
    let member = join(&config(&zookeeper.connect_string(), "/whimbrel"), NodeType::Channel, 2).await;
    let (node, incarnation) = (member.node(), member.incarnation());
    zookeeper.stall(1).unwrap();
    soon("the lease ends", || !member.lease().holds()).await;
    tokio::time::sleep(LEASE).await;
    zookeeper.resume(1).unwrap();
    soon("the lease holds again", || member.lease().holds()).await;
    assert_eq!((member.node(), member.incarnation()), (node, incarnation));
    let view = member.snapshot();
    assert_eq!(view.node(node).map(|record| record.incarnation), Some(incarnation), "one life, two leases");
}

/// Of three servers one dies, the leader: leases go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_one_server_of_three_is_hardly_noticed() {
    let zookeeper = ZooKeeper::start(ZooKeeperSettings { nodes: 3, ..ZooKeeperSettings::default() }).await;
    let zookeeper = zookeeper.expect("three ZooKeepers for tests");
    let mut config = config(&zookeeper.connect_string(), "/whimbrel");
    config.session_timeout = 5 * LEASE;
    let one = join(&config, NodeType::Channel, 2).await;
    let other = join(&config, NodeType::Connector, 3).await;
    until(&one, "two nodes", |view| view.nodes().len() == 2).await;
    let leader = zookeeper.leader().await.expect("a leader");
    zookeeper.kill(leader).unwrap();
    let third = join(&config, NodeType::Connector, 4).await;
    for member in [&one, &other, &third] {
        until(member, "three nodes", |view| view.nodes().len() == 3).await;
        assert!(member.lease().holds());
    }
}
