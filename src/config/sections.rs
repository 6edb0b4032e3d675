//! Every value there is, with its doc, default and range.

use super::section::{Section, section};
use super::setting::{Backend, Consistency, FilePath, Kick, Listen, LogFormat, Plaintext, Secret};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub node: Node,
    pub cluster: Cluster,
    pub tcp: Tcp,
    pub quic: Quic,
    pub http: Http,
    pub admin: Admin,
    pub tls: Tls,
    pub auth: Auth,
    pub limits: Limits,
    pub devices: Devices,
    pub presence: Presence,
    pub store: Store,
    pub cql: Cql,
    pub log: Log,
}

impl Config {
    /// The names of all sections, in the order of the file.
    pub const SECTIONS: [&'static str; 14] = [
        "node", "cluster", "tcp", "quic", "http", "admin", "tls", "auth", "limits", "devices", "presence",
        "store", "cql", "log",
    ];

    /// The section with this name.
    pub fn section_mut(&mut self, name: &str) -> Option<&mut dyn Section> {
        Some(match name {
            "node" => &mut self.node,
            "cluster" => &mut self.cluster,
            "tcp" => &mut self.tcp,
            "quic" => &mut self.quic,
            "http" => &mut self.http,
            "tls" => &mut self.tls,
            "auth" => &mut self.auth,
            "admin" => &mut self.admin,
            "limits" => &mut self.limits,
            "devices" => &mut self.devices,
            "presence" => &mut self.presence,
            "store" => &mut self.store,
            "cql" => &mut self.cql,
            "log" => &mut self.log,
            _ => return None,
        })
    }

    /// Lets the certificate and the files of keys and passwords, where relative, start at `dir`. The data directory does
    /// not.
    pub fn start_files_at(&mut self, dir: &std::path::Path) {
        let keys = self.auth.keys.iter_mut();
        let keys = keys.flat_map(|key| [&mut key.secret_file, &mut key.public_key_file]);
        let cluster = [&mut self.cluster.cert, &mut self.cluster.key, &mut self.cluster.ca];
        let others = [&mut self.tls.cert, &mut self.tls.key, &mut self.cql.password_file];
        keys.chain(others).chain(cluster).for_each(|file| file.start_at(dir));
    }
}

section! {
    /// This process and where its data lies.
    pub struct Node {
        /// Number of this node in its cluster. It stands in every DeviceId the node makes: no two nodes share one.
        /// Nodes that find each other through ZooKeeper get theirs from there.
        number: u16 = 0, in 0..=4095;
        /// Directory of everything that lasts; a relative one starts at the working directory.
        /// One process at a time opens it.
        data_dir: FilePath = "whimbrel-data".into();
        /// Worker threads; 0 is one per core. The variable WHIMBREL_WORKERS sets it too.
        workers: usize = 0, in 0..=1024;
        /// How long a shutdown may take, in milliseconds: devices are sent away and the store is closed.
        drain_ms: u64 = 10_000, in 100..=600_000;
    }
}

