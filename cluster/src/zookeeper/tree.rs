//! What a cluster keeps in ZooKeeper: its identity, and one ephemeral node for each of its nodes.
//!
//! ```text
//! /whimbrel/cluster      the identity: name, slots, format
//! /whimbrel/nodes/0042   a node's record, held by the node's session; its name is the node's number
//! ```
//!
//! So the number is leased by the same act that makes the node known, and nothing is written for a device.

use std::time::Duration;

use idgen::WorkerNumber;
use prost::Message as _;
use protocol::node::v1::ClusterIdentity;
use tokio::time::Instant;
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, Error, EventType, PersistentWatcher, SessionState, WatchedEvent,
};

use super::ZooKeeperConfig;
use super::error::{JoinError, Trouble};
use super::session::{Claim, Coordinator, Event, Events, Session};
use crate::lease::Lease;
use crate::record::NodeRecord;
use crate::slot::SLOTS;

/// Of everything described above.
const FORMAT: u32 = 1;
/// Times that a znode is looked at again because it has changed under this node's hands.
const TRIES: usize = 8;

/// A session with ZooKeeper, and the cluster's part of its tree.
pub struct Tree {
    client: Client,
    root: String,
    cluster: String,
    is_private: bool,
}

impl Tree {
    /// Begins a session. Fails after about a session timeout if no server answers.
    pub async fn connect(config: &ZooKeeperConfig) -> Result<Tree, Trouble> {
        let mut connector = Client::connector().with_session_timeout(config.session_timeout);
        if let Some(user) = &config.user {
            connector = connector.with_auth("digest", user.as_bytes());
        }
        let connected = connector.connect(&config.servers).await;
        let client = connected.map_err(|error| match error {
            Error::BadArguments(_) => JoinError::Servers(config.servers.clone()).into(),
            error => Trouble::of(error, &config.path),
        })?;
        let (root, cluster) = (config.path.clone(), config.cluster.clone());
        Ok(Tree { client, root, cluster, is_private: config.user.is_some() })
    }

    /// Holds the cluster's identity against this program's. Where there is none it is written, if `found` says so.
    pub async fn compare_identity(&self, found: bool) -> Result<(), Trouble> {
        let path = format!("{}/cluster", self.root);
        let ours = ClusterIdentity { name: self.cluster.clone(), slots: u32::from(SLOTS), format: FORMAT };
        for _ in 0..TRIES {
            match self.within(self.client.get_data(&path)).await {
                Ok((data, _)) => return compare(&path, &data, &ours),
                Err(Error::NoNode) if !found => return Err(JoinError::NoCluster { path }.into()),
                Err(Error::NoNode) => {}
                Err(error) => return Err(Trouble::of(error, &path)),
            }
            self.mkdir(&self.root).await?;
            let options = CreateMode::Persistent.with_acls(self.acls());
            let data = ours.encode_to_vec();
            match self.within(self.client.create(&path, &data, &options)).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => return Err(Trouble::of(error, &path)),
            }
        }
        Err(Trouble::Away(format!("{path} comes and goes")))
    }

    /// Writes a node's record anew, from what stands there.
    pub async fn change(
        &self,
        number: WorkerNumber,
        change: impl Fn(NodeRecord) -> NodeRecord,
    ) -> Result<(), Trouble> {
        let path = self.path(number);
        for _ in 0..TRIES {
            let read = self.within(self.client.get_data(&path)).await;
            let (data, stat) = read.map_err(|error| Trouble::of(error, &path))?;
            let record = record_of(number, &path, &data, stat.czxid);
            let Some(record) = record else { return Err(JoinError::NoCluster { path }.into()) };
            let data = change(record).encode();
            match self.within(self.client.set_data(&path, &data, Some(stat.version))).await {
                Ok(_) => return Ok(()),
                Err(Error::BadVersion) => {}
                Err(error) => return Err(Trouble::of(error, &path)),
            }
        }
        Err(Trouble::Away(format!("{path} changes all the time")))
    }

    async fn mkdir(&self, path: &str) -> Result<(), Trouble> {
        let options = CreateMode::Persistent.with_acls(self.acls());
        let made = self.within(self.client.mkdir(path, &options)).await;
        made.map_err(|error| Trouble::of(error, path))
    }

    // A server that hangs answers nothing at all.
    async fn within<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(self.timeout(), asked).await.unwrap_or(Err(Error::Timeout))
    }

    fn acls(&self) -> Acls<'static> {
        if self.is_private { Acls::creator_all() } else { Acls::anyone_all() }
    }

    fn nodes(&self) -> String {
        format!("{}/nodes", self.root)
    }

    fn path(&self, number: WorkerNumber) -> String {
        format!("{}/nodes/{:04}", self.root, number.get())
    }
}

