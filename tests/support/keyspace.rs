//! A keyspace in a real cluster, for the gateways of one test.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use parking_lot::Mutex;
use scylla::client::session_builder::SessionBuilder;
use servers::shared;
use storage::cql::CqlConfig;
use storage::cql::driver::{DriverConfig, open};
use storage::log::{Append, AppendOutcome, Entry, EntryKind};
use storage::{ConversationKey, Log};

use super::process::{Gateway, PROGRAM, Settings};
use super::tokens::TENANT;

/// How long a gateway waits for an append, a read and a plain write.
const STORE_MS: u64 = 4_000;

/// Names of keyspaces that nobody uses any more.
static UNUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Its name, which nobody else uses, and how many replicas it has.
pub struct Keyspace {
    name: String,
    replicas: u8,
}

impl Keyspace {
    pub fn new(replicas: u8) -> Keyspace {
        Keyspace { name: format!("test_{:08x}", rand::random::<u32>()), replicas }
    }

    #[allow(dead_code, reason = "not every test speaks to the cluster itself")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of the gateway with this number, which finds the cluster at these addresses.
    pub fn settings(&self, number: u16, points: &[SocketAddr]) -> Settings {
        let hosts: Vec<String> = points.iter().map(|point| format!("\"{point}\"")).collect();
        Settings::new()
            .set("node.number", number)
            .set("store.backend", "\"cql\"")
            .set("cql.hosts", format!("[{}]", hosts.join(", ")))
            .set("cql.keyspace", format!("\"{}\"", self.name))
            .set("cql.replication", format!("\"{}\"", self.replicas))
            .set("cql.append_timeout_ms", STORE_MS)
            .set("cql.request_timeout_ms", STORE_MS)
    }

    /// Appends an entry that is no message.
    pub async fn plant(&self, points: &[SocketAddr], room: &str) {
        let points = points.iter().map(ToString::to_string).collect();
        let store = open(&DriverConfig::new(points, self.name.clone()), CqlConfig::default()).await.unwrap();
        let key = ConversationKey::new(TENANT, room);
        let opened = store.open(&key).await.unwrap();
        let append = Append {
            key,
            epoch: opened.epoch,
            expected_tip: opened.tip,
            batch: [9; 16],
            at_ms: 1,
            entries: vec![Entry::new([0xFF; 3].to_vec().into(), "", EntryKind::Shown, None)],
            members: Vec::new(),
            active: opened.members.iter().map(|row| row.user.as_str().into()).collect(),
            info: None,
        };
        assert_eq!(store.append(append).await, AppendOutcome::Applied);
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        UNUSED.lock().push(std::mem::take(&mut self.name));
    }
}

/// Has the shared cluster drop what nobody uses any more: with little memory it cannot hold the tables of many rounds.
#[allow(dead_code, reason = "most tests have few rounds")]
pub async fn drop_unused() -> Result<(), String> {
    let names = std::mem::take(&mut *UNUSED.lock());
    if names.is_empty() {
        return Ok(());
    }
    let builder = SessionBuilder::new().known_nodes_addr(shared_cluster().await);
    let session = builder.build().await.map_err(|error| format!("the shared cluster is gone: {error}"))?;
    for name in names {
        let dropped = session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {name}"), ()).await;
        dropped.map_err(|error| format!("{name} cannot be dropped: {error}"))?;
    }
    Ok(())
}

/// Where the cluster is that all tests share which do not break it.
pub async fn shared_cluster() -> Vec<SocketAddr> {
    let points = shared::cql().await.unwrap_or_else(|error| panic!("{error}; ./test servers fetches it"));
    points.iter().map(|point| point.parse().expect("an address")).collect()
}

/// Makes the tables of a gateway's keyspace.
pub async fn migrate(gateway: &Gateway) {
    let (done, said) = run_store(gateway, "migrate").await;
    assert!(done, "{said}");
}

/// How many findings `whimbrel store check` has on a gateway's store, and all that it says.
pub async fn findings(gateway: &Gateway) -> (usize, String) {
    let (_, said) = run_store(gateway, "check").await;
    let count = said.lines().find_map(|line| line.split_once("findings=")?.1.trim().parse().ok());
    (count.unwrap_or_else(|| panic!("the check does not come to its end:\n{said}")), said)
}

async fn run_store(gateway: &Gateway, verb: &str) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["store", verb, "--config"]).arg(gateway.config()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.success(), said.concat())
}