section! {
    /// Several processes: `whimbrel connector` and `whimbrel channel` find each other through ZooKeeper. `serve` and
    /// `dev` are clusters of their own and use nothing of this.
    pub struct Cluster {
        /// The same in every node; nodes of another name are refused. 1 to 64 letters, digits, dots, dashes, underscores.
        name: String = "whimbrel".into();
        /// ZooKeeper servers, for example "10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181".
        zookeeper: String = String::new();
        /// Where in ZooKeeper the cluster keeps what it has.
        zookeeper_path: String = "/whimbrel".into();
        /// "user:password" for ZooKeeper (scheme digest). Then nobody else may read or write what the cluster keeps.
        zookeeper_user: Secret = Secret::default();
        /// How long ZooKeeper waits for a silent node before it is taken for dead, in milliseconds. The servers' own
        /// limits count too.
        lease_ms: u64 = 6_000, in 1_000..=60_000;
        /// Channel nodes: IPv4 address and port for the links of connectors and of other channel nodes.
        listen: Listen = loopback(7450);
        /// Channel nodes: "host:port" at which other nodes reach `listen`; "" is the address itself.
        advertise: String = String::new();
        /// Channel nodes: "allow" takes unencrypted links from other machines; "refuse" does not start without a
        /// certificate unless `listen` is a loopback address.
        plaintext: Plaintext = Plaintext::Refuse;
        /// PEM file with this node's certificate for links. Its names include the URI whimbrel:connector or
        /// whimbrel:channel, which is what it may be, and for a channel node the host it advertises.
        cert: FilePath = FilePath::default();
        /// PEM file with that certificate's private key.
        key: FilePath = FilePath::default();
        /// PEM file with the CA that has signed the certificates of all nodes.
        ca: FilePath = FilePath::default();
        /// Channel nodes: this machine's share of users and conversations beside the others', where 16 is usual.
        weight: u32 = 16, in 1..=64;
        /// Connectors: how long a request waits where no channel node is within reach for it, in milliseconds, before it is
        /// refused. Longer than `lease_ms`, so that a node's death refuses nothing that it has not been asked.
        hold_ms: u64 = 10_000, in 0..=120_000;
        /// Connectors: URLs at which devices reach this node, for those who ask the cluster for one.
        endpoints: Vec<String> = Vec::new();
    }
}

section! {
    /// Devices over TCP. With a certificate in [tls] the same port speaks TLS.
    pub struct Tcp {
        /// Address and port, "" for off.
        listen: Listen = loopback(7400);
        /// "allow" takes unencrypted connections from other machines too; "refuse" does not start without a
        /// certificate unless `listen` is a loopback address.
        plaintext: Plaintext = Plaintext::Refuse;
    }
}

section! {
    /// Devices over QUIC (ALPN whimbrel/1). Always encrypted, so it needs [tls].
    pub struct Quic {
        /// Address and UDP port, "" for off.
        listen: Listen = loopback(7400);
    }
}

section! {
    /// Browsers over WebSocket, the chat page, /healthz, /readyz and /metrics. With a certificate it is HTTPS.
    pub struct Http {
        /// Address and port, "" for off.
        listen: Listen = loopback(7480);
        /// Origins of web pages that may open a WebSocket, for example ["https://chat.example.com"]. Pages
        /// served from this port itself always may; programs that are no browsers send no origin.
        allowed_origins: Vec<String> = Vec::new();
        /// "allow" takes unencrypted connections from other machines too, for example behind a proxy that ends TLS.
        plaintext: Plaintext = Plaintext::Refuse;
    }
}

section! {
    /// What an operator may ask: /admin/timeline and /admin/presence. Nobody is asked who they are, so it listens on a
    /// loopback address only, and everybody on the machine can read it.
    pub struct Admin {
        /// Address and port, for example "127.0.0.1:7490"; "" for off.
        listen: Listen = Listen(None);
    }
}

section! {
    /// The certificate for TCP, QUIC and HTTP.
    pub struct Tls {
        /// PEM file with the certificate and the chain above it.
        cert: FilePath = FilePath::default();
        /// PEM file with the certificate's private key. Nobody but the gateway's user should be able to read it.
        key: FilePath = FilePath::default();
    }
}

section! {
    /// Who may log in: devices bring a token (JWT) that one of these keys has signed. Without a key `serve` does
    /// not start. Two keys at once are how keys are changed without a break.
    pub struct Auth {
        /// The `iss` of every token.
        issuer: String = "whimbrel".into();
        /// The `aud` of every token, or one of several.
        audience: String = "whimbrel".into();
        /// Keys by id; see the example below.
        keys: Vec<AuthKey> = Vec::new();
    }
}

