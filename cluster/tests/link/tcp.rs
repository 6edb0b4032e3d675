//! Both sides over loopback.

use std::net::SocketAddr;
use std::time::Duration;

use cluster::link::{ChannelLink as _, LinkError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use whimbrel_cluster as cluster;

use super::support::{Dialler, Port, channel, config, connector, kick, numbered, push, until};

/// Passes bytes on until it is told to drop every connection.
struct Cutter {
    address: SocketAddr,
    cut: tokio::sync::watch::Sender<u32>,
    _tasks: TaskTracker,
}

impl Cutter {
    async fn start(to: SocketAddr) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = tokio::sync::watch::channel(0);
        let tasks = TaskTracker::new();
        let spawner = tasks.clone();
        tasks.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                spawner.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Cutter { address, cut, _tasks: tasks }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_arrives_in_order_both_ways() {
    let port = Port::start(config(channel(), 1)).await;
    let dialler = Dialler::start(config(connector(), 1), channel(), port.address);
    for number in 1..=10_000 {
        dialler.link.send(numbered(number)).unwrap();
    }
    until("all requests", || port.host.heard.lock().len() == 10_000).await;
    assert_eq!(*port.host.heard.lock(), (1..=10_000).collect::<Vec<_>>());
    let link = port.host.latest();
    (1..=10_000).for_each(|number| link.deliver(kick(number)));
    until("all kicks", || dialler.events.kicks().len() == 10_000).await;
    assert_eq!(dialler.events.kicks(), (1..=10_000).collect::<Vec<_>>());
    assert_eq!((*dialler.events.began.lock(), *dialler.events.ended.lock()), (1, 0));
}

/// The session goes on: nothing is lost, doubled or reordered, and nobody is told anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_nothing() {
    let port = Port::start(config(channel(), 1)).await;
    let cutter = Cutter::start(port.address).await;
    let dialler = Dialler::start(config(connector(), 1), channel(), cutter.address);
    until("a link", || port.port.count() == 1).await;
    let link = port.host.latest();
    for number in 1..=3_000 {
        dialler.link.send(numbered(number)).unwrap();
        link.deliver(kick(number));
        if number % 500 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cutter.cut.send_modify(|cuts| *cuts += 1);
        }
    }
    until("all of it", || port.host.heard.lock().len() >= 3_000 && dialler.events.kicks().len() >= 3_000)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(*port.host.heard.lock(), (1..=3_000).collect::<Vec<_>>());
    assert_eq!(dialler.events.kicks(), (1..=3_000).collect::<Vec<_>>());
    assert_eq!((*dialler.events.began.lock(), *dialler.events.ended.lock()), (1, 0));
    assert_eq!(*port.host.gone.lock(), 0, "its routes stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_before_the_node_is_there_waits_for_it() {
    let port = Port::start(config(channel(), 1)).await;
    let address = port.address;
    port.port.stop().await;
    port.tasks.close();
    port.tasks.wait().await;
    let dialler = Dialler::start(config(connector(), 1), channel(), address);
    dialler.link.send(numbered(1)).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!dialler.link.is_connected());
    let port = Port::at(config(channel(), 1), address).await;
    until("the request", || *port.host.heard.lock() == [1]).await;
    assert_eq!(*dialler.events.ended.lock(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_for_too_long_is_given_up_and_said_so() {
    let dialler = Dialler::start(config(connector(), 1), channel(), "127.0.0.1:1");
    dialler.link.send(numbered(1)).unwrap();
    until("it is given up", || *dialler.events.ended.lock() == 1).await;
    assert_eq!(dialler.link.send(numbered(2)), Err(LinkError::Closed));
}

/// A channel node that has started anew knows nothing: the connector is told to tell it all, and that answers are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_is_told_anew() {
    let port = Port::start(config(channel(), 1)).await;
    let address = port.address;
    let dialler = Dialler::start(config(connector(), 1), channel(), address);
    dialler.link.send(numbered(1)).unwrap();
    until("it is heard", || *port.host.heard.lock() == [1]).await;
    port.port.stop().await;
    port.tasks.close();
    port.tasks.wait().await;
    let port = Port::at(config(channel(), 2), address).await;
    until("a new session", || *dialler.events.began.lock() == 2).await;
    assert_eq!(*dialler.events.ended.lock(), 1);
    dialler.link.send(numbered(2)).unwrap();
    until("it goes on", || *port.host.heard.lock() == [2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_restarts_replaces_itself_and_an_older_one_does_not() {
    let port = Port::start(config(channel(), 1)).await;
    let first = Dialler::start(config(connector(), 1), channel(), port.address);
    until("a link", || first.link.is_connected()).await;
    let second = Dialler::start(config(connector(), 2), channel(), port.address);
    until("the second", || second.link.is_connected() && *port.host.gone.lock() == 1).await;
    until("the first is told", || !first.link.is_connected()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(second.link.is_connected() && !first.link.is_connected(), "a zombie does not take the link back");
    assert_eq!(port.port.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_stays_away_is_gone() {
    let port = Port::start(config(channel(), 1)).await;
    let dialler = Dialler::start(config(connector(), 1), channel(), port.address);
    until("a link", || dialler.link.is_connected()).await;
    dialler.link.close();
    dialler.tasks.close();
    dialler.tasks.wait().await;
    assert_eq!(dialler.link.send(numbered(1)), Err(LinkError::Closed));
    assert_eq!(*port.host.gone.lock(), 0, "it may come back");
    until("it is gone", || *port.host.gone.lock() == 1).await;
    assert_eq!(port.port.count(), 0);
}

/// A peer that reads nothing: pushes turn into hints, answers pass as long as there is room, then the session ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_connector_takes_bounded_memory_and_nobody_waits_for_it() {
    let stalled = config(channel(), 1);
    let port = Port::start(stalled).await;
    let cutter = Cutter::start(port.address).await;
    let dialler = Dialler::start(config(connector(), 1), channel(), cutter.address);
    until("a link", || dialler.link.is_connected()).await;
    cutter.cut.send_modify(|cuts| *cuts += 1);
    dialler.link.close();
    let link = port.host.latest();
    let before = std::time::Instant::now();
    (0..2_000).for_each(|seq| link.deliver(push(seq + 1, 60_000, 2)));
    assert!(before.elapsed() < Duration::from_secs(10), "nothing blocks: {:?}", before.elapsed());
    assert_eq!(port.port.count(), 1, "120 MB of pushes are hints");
    (0..1_000).for_each(|seq| link.deliver(kick(seq)));
    assert_eq!(port.port.count(), 1, "kicks still have room");
}
