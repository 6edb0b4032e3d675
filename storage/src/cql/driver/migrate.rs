//! Making the schema, changing it, and holding it against what this program needs.
//!
//! Two processes that migrate at once do no harm: all statements go to one node, the same for all processes, which does
//! one after the other; each may run twice; and one process at a time holds the row of `about`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::unprepared::Statement;
use scylla::value::CqlValue;
use scylla::value::Row;

use super::config::{DriverConfig, SchemaConfig};
use super::error::{OpenError, lacks_right};
use super::schema::{ABOUT, MIGRATIONS, VERSION};
use super::session::connect;
use super::statement::in_keyspace;
use crate::cql::MAX_LEDGERS;

/// How long a process that died while it migrated keeps others out.
const HOLD: Duration = Duration::from_secs(120);
/// How long one statement may take: a node syncs its schema for each.
const STATEMENT: Duration = Duration::from_secs(60);
/// The version with which ledgers came: stores that are older have none.
const VERSION_OF_LEDGERS: u32 = 2;
const RETRY: Duration = Duration::from_millis(500);

/// What a migration found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The server's kind and version.
    pub server: String,
    /// The version of the schema before; `None`: there was none.
    pub from: Option<u32>,
    pub to: u32,
    /// How many ledgers the store has, which stays as it was made.
    pub ledgers: u16,
}

/// Makes the keyspace and the tables, or brings them to this program's version. Changes nothing if they have it.
///
/// # Errors
/// See [`OpenError`]; a schema of a later version is left alone.
pub async fn migrate(config: &DriverConfig, schema: &SchemaConfig) -> Result<Report, OpenError> {
    let session = connect(config).await?;
    let migration = Migration::new(&session, config).ok_or_else(|| OpenError::Unreachable {
        points: config.contact_points.join(", "),
        reason: "no node is connected".into(),
    })?;
    let server = migration.server().await?;
    migration.begin(schema, server.is_scylla).await?;
    migration.hold().await?;
    let done = migration.bring_up(schema).await;
    migration.release().await?;
    let from = done?;
    let ledgers = ledgers(&session, config).await?;
    Ok(Report { server: server.name, from, to: VERSION, ledgers })
}

/// What a store says of itself.
pub(super) struct About {
    pub(super) id: u64,
    pub(super) ledgers: u16,
}

/// The store's id and ledgers, if the schema is this program's.
pub(super) async fn check(session: &Session, config: &DriverConfig) -> Result<About, OpenError> {
    let keyspace = &config.keyspace;
    let state = session.get_cluster_state();
    let Some(found) = state.get_keyspace(keyspace) else {
        return Err(OpenError::KeyspaceMissing(keyspace.clone()));
    };
    if !found.tables.contains_key("about") {
        return Err(OpenError::SchemaMissing(keyspace.clone()));
    }
    let row: Option<(Option<i32>, Option<i64>)> =
        row_of(session, config, "SELECT version, store FROM ks.about WHERE id = 0").await?;
    let Some((Some(version), Some(store))) = row else {
        return Err(OpenError::SchemaMissing(keyspace.clone()));
    };
    let stored = u32::try_from(version).unwrap_or(0);
    match stored.cmp(&VERSION) {
        std::cmp::Ordering::Less => Err(OpenError::SchemaOlder { stored, needed: VERSION }),
        std::cmp::Ordering::Greater => Err(OpenError::SchemaNewer { stored, known: VERSION }),
        std::cmp::Ordering::Equal => {
            Ok(About { id: store.cast_unsigned(), ledgers: ledgers(session, config).await? })
        }
    }
}

async fn ledgers(session: &Session, config: &DriverConfig) -> Result<u16, OpenError> {
    let row: Option<(Option<i64>,)> =
        row_of(session, config, "SELECT value FROM ks.settings WHERE name = 'ledgers'").await?;
    let count = row.and_then(|(count,)| count).unwrap_or(0);
    let valid = u16::try_from(count).ok().filter(|count| *count <= MAX_LEDGERS);
    valid.ok_or_else(|| OpenError::refused("to be understood", format!("it has {count} ledgers")))
}

async fn row_of<R>(session: &Session, config: &DriverConfig, text: &str) -> Result<Option<R>, OpenError>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    let text = in_keyspace(text, &config.keyspace);
    let refused = |error: &dyn std::fmt::Display| OpenError::refused("to tell its version", error);
    let row = session.query_unpaged(text, ()).await.map_err(|error| match lacks_right(&error) {
        Some(why) => refused(&why),
        None => {
            OpenError::Unreachable { points: config.contact_points.join(", "), reason: error.to_string() }
        }
    })?;
    let row = row.into_rows_result().map_err(|error| refused(&error))?;
    row.maybe_first_row::<R>().map_err(|error| refused(&error))
}

struct Server {
    name: String,
    is_scylla: bool,
}

struct Migration<'a> {
    session: &'a Session,
    keyspace: &'a str,
    /// To which all statements go.
    node: Arc<Node>,
    /// This process, as the row of `about` names it.
    me: i64,
}

