//! Migrations, and what `open` says of other schemas.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use whimbrel_storage::cql::driver::{Driver, DriverConfig, OpenError, VERSION, migrate};
use whimbrel_storage::cql::tables::Tables;

use super::cluster::{keyspace, schema, shared};

/// A keyspace of its own that does not exist yet.
async fn fresh(kind: &str) -> DriverConfig {
    let (config, _) = shared().await;
    DriverConfig { keyspace: keyspace(kind), ..config.clone() }
}

async fn session(config: &DriverConfig) -> Session {
    SessionBuilder::new().known_nodes(&config.contact_points).build().await.unwrap()
}

async fn say(config: &DriverConfig, text: &str) {
    session(config).await.query_unpaged(text.replace("ks", &config.keyspace), ()).await.unwrap();
}

async fn refused(config: &DriverConfig) -> OpenError {
    Driver::open(config).await.err().expect("there is no such schema")
}

#[tokio::test]
async fn a_store_is_opened_once_it_has_been_made() {
    let config = fresh("made").await;
    let error = refused(&config).await;
    assert!(matches!(error, OpenError::KeyspaceMissing(_)), "{error}");
    assert!(error.to_string().contains("whimbrel store migrate"));
    let replication = schema(config.contact_points.len()).replication;
    say(&config, &format!("CREATE KEYSPACE ks WITH replication = {replication}")).await;
    assert!(matches!(refused(&config).await, OpenError::SchemaMissing(_)));
    let made = migrate(&config, &schema(config.contact_points.len())).await.unwrap();
    assert_eq!((made.from, made.to), (None, VERSION));
    let store = Driver::open(&config).await.unwrap().store_id().await.unwrap();
    // Once more changes nothing.
    let again = migrate(&config, &schema(config.contact_points.len())).await.unwrap();
    assert_eq!((again.from, again.to), (Some(VERSION), VERSION));
    assert_eq!(Driver::open(&config).await.unwrap().store_id().await, Ok(store));
    say(&config, "DROP KEYSPACE ks").await;
}

#[tokio::test]
async fn two_may_migrate_at_once() {
    let config = fresh("twice").await;
    let schema = schema(config.contact_points.len());
    let (one, other) = tokio::join!(migrate(&config, &schema), migrate(&config, &schema));
    let mut from = [one.unwrap().from, other.unwrap().from];
    from.sort_unstable();
    assert_eq!(from, [None, Some(VERSION)], "one makes it, the other finds it");
    Driver::open(&config).await.unwrap();
    say(&config, "DROP KEYSPACE ks").await;
}

#[tokio::test]
async fn other_schemas_are_left_alone() {
    let config = fresh("other").await;
    let schema = schema(config.contact_points.len());
    migrate(&config, &schema).await.unwrap();
    let later = VERSION + 1;
    say(&config, &format!("UPDATE ks.about SET version = {later} WHERE id = 0 IF EXISTS")).await;
    for error in [refused(&config).await, migrate(&config, &schema).await.unwrap_err()] {
        assert!(matches!(error, OpenError::SchemaNewer { stored, .. } if stored == later), "{error}");
    }
    say(&config, "UPDATE ks.about SET version = 0 WHERE id = 0 IF EXISTS").await;
    let error = refused(&config).await;
    assert!(matches!(error, OpenError::SchemaOlder { stored: 0, needed: VERSION }), "{error}");
    // As a migration leaves it that has died on its way.
    say(&config, "UPDATE ks.about SET version = null WHERE id = 0 IF EXISTS").await;
    assert!(matches!(refused(&config).await, OpenError::SchemaMissing(_)));
    assert_eq!(migrate(&config, &schema).await.unwrap().from, None);
    Driver::open(&config).await.unwrap();
    say(&config, "DROP KEYSPACE ks").await;
}

#[tokio::test]
async fn a_keyspace_with_a_name_that_needs_quotes_is_refused() {
    let config = DriverConfig { keyspace: "Whimbrel; DROP".into(), ..shared().await.0.clone() };
    assert!(matches!(refused(&config).await, OpenError::KeyspaceName(_)));
}