impl Coordinator for ZooKeeperConfig {
    type Session = Tree;

    async fn connect(&self) -> Result<Tree, Trouble> {
        Tree::connect(self).await
    }
}

impl Session for Tree {
    type Events = PersistentWatcher;

    fn timeout(&self) -> Duration {
        self.client.session_timeout()
    }

    fn is_connected(&self) -> bool {
        self.client.state() == SessionState::SyncConnected
    }

    async fn check_identity(&self) -> Result<(), Trouble> {
        self.compare_identity(true).await
    }

    async fn watch(&self) -> Result<PersistentWatcher, Trouble> {
        let nodes = self.nodes();
        self.mkdir(&nodes).await?;
        let watching = self.client.watch(&nodes, AddWatchMode::PersistentRecursive);
        self.within(watching).await.map_err(|error| Trouble::of(error, &nodes))
    }

    async fn changed(&self) -> Result<u64, Trouble> {
        let nodes = self.nodes();
        let stat = self.within(self.client.check_stat(&nodes)).await;
        let stat = stat.map_err(|error| Trouble::of(error, &nodes))?;
        Ok(stat.map_or(0, |stat| zxid(stat.pzxid)))
    }

    async fn list(&self) -> Result<(Vec<NodeRecord>, u64), Trouble> {
        let nodes = self.nodes();
        let listed = self.within(self.client.get_children(&nodes)).await;
        let (names, as_of) = match listed {
            Err(Error::NoNode) => (Vec::new(), 0),
            Err(error) => return Err(Trouble::of(error, &nodes)),
            Ok((names, stat)) => (names, zxid(stat.pzxid)),
        };
        let numbers = names.iter().filter_map(|name| number_of(name));
        let paths: Vec<(WorkerNumber, String)> = numbers.map(|number| (number, self.path(number))).collect();
        // A request is sent when it is made, so all are under way at once.
        let reads: Vec<_> = paths.iter().map(|(_, path)| self.client.get_data(path)).collect();
        let mut records = Vec::new();
        for ((number, path), read) in paths.iter().zip(reads) {
            match self.within(read).await {
                Ok((data, stat)) => records.extend(record_of(*number, path, &data, stat.czxid)),
                Err(Error::NoNode) => {}
                Err(error) => return Err(Trouble::of(error, path)),
            }
        }
        Ok((records, as_of))
    }

    async fn read(&self, number: WorkerNumber) -> Result<Option<NodeRecord>, Trouble> {
        let path = self.path(number);
        match self.within(self.client.get_data(&path)).await {
            Ok((data, stat)) => Ok(record_of(number, &path, &data, stat.czxid)),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(Trouble::of(error, &path)),
        }
    }

    async fn claim(&self, record: &NodeRecord) -> Result<Claim, Trouble> {
        let path = self.path(record.node.number());
        let options = CreateMode::Ephemeral.with_acls(self.acls());
        let data = record.encode();
        for _ in 0..TRIES {
            match self.within(self.client.create(&path, &data, &options)).await {
                Ok((stat, _)) => return Ok(Claim::Made(zxid(stat.czxid))),
                Err(Error::NodeExists) => {}
                Err(error) => return Err(Trouble::of(error, &path)),
            }
            let (found, stat) = match self.within(self.client.get_data(&path)).await {
                Ok(found) => found,
                Err(Error::NoNode) => continue,
                Err(error) => return Err(Trouble::of(error, &path)),
            };
            let holder = record_of(record.node.number(), &path, &found, stat.czxid);
            match holder {
                Some(holder) if holder.process != record.process => {
                    return Ok(Claim::Taken(Box::new(holder)));
                }
                None => return Err(JoinError::NoCluster { path }.into()),
                Some(_) => {}
            }
            let mut both = self.client.new_multi_writer();
            let added = both
                .add_delete(&path, Some(stat.version))
                .and_then(|()| both.add_create(&path, &data, &options));
            added.map_err(|error| Trouble::of(error, &path))?;
            if tokio::time::timeout(self.timeout(), both.commit()).await.is_ok_and(|made| made.is_ok()) {
                let stat = self.within(self.client.check_stat(&path)).await;
                if let Some(stat) = stat.map_err(|error| Trouble::of(error, &path))? {
                    return Ok(Claim::Made(zxid(stat.czxid)));
                }
            }
        }
        Err(Trouble::Away(format!("{path} comes and goes")))
    }

