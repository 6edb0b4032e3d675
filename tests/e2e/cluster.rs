//! A gateway whose store is in a cluster: the cluster is not there yet, has no tables, goes away and comes back.

use std::time::{Duration, Instant};

use protocol::code::Code;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;

use crate::support::http;
use crate::support::keyspace::{Keyspace, migrate, shared_cluster};
use crate::support::process::{Gateway, free_port};
use crate::support::proxy::Proxy;
use crate::support::raw::{Raw, text_to};
use crate::support::soon;

/// How long the store may take to be found again on a busy machine.
const BACK: Duration = Duration::from_secs(60);

async fn says(gateway: &Gateway, what: &str) {
    soon(what, async {
        while !gateway.log().contains(what) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_waited_for_and_named() {
    let nobody = free_port();
    let settings = Keyspace::new(1).settings(1, &[nobody]).set("cql.wait_ms", 2_500);
    let mut gateway = Gateway::prepare(settings);
    gateway.spawn();
    says(&gateway, "waiting for the store").await;
    assert!(http::get(gateway.http, "/readyz").await.is_err(), "nobody takes it for ready");
    assert_eq!(gateway.ended().await.code(), Some(1), "{}", gateway.log());
    let (log, named) = (gateway.log(), format!("no node of the store answers at {nobody}"));
    assert!(log.lines().last().is_some_and(|line| line.contains(&named)), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn a_gateway_that_waits_for_its_store_ends_when_it_is_told_to() {
    let mut gateway = Gateway::prepare(Keyspace::new(1).settings(1, &[free_port()]));
    gateway.spawn();
    says(&gateway, "waiting for the store").await;
    assert!(gateway.stop().await.success(), "{}", gateway.log());
}

#[tokio::test]
async fn a_cluster_comes_late_goes_away_and_comes_back() {
    let (keyspace, points) = (Keyspace::new(1), shared_cluster().await);
    let proxy = Proxy::start(points[0]).await;
    let mut gateway = Gateway::prepare(keyspace.settings(1, &[proxy.address]));

    // Without tables.
    gateway.spawn();
    assert_eq!(gateway.ended().await.code(), Some(1), "{}", gateway.log());
    assert!(gateway.log().contains("run whimbrel store migrate"), "{}", gateway.log());
    migrate(&gateway).await;

    // Late.
    proxy.refuse(true);
    gateway.spawn();
    says(&gateway, "waiting for the store").await;
    proxy.refuse(false);
    says(&gateway, " is ready").await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    assert_eq!(alice.send(text_to("bob", "it is there")).await.seq, 2);

    // Away: whatever is sent is refused for now.
    proxy.refuse(true);
    proxy.cut_all();
    let told = alice.request(Ask::Send(text_to("bob", "it is away"))).await;
    let Told::Error(error) = told else { panic!("{told:?}") };
    let code = Code::from_number(error.code);
    assert!(error.retryable && matches!(code, Some(Code::UNAVAILABLE | Code::OUTCOME_UNKNOWN)), "{error:?}");
    assert_eq!(http::get(gateway.http, "/readyz").await.unwrap().status, 503);

    // Back, without a restart.
    proxy.refuse(false);
    let (healed, again) = (Instant::now(), text_to("bob", "it is back"));
    let ack = loop {
        match alice.request(Ask::Send(again.clone())).await {
            Told::SendAck(ack) => break ack,
            Told::Error(error) if error.retryable && healed.elapsed() < BACK => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let log = alice.sync_all(&ack.conversation, 1).await;
    assert_eq!(log.last().map(|message| message.seq), Some(ack.seq));
    assert!(gateway.is_alive());
}
