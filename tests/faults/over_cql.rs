//! A keyspace in a real cluster and gateways over it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use servers::shared;
use storage::cql::CqlConfig;
use storage::cql::driver::{DriverConfig, open};
use storage::log::{Append, AppendOutcome, Entry, EntryKind};
use storage::{ConversationKey, Log};

use crate::report::Report;
use crate::support::process::{Gateway, PROGRAM, Settings};
use crate::support::tokens::TENANT;

/// How long a gateway waits for an append, a read and a plain write.
const STORE_MS: u64 = 4_000;

/// Names of a keyspace that nobody else uses, and how many replicas it has.
#[derive(Clone)]
pub struct Keyspace {
    name: String,
    replicas: u8,
}

impl Keyspace {
    pub fn new(replicas: u8) -> Keyspace {
        Keyspace { name: format!("faults_{:08x}", rand::random::<u32>()), replicas }
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

    /// Holds what is stored against itself, and shows that a bad entry would have been found.
    pub async fn check(&self, report: &mut Report, gateway: &Gateway, points: &[SocketAddr], room: &str) {
        let (findings, said) = self.findings(gateway).await;
        report.exactly("store check: findings", findings, 0);
        if findings > 0 {
            said.lines().take(20).for_each(|line| report.note(line));
        }
        self.plant(points, room).await;
        let (planted, _) = self.findings(gateway).await;
        report.exactly("planted: a bad entry is found", planted, findings + 1);
    }

    async fn findings(&self, gateway: &Gateway) -> (usize, String) {
        let (_, said) = run_store(gateway, "check").await;
        let count = said.lines().find_map(|line| line.split_once("findings=")?.1.trim().parse().ok());
        (count.unwrap_or_else(|| panic!("the check does not come to its end:\n{said}")), said)
    }

    /// Appends an entry that is no message.
    async fn plant(&self, points: &[SocketAddr], room: &str) {
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

/// Makes the tables of a gateway's keyspace.
pub async fn migrate(gateway: &Gateway) {
    let (done, said) = run_store(gateway, "migrate").await;
    assert!(done, "{said}");
}

/// Where the cluster is that all rows share which do not break it.
pub async fn shared_cluster() -> Vec<SocketAddr> {
    let points = shared::cql().await.unwrap_or_else(|error| panic!("{error}; ./test servers fetches it"));
    points.iter().map(|point| point.parse().expect("an address")).collect()
}

async fn run_store(gateway: &Gateway, verb: &str) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["store", verb, "--config"]).arg(gateway.config()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.success(), said.concat())
}