    async fn put(&self, record: &NodeRecord) -> Result<(), Trouble> {
        self.change(record.node.number(), |published| record.asked(&published)).await
    }

    async fn holds(&self, number: WorkerNumber, lease: &Lease) -> Result<bool, Trouble> {
        let (path, asked) = (self.path(number), Instant::now());
        let stat = self.within(self.client.check_stat(&path)).await;
        let stat = stat.map_err(|error| Trouble::of(error, &path))?;
        let ours = stat.is_some_and(|stat| stat.ephemeral_owner == self.client.session_id().0);
        if ours {
            lease.renew(asked, self.timeout());
        }
        Ok(ours)
    }

    async fn remove(&self, number: WorkerNumber) -> Result<(), Trouble> {
        let path = self.path(number);
        let removed = self.within(self.client.delete(&path, None)).await;
        removed.map_err(|error| Trouble::of(error, &path))
    }
}

impl Events for PersistentWatcher {
    async fn next(&mut self) -> Event {
        let WatchedEvent { event_type, session_state, path, .. } = self.changed().await;
        match (event_type, session_state) {
            (EventType::Session, SessionState::Disconnected) => Event::Lost,
            (EventType::Session, SessionState::SyncConnected) => Event::Found,
            (EventType::Session, state) if state.is_terminated() => Event::Expired,
            (EventType::Session, _) => Event::Other,
            (EventType::NodeDataChanged, _) => {
                let number = path.rsplit('/').next().and_then(number_of);
                number.map_or(Event::Nodes, Event::Record)
            }
            _ => Event::Nodes,
        }
    }
}

fn compare(path: &str, data: &[u8], ours: &ClusterIdentity) -> Result<(), Trouble> {
    let path = path.to_owned();
    let found = ClusterIdentity::decode(data).ok().filter(|found| !found.name.is_empty());
    let Some(found) = found else { return Err(JoinError::NoCluster { path }.into()) };
    if found.name != ours.name {
        let (found, ours) = (found.name.chars().take(64).collect(), ours.name.clone());
        return Err(JoinError::OtherCluster { path, found, ours }.into());
    }
    if found.format != ours.format {
        return Err(JoinError::Format { path, found: found.format, ours: ours.format }.into());
    }
    if found.slots != ours.slots {
        return Err(JoinError::Slots { path, found: found.slots, ours: SLOTS }.into());
    }
    Ok(())
}

fn number_of(name: &str) -> Option<WorkerNumber> {
    name.parse().ok().and_then(|number| WorkerNumber::new(number).ok())
}

/// A record as it was read; its incarnation is the transaction that made it, unless the record says an earlier one.
fn record_of(number: WorkerNumber, path: &str, data: &[u8], czxid: i64) -> Option<NodeRecord> {
    match NodeRecord::decode(data) {
        Ok(record) if record.node.number() == number => {
            let incarnation = if record.incarnation == 0 { zxid(czxid) } else { record.incarnation };
            Some(NodeRecord { incarnation, ..record })
        }
        Ok(_) => {
            tracing::warn!(path, "what is published there is another number's");
            None
        }
        Err(error) => {
            tracing::warn!(path, %error, "what is published there is no node's record");
            None
        }
    }
}

fn zxid(zxid: i64) -> u64 {
    u64::try_from(zxid).unwrap_or(0)
}