impl<'a> Migration<'a> {
    fn new(session: &'a Session, config: &'a DriverConfig) -> Option<Migration<'a>> {
        let state = session.get_cluster_state();
        let connected = state.get_nodes_info().iter().filter(|node| node.is_connected());
        let node = connected.min_by_key(|node| node.host_id)?.clone();
        Some(Migration { session, keyspace: &config.keyspace, node, me: rand::random() })
    }

    async fn server(&self) -> Result<Server, OpenError> {
        let row = self.run("SELECT release_version FROM system.local").await?;
        let version = row.and_then(|row| Some(row.columns.first()?.as_ref()?.as_text()?.clone()));
        let of_scylla = "SELECT table_name FROM system_schema.tables
            WHERE keyspace_name = 'system' AND table_name = 'scylla_local'";
        let is_scylla = self.run(of_scylla).await?.is_some();
        let kind = if is_scylla { "Scylla, which speaks as Cassandra" } else { "Cassandra" };
        Ok(Server { name: format!("{kind} {}", version.unwrap_or_default()), is_scylla })
    }

    /// What has to be there before anybody can be kept out.
    async fn begin(&self, schema: &SchemaConfig, is_scylla: bool) -> Result<(), OpenError> {
        let mut text = format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {}",
            self.keyspace, schema.replication
        );
        if is_scylla {
            // Conditional writes and tablets do not go together in all of its versions.
            text += " AND tablets = {'enabled': false}";
        }
        self.run(&text).await?;
        self.run(ABOUT).await?;
        // Another process may have made it a moment ago, and not every node knows it yet.
        let agreed = self.session.await_schema_agreement().await;
        agreed.map(drop).map_err(|error| OpenError::refused("to agree about the schema", error))
    }

    /// Waits until no other process migrates.
    async fn hold(&self) -> Result<(), OpenError> {
        let begun = Instant::now();
        let text = format!(
            "UPDATE ks.about USING TTL {} SET migrator = {} WHERE id = 0 IF migrator = null",
            HOLD.as_secs(),
            self.me
        );
        while !self.applied(&text).await? {
            if begun.elapsed() > HOLD * 2 {
                return Err(OpenError::Migrating(begun.elapsed()));
            }
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    }

    async fn release(&self) -> Result<(), OpenError> {
        let text = format!("UPDATE ks.about SET migrator = null WHERE id = 0 IF migrator = {}", self.me);
        self.applied(&text).await.map(drop)
    }

    /// The version before.
    async fn bring_up(&self, schema: &SchemaConfig) -> Result<Option<u32>, OpenError> {
        let from = self.version().await?;
        let stored = from.unwrap_or(0);
        if stored > VERSION {
            return Err(OpenError::SchemaNewer { stored, known: VERSION });
        }
        let compaction = schema.compaction.as_deref();
        let compaction = compaction.map_or_else(String::new, |map| format!("WITH compaction = {map}"));
        for (number, statements) in (1..).zip(MIGRATIONS).skip(stored as usize) {
            for statement in statements {
                self.run(&statement.replace("COMPACTION", &compaction)).await?;
            }
            if number == VERSION_OF_LEDGERS && from.is_none() {
                self.choose_ledgers(schema.ledgers).await?;
            }
            let was = if number == 1 { "null".to_owned() } else { (number - 1).to_string() };
            let told = format!("UPDATE ks.about SET version = {number} WHERE id = 0 IF version = {was}");
            self.applied(&told).await?;
        }
        let named = format!("UPDATE ks.about SET store = {} WHERE id = 0 IF store = null", self.me);
        self.applied(&named).await?;
        Ok(from)
    }

    /// A choice for good: a log does not move from one way of committing to the other.
    async fn choose_ledgers(&self, count: u16) -> Result<(), OpenError> {
        let count = count.min(MAX_LEDGERS);
        let text = format!("INSERT INTO ks.settings (name, value) VALUES ('ledgers', {count}) IF NOT EXISTS");
        self.applied(&text).await.map(drop)
    }

    async fn version(&self) -> Result<Option<u32>, OpenError> {
        let row = self.run("SELECT version FROM ks.about WHERE id = 0").await?;
        let version = row.and_then(|row| row.columns.first()?.as_ref()?.as_int());
        Ok(version.and_then(|version| u32::try_from(version).ok()))
    }

    /// Whether a conditional statement was applied, or had been before.
    async fn applied(&self, text: &str) -> Result<bool, OpenError> {
        let row = self.run(text).await?;
        let applied = row.and_then(|row| row.columns.into_iter().next().flatten());
        Ok(applied == Some(CqlValue::Boolean(true)))
    }

    /// The first row of what a statement answers, if it answers with rows.
    async fn run(&self, text: &str) -> Result<Option<Row>, OpenError> {
        let text = in_keyspace(text, self.keyspace);
        let mut statement = Statement::new(text.clone());
        let target = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(self.node.clone()), None);
        statement.set_load_balancing_policy(Some(target));
        statement.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        statement.set_request_timeout(Some(STATEMENT));
        let doing = || text.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        let answer = self.session.query_unpaged(statement, ()).await;
        let answer = answer.map_err(|error| OpenError::refused(&doing(), error))?;
        if !answer.is_rows() {
            return Ok(None);
        }
        let rows = answer.into_rows_result().map_err(|error| OpenError::refused(&doing(), error))?;
        rows.maybe_first_row::<Row>().map_err(|error| OpenError::refused(&doing(), error))
    }
}
