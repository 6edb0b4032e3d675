//! What else comes to the link port, or answers there: refused, said so in one line, and nobody else is harmed.

use std::time::Duration;

use cluster::link::dial::DialledLink;
use cluster::link::hello::Me;
use cluster::link::wire::single;
use cluster::link::{ChannelLink as _, LinkConfig};
use protocol::node::v1::link_message::Body;
use protocol::preface::LINK_PREFACE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use whimbrel_cluster as cluster;

use super::support::{Dialler, Port, channel, config, connector, me, numbered, until};

/// Sends bytes and reads until the port closes.
async fn say(port: &Port, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(port.address).await.unwrap();
    // A port that has hung up already answers with a reset.
    _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    _ = read.expect("the port hangs up");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused_and_a_link_beside_it_goes_on() {
    let port = Port::start(config(channel(), 1)).await;
    let dialler = Dialler::start(config(connector(), 1), channel(), port.address);
    until("a link", || dialler.link.is_connected()).await;
    let early = single(Body::ToChannel(numbered(1)));
    let hello = single(Body::Hello(me(connector(), 9).hello(channel(), 1, 0, 1)));
    let cases: [Vec<u8>; 7] = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xFF; 100_000],
        vec![],
        LINK_PREFACE.to_vec(),
        [&LINK_PREFACE[..], &early].concat(),
        [&LINK_PREFACE[..], &[0xFF; 4_096]].concat(),
        [&LINK_PREFACE[..], &hello[..hello.len() - 3]].concat(),
    ];
    for case in cases {
        say(&port, &case).await;
    }
    // As many silent ones as may be, and then one that speaks.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(port.address).await.unwrap());
    }
    dialler.link.send(numbered(5)).unwrap();
    until("the link goes on", || *port.host.heard.lock() == [5]).await;
    let second = Dialler::start(config(connector(), 2), channel(), port.address);
    until("one more comes in when the silent ones are sent away", || second.link.is_connected()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clusters_node_gets_no_link() {
    let port = Port::start(config(channel(), 1)).await;
    let other = Me { cluster: "other".into(), ..me(connector(), 1) };
    let stranger =
        Dialler::start(LinkConfig { me: other, ..config(connector(), 1) }, channel(), port.address);
    let lost = Dialler::start(config(connector(), 1), connector(), port.address);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!stranger.link.is_connected() && !lost.link.is_connected());
    assert_eq!((port.port.count(), port.host.links.lock().len()), (0, 0));
}

/// After the hello a peer that breaks the protocol loses its session; a connector that keeps to it gets a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_breaks_the_protocol_later_is_cut_off() {
    let port = Port::start(config(channel(), 1)).await;
    let hello = single(Body::Hello(me(connector(), 1).hello(channel(), 1, 0, 1)));
    let wrong_way = single(Body::ToConnector(super::support::kick(1)));
    let miscounted = single(Body::Ack(protocol::node::v1::LinkAck { received: 9 }));
    for (at, broken) in
        [&wrong_way[..], &miscounted, &hello, &[0xFF; 50], &[0, 0, 0, 3, 2, 5, 1]].iter().enumerate()
    {
        let answer = say(&port, &[&LINK_PREFACE[..], &hello, broken].concat()).await;
        assert!(!answer.is_empty(), "it was welcomed first");
        until("its session is over", || *port.host.gone.lock() == at + 1).await;
    }
    let dialler = Dialler::start(config(connector(), 1), channel(), port.address);
    until("a link", || dialler.link.is_connected()).await;
}

/// Whatever answers at a channel node's address, the dialler keeps trying and takes nothing for a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_wrongly_is_no_channel_node() {
    let answers: [Vec<u8>; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        single(Body::Welcome(me(connector(), 1).welcome(1, false, 0, 1))).to_vec(),
        single(Body::Welcome(me(channel(), 1).welcome(9, false, 0, 1))).to_vec(),
        vec![0xFF; 70_000],
    ];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        let (asked, count) = tokio::sync::watch::channel(0);
        tasks.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                _ = socket.write_all(&answer).await;
                asked.send_modify(|count| *count += 1);
            }
        });
        let dialler = Dialler::start(config(connector(), 1), channel(), address);
        until("it has tried again", || *count.borrow() >= 2).await;
        assert!(!dialler.link.is_connected() && *dialler.events.began.lock() == 0);
        dialler.link.close();
    }
}

#[tokio::test]
async fn a_link_that_is_closed_before_it_runs_returns() {
    let link = DialledLink::new(channel(), "127.0.0.1:1".into(), std::sync::Arc::new(config(connector(), 1)));
    link.close();
    let events = std::sync::Arc::new(super::support::Events::default());
    tokio::time::timeout(Duration::from_secs(5), link.run(events)).await.unwrap();
}
