//! How a cluster is reached, and what is asked of it.

use std::fmt;
use std::time::Duration;

/// Where the cluster is and how requests are made. A password never shows in debug output.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// `HOST` or `HOST:PORT` (9042 if none is named) of a few nodes; the others are learnt from them.
    pub contact_points: Vec<String>,
    /// One word of lower-case letters, digits and underscores, at most 48.
    pub keyspace: String,
    pub credentials: Option<Credentials>,
    /// The datacenter whose nodes are asked; `None`: any.
    pub datacenter: Option<String>,
    pub scope: Scope,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long one read or plain write may take, with its retries.
    pub request_timeout: Duration,
    /// How long a read or a plain write waits for a node before another one is asked as well.
    pub impatience: Duration,
    /// How many partitions are written by one request while many wait; 1: never more.
    pub gathered_partitions: usize,
    /// And how many bytes, about. One that has more goes alone.
    pub gathered_bytes: usize,
    /// How long a conditional write may take. Behind it the outcome is unknown, and the log has to be opened again.
    pub conditional_timeout: Duration,
    /// Requests under way at once. More wait, at most [`WAITING_PER_REQUEST`](super::request::WAITING_PER_REQUEST) times
    /// as many; what comes then is refused as overloaded before it is sent.
    pub requests_at_once: usize,
}

/// A user of the cluster.
#[derive(Clone)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How far a majority reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// QUORUM and SERIAL: a majority of all replicas in all datacenters. What was acknowledged outlasts the loss of any
    /// minority of them, and nodes of any datacenter may own conversations.
    #[default]
    Cluster,
    /// LOCAL_QUORUM and LOCAL_SERIAL: a majority of the replicas in [`DriverConfig::datacenter`], which makes rounds
    /// short. Two datacenters do not see each other's conditions, so every gateway of the cluster must be in the same one;
    /// what was acknowledged may be missing in the others when that one is lost.
    Datacenter,
}

/// What `migrate` creates with. It changes nothing that exists.
#[derive(Clone, Debug, Default)]
pub struct SchemaConfig {
    pub replication: Replication,
    /// The compaction of the log's table, as CQL has it: `{'class': 'TimeWindowCompactionStrategy', …}`. `None`: the
    /// server's own.
    pub compaction: Option<String>,
    /// How many ledgers new tables have, at most [`MAX_LEDGERS`](crate::cql::MAX_LEDGERS); 0: none.
    pub ledgers: u16,
}

/// Copies of every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many, wherever: for one datacenter.
    Simple(u8),
    /// So many in each of these datacenters.
    Datacenters(Vec<(String, u8)>),
}

impl Default for Replication {
    fn default() -> Self {
        Replication::Simple(3)
    }
}

impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Replication::Simple(copies) => {
                write!(f, "{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")
            }
            Replication::Datacenters(copies) => {
                f.write_str("{'class': 'NetworkTopologyStrategy'")?;
                for (name, copies) in copies {
                    write!(f, ", '{}': {copies}", name.replace('\'', "''"))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl DriverConfig {
    /// The defaults for everything but where the cluster is.
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>) -> DriverConfig {
        DriverConfig {
            contact_points,
            keyspace: keyspace.into(),
            credentials: None,
            datacenter: None,
            scope: Scope::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            impatience: Duration::from_millis(500),
            gathered_partitions: 10,
            gathered_bytes: 4_096,
            conditional_timeout: Duration::from_secs(10),
            requests_at_once: 512,
        }
    }

    /// Whether the keyspace's name is one that needs no quotes.
    pub(super) fn has_valid_keyspace(&self) -> bool {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = self.keyspace.starts_with(|c: char| c.is_ascii_lowercase());
        begins && self.keyspace.len() <= 48 && self.keyspace.chars().all(is_part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_a_plain_word() {
        let valid = |name: &str| DriverConfig::new(Vec::new(), name).has_valid_keyspace();
        assert!(valid("whimbrel") && valid("w_2"));
        assert!(!valid("") && !valid("2w") && !valid("Whimbrel") && !valid("a b") && !valid("a;b"));
        assert!(!valid(&"k".repeat(49)));
    }

    #[test]
    fn replication_is_written_as_cql() {
        let each = Replication::Datacenters(vec![("dc1".into(), 3), ("o'brien".into(), 2)]);
        assert_eq!(each.to_string(), "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'o''brien': 2}");
        let simple = Replication::Simple(1).to_string();
        assert_eq!(simple, "{'class': 'SimpleStrategy', 'replication_factor': 1}");
    }

    #[test]
    fn a_password_does_not_show() {
        let credentials = Credentials { user: "ann".into(), password: "secret".into() };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("ann") && !shown.contains("secret"));
    }
}