section! {
    /// A key. The token's `kid` names it; only its own algorithm counts, whatever the token says.
    pub struct AuthKey {
        /// Id, 1 to 64 bytes.
        kid: String = String::new();
        /// "HS256" with a shared secret, "ES256" or "EdDSA" with a public key.
        algorithm: String = "HS256".into();
        /// HS256: the secret, at least 32 bytes.
        secret: Secret = Secret::default();
        /// HS256: a file with the secret instead; white space around it does not count.
        secret_file: FilePath = FilePath::default();
        /// ES256 and EdDSA: a PEM file with the public key.
        public_key_file: FilePath = FilePath::default();
    }
}

section! {
    /// What one device and all devices together may cost.
    pub struct Limits {
        /// Silence after which a device pings, in milliseconds. Three times this without traffic ends a connection.
        heartbeat_ms: u32 = 24_000, in 1_000..=600_000;
        /// Time a new connection has for its login, in milliseconds.
        hello_timeout_ms: u32 = 5_000, in 100..=60_000;
        /// Bytes of messages that wait for one slow device before it gets hints to fetch them instead.
        outbox_bytes: u32 = 131_072, in 65_536..=16_777_216;
        /// How long a message that was pushed to a device waits to be acknowledged, in milliseconds; then it is sent
        /// again, and again after each further such time.
        ack_timeout_ms: u32 = 18_000, in 1_000..=600_000;
        /// How often it is sent again. After one more such time the connection is closed.
        ack_resends: u32 = 3, in 0..=20;
        /// How long the session of a device that lost its connection waits for it to come back, in milliseconds.
        resume_ttl_ms: u32 = 120_000, in 1_000..=3_600_000;
        /// Connections accepted per second on each TCP port, and at once after a pause.
        /// Others wait in the system's queue.
        accepts_per_second: u32 = 10_000, in 1..=1_000_000;
        /// Connections at once, over all transports.
        max_connections: usize = 100_000, in 1..=10_000_000;
        /// Connections of the HTTP port at once that are no devices, such as pages and probes; others are told 503.
        max_http_connections: usize = 512, in 1..=1_000_000;
        /// Conversations that one user may create per minute on average; a first message to somebody creates one.
        creations_per_minute: u32 = 60, in 1..=60_000;
        /// Conversations that one user may create at once after a pause.
        creations_at_once: u32 = 200, in 1..=1_000_000;
    }
}

section! {
    /// How many devices of each type one user may have connected.
    pub struct Devices {
        /// Devices that say no type.
        max_default: usize = 16, in 1..=1_000;
        /// Of type web: browsers.
        max_web: usize = 16, in 1..=1_000;
        /// Phones and tablets.
        max_mobile: usize = 16, in 1..=1_000;
        /// Desktop programs.
        max_desktop: usize = 16, in 1..=1_000;
        /// What one device too many does: "kick-oldest" closes the device that logged in first, "refuse" refuses the
        /// new one. Sessions whose connection is gone go first by either rule.
        rule: Kick = Kick::KickOldest;
    }
}

section! {
    /// Who is online.
    pub struct Presence {
        /// How long a user must be away or offline before anybody is told, in milliseconds: a device that comes back by
        /// then has never gone.
        grace_ms: u64 = 5_000, in 0..=600_000;
    }
}

section! {
    /// Where everything lasts.
    pub struct Store {
        /// "embedded" keeps it in node.data_dir, for one node; "cql" in Scylla or Cassandra, see [cql]. `whimbrel store
        /// copy` moves a tenant from one to the other.
        backend: Backend = Backend::Embedded;
        /// Embedded: bytes of recent data kept in memory for reading.
        cache_bytes: u64 = 33_554_432, in 1_048_576..=1_099_511_627_776;
        /// Embedded: bytes of new data gathered in memory before they are sorted to disk. They are safe in the journal
        /// meanwhile.
        memtable_bytes: u64 = 16_777_216, in 1_048_576..=4_294_967_296;
    }
}

