//! Connections to a cluster.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::config::DriverConfig;
use super::error::OpenError;
use super::statement::Profiles;

/// A connection on which nothing is heard is asked so often whether it lives, and closed if it does not say so in time.
const KEEPALIVE: Duration = Duration::from_secs(3);
/// How long a node may take to read the schema's tables for the driver, and how long its answer is waited for.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_ANSWER: Duration = Duration::from_secs(11);
/// How long the nodes may take to agree about a changed schema.
pub(super) const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Connects to the nodes that the configuration names, and to those that they know.
pub(super) async fn connect(config: &DriverConfig) -> Result<Session, OpenError> {
    if !config.has_valid_keyspace() {
        return Err(OpenError::KeyspaceName(config.keyspace.clone()));
    }
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.contact_points)
        .connection_timeout(config.connect_timeout)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .tcp_nodelay(true)
        .keyspaces_to_fetch([&config.keyspace])
        .metadata_request_serverside_timeout(METADATA_TIMEOUT)
        .metadata_request_clientside_timeout(METADATA_ANSWER)
        .schema_agreement_timeout(AGREEMENT_TIMEOUT)
        .default_execution_profile_handle(Profiles::new(config).plain);
    if let Some(credentials) = &config.credentials {
        builder = builder.user(&credentials.user, &credentials.password);
    }
    // Without a node the driver would try for ever longer than anybody waits.
    // What it logs of a failure the error says in fewer words, and whoever opens the store tells that.
    let opened = Box::pin(builder.build().with_subscriber(NoSubscriber::default())).await;
    opened.map_err(|error| OpenError::of_session(&config.contact_points, &error))
}
