//! Cassandra runs, as the driver sees it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::Consistency;
use scylla::value::{CqlValue, Row};
use whimbrel_servers::{Cassandra, CassandraSettings};

/// Longer than a stalled node takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(60);

fn builder(cluster: &Cassandra) -> SessionBuilder {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::Quorum)
        .retry_policy(std::sync::Arc::new(FallthroughRetryPolicy))
        .request_timeout(Some(Duration::from_secs(20)));
    SessionBuilder::new()
        .known_nodes_addr(cluster.addresses())
        .connection_timeout(Duration::from_secs(10))
        .default_execution_profile_handle(profile.build().into_handle())
}

async fn connect(cluster: &Cassandra) -> Session {
    builder(cluster).build().await.unwrap()
}

async fn prepare(session: &Session, copies: usize) {
    let keyspace = format!(
        "CREATE KEYSPACE t WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"
    );
    session.query_unpaged(keyspace, ()).await.unwrap();
    let table = "CREATE TABLE t.log (id int, seq int, tip int static, PRIMARY KEY (id, seq))";
    session.query_unpaged(table, ()).await.unwrap();
}

/// A conditional batch of two statements; whether it was applied.
async fn append(session: &Session, tip: i32) -> Result<bool, scylla::errors::ExecutionError> {
    let next = tip + 1;
    let condition = if tip == 0 { "null".to_owned() } else { tip.to_string() };
    let batch = format!(
        "BEGIN BATCH UPDATE t.log SET tip = {next} WHERE id = 1 IF tip = {condition};
         INSERT INTO t.log (id, seq) VALUES (1, {next}); APPLY BATCH"
    );
    let rows = session.query_unpaged(batch, ()).await?.into_rows_result().unwrap();
    let row: Row = rows.first_row().unwrap();
    Ok(row.columns[0] == Some(CqlValue::Boolean(true)))
}

async fn rows(session: &Session) -> usize {
    let rows = session.query_unpaged("SELECT seq FROM t.log WHERE id = 1", ()).await.unwrap();
    rows.into_rows_result().unwrap().rows_num()
}

#[tokio::test]
async fn one_node_keeps_what_it_has_answered_over_a_kill() {
    let cluster = Cassandra::start(CassandraSettings::default()).await.unwrap();
    let session = connect(&cluster).await;
    let version = session.query_unpaged("SELECT release_version FROM system.local", ()).await.unwrap();
    let (version,): (String,) = version.into_rows_result().unwrap().first_row().unwrap();
    assert!(version.starts_with("5.0."), "{version}");
    prepare(&session, 1).await;
    for tip in 0..20 {
        assert!(append(&session, tip).await.unwrap());
    }
    assert!(!append(&session, 7).await.unwrap(), "the condition is false");
    cluster.kill(1).unwrap();
    cluster.restart(1).await.unwrap();
    let session = connect(&cluster).await;
    assert_eq!(rows(&session).await, 20);
    assert!(append(&session, 20).await.unwrap());
}

#[tokio::test]
async fn three_nodes_serve_while_two_of_them_run() {
    let cluster = Cassandra::start(CassandraSettings { nodes: 3, ..Default::default() }).await.unwrap();
    let session = connect(&cluster).await;
    prepare(&session, 3).await;
    assert!(append(&session, 0).await.unwrap());
    cluster.stall(3).unwrap();
    let mut tip = 1;
    // The first attempts may wait for the stalled node.
    tokio::time::timeout(PATIENCE, async {
        while !append(&session, tip).await.is_ok_and(|applied| applied) {
            tip = rows_at_least(&session, tip).await;
        }
    })
    .await
    .expect("two of three nodes are a quorum");
    tip = rows_at_least(&session, tip).await;
    cluster.kill(2).unwrap();
    append(&session, tip).await.expect_err("one of three is no quorum");
    cluster.resume(3).unwrap();
    cluster.restart(2).await.unwrap();
    let tip = rows_at_least(&session, tip).await;
    assert!(append(&session, tip).await.unwrap(), "all three are back");
}

/// The tip, once it can be read.
async fn rows_at_least(session: &Session, least: i32) -> i32 {
    let mut query = scylla::statement::unprepared::Statement::new("SELECT tip FROM t.log WHERE id = 1");
    query.set_consistency(Consistency::Serial);
    let read = async {
        loop {
            let Ok(rows) = session.query_unpaged(query.clone(), ()).await else { continue };
            let (tip,): (i32,) = rows.into_rows_result().unwrap().first_row().unwrap();
            return tip;
        }
    };
    let tip = tokio::time::timeout(PATIENCE, read).await.expect("the tip is readable");
    assert!(tip >= least, "{tip} of {least}");
    tip
}

#[tokio::test]
async fn a_node_with_passwords_wants_the_right_one() {
    let cluster =
        Cassandra::start(CassandraSettings { passwords: true, ..Default::default() }).await.unwrap();
    builder(&cluster).user("cassandra", "cassandra").build().await.unwrap();
    let refused = builder(&cluster).user("cassandra", "wrong").build().await;
    assert!(refused.is_err_and(|error| error.to_string().contains("password")));
    assert!(builder(&cluster).build().await.is_err());
}