section! {
    /// Scylla or Cassandra, for backend = "cql". `whimbrel store migrate` makes keyspace and tables.
    pub struct Cql {
        /// Some nodes of the cluster, as host:port; the others are found through them.
        hosts: Vec<String> = vec!["127.0.0.1:9042".into()];
        /// One word of lower-case letters, digits and underscores.
        keyspace: String = "whimbrel".into();
        /// "" for a cluster that asks for no password.
        user: String = String::new();
        /// The user's password.
        password: Secret = Secret::default();
        /// A file with the password instead; white space around it does not count.
        password_file: FilePath = FilePath::default();
        /// "global": a write is safe when a majority of the replicas of all datacenters has it (QUORUM, SERIAL). "local":
        /// a majority of those in `datacenter` (LOCAL_QUORUM, LOCAL_SERIAL), which is faster; all gateways must use the
        /// same one then, and what was acknowledged may be missing in the others when that one is lost.
        consistency: Consistency = Consistency::Global;
        /// The datacenter whose nodes are asked; "" for any, which "local" does not take.
        datacenter: String = String::new();
        /// Replicas in a keyspace that `whimbrel store migrate` makes: "3" for one datacenter, or each with its number:
        /// "dc1:3, dc2:3". A keyspace that is there stays as it is.
        replication: String = "3".into();
        /// How `whimbrel store migrate` has the log's table compacted when it makes it, as CQL writes it, for example
        /// "{'class': 'LeveledCompactionStrategy'}"; "" leaves it to the cluster.
        compaction: String = String::new();
        /// How many ledgers `whimbrel store migrate` gives to tables that it makes; 0 is none. With ledgers one conditional
        /// write commits messages of many conversations: for one gateway and many busy conversations, see docs/STORE.md.
        /// Tables that are there stay as they were made.
        ledgers: u16 = 0, in 0..=4_096;
        /// Days after which an entry is forgotten, and served without content; 0 keeps entries for good. Holds for entries
        /// that are appended from now on.
        retention_days: u32 = 0, in 0..=7_300;
        /// How long a gateway that starts waits for a cluster of which no node answers, in milliseconds. Then it ends.
        wait_ms: u64 = 60_000, in 0..=3_600_000;
        /// How long a connection may take to be made, in milliseconds.
        connect_timeout_ms: u64 = 5_000, in 100..=60_000;
        /// How long a read or a plain write may take, in milliseconds, with its retries.
        request_timeout_ms: u64 = 10_000, in 100..=120_000;
        /// How long an append may take at the cluster, in milliseconds. What became of one that takes longer is found out
        /// by taking the conversation over anew.
        append_timeout_ms: u64 = 10_000, in 100..=120_000;
        /// Requests under way at once. Sixteen times as many may wait; whoever comes then is told OVERLOADED.
        requests_at_once: usize = 512, in 1..=32_768;
        /// Partitions that one request writes while many wait, where every node has every row; 1 for one each. The nodes'
        /// own limits for batches of several partitions count too.
        gathered_partitions: usize = 10, in 1..=1_000;
        /// The bytes of such a request, about.
        gathered_bytes: usize = 4_096, in 0..=1_048_576;
        /// By how much the clocks of gateways and cluster may differ, in milliseconds: a device that asks what has changed
        /// is told once more of what changed so shortly before.
        overlap_ms: u64 = 60_000, in 0..=3_600_000;
        /// Conversations whose ends are remembered between appends, about 600 bytes each.
        remembered_logs: usize = 131_072, in 16..=100_000_000;
    }
}

section! {
    /// Log lines, on standard error.
    pub struct Log {
        /// error, warn, info, debug, trace, or levels by module: this one shows the gateway's own news and of its
        /// libraries only warnings.
        level: String = "warn,whimbrel=info".into();
        /// "text" or "json".
        format: LogFormat = LogFormat::Text;
    }
}

fn loopback(port: u16) -> Listen {
    Listen(Some((std::net::Ipv4Addr::LOCALHOST, port).into()))
}
