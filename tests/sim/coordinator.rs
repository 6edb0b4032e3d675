//! What coordinates a cluster, in ZooKeeper's place: sessions that end with silence, the records they hold, and watchers
//! that hear of changes late and at different times.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::NodeRecord;
use cluster::zookeeper::session::{Claim, Event};
use idgen::WorkerNumber;

use crate::jobs::Reply;
use crate::session::Mail;
use crate::world::{Ev, World};

/// Something that is asked for; it returns what delivers the answer.
pub type Act = Box<dyn FnOnce(&mut Registry) -> Reply + Send>;

/// One way to it and back, milliseconds.
const WAY_MS: (u64, u64) = (1, 20);
/// How late a watcher hears, mostly and now and then.
const HEARD_MS: (u64, u64) = (1, 60);
const HEARD_LATE_MS: (u64, u64) = (60, 2_500);

/// What it keeps.
#[derive(Default)]
pub struct Registry {
    sessions: BTreeMap<u64, Session>,
    records: BTreeMap<u16, Held>,
    transactions: u64,
    /// The transaction in which a record came or went last.
    changed: u64,
    /// Somebody has to be told.
    news: Option<Event>,
    /// Of whose act this is, and when.
    asker: usize,
    now: u64,
}

struct Session {
    gateway: usize,
    heard_ms: u64,
    mail: Arc<Mail>,
    watches: bool,
}

struct Held {
    session: u64,
    record: NodeRecord,
}

impl Registry {
    /// A session of whoever asks; its number.
    pub fn begin(&mut self, mail: Arc<Mail>) -> u64 {
        self.transactions += 1;
        let (gateway, heard_ms) = (self.asker, self.now);
        self.sessions.insert(self.transactions, Session { gateway, heard_ms, mail, watches: false });
        self.transactions
    }

    /// Whether a session is not over; it was heard of.
    pub fn is_alive(&mut self, session: u64) -> bool {
        let now = self.now;
        self.sessions.get_mut(&session).map(|session| session.heard_ms = now).is_some()
    }

    pub fn watch(&mut self, session: u64) {
        self.sessions.entry(session).and_modify(|session| session.watches = true);
    }

    pub fn changed(&self) -> u64 {
        self.changed
    }

    pub fn list(&self) -> Vec<NodeRecord> {
        self.records.values().map(|held| held.record.clone()).collect()
    }

    pub fn read(&self, number: WorkerNumber) -> Option<NodeRecord> {
        self.records.get(&number.get()).map(|held| held.record.clone())
    }

    pub fn claim(&mut self, session: u64, record: NodeRecord) -> Claim {
        let number = record.node.number().get();
        let other = self.records.get(&number).filter(|held| held.record.process != record.process);
        if let Some(other) = other {
            return Claim::Taken(Box::new(other.record.clone()));
        }
        self.change();
        let made = self.transactions;
        let incarnation = if record.incarnation == 0 { made } else { record.incarnation };
        self.records.insert(number, Held { session, record: NodeRecord { incarnation, ..record } });
        Claim::Made(made)
    }

    /// False if there is no such record.
    pub fn put(&mut self, record: &NodeRecord) -> bool {
        self.news = self.news.or(Some(Event::Record(record.node.number())));
        let held = self.records.get_mut(&record.node.number().get());
        held.map(|held| held.record = record.asked(&held.record)).is_some()
    }

    pub fn holds(&self, session: u64, number: WorkerNumber) -> bool {
        self.records.get(&number.get()).is_some_and(|held| held.session == session)
    }

    pub fn remove(&mut self, number: WorkerNumber) {
        if self.records.remove(&number.get()).is_some() {
            self.change();
        }
    }

    fn change(&mut self) {
        self.transactions += 1;
        (self.changed, self.news) = (self.transactions, Some(Event::Nodes));
    }

    /// The session is over, and with it what it holds.
    fn end(&mut self, session: u64) {
        self.sessions.remove(&session);
        let before = self.records.len();
        self.records.retain(|_, held| held.session != session);
        if self.records.len() < before {
            self.change();
        }
    }
}

/// What coordinates the cluster of a world.
pub struct Coordinator {
    pub registry: Registry,
    /// A session outlasts so much silence.
    pub lease_ms: u64,
    /// It answers nobody before this time.
    pub away_until: u64,
    /// Nor this process.
    pub cut_off: BTreeMap<usize, u64>,
    asked: BTreeMap<u64, (usize, Act)>,
    answers: BTreeMap<u64, (usize, Reply)>,
    next: u64,
}

impl Coordinator {
    /// It answers nobody until then, and gives everybody a whole lease afterwards.
    pub fn goes_away(&mut self, until: u64) {
        self.away_until = until;
        self.registry.sessions.values_mut().for_each(|session| session.heard_ms = until);
    }

    pub fn new(lease_ms: u64) -> Coordinator {
        Coordinator {
            registry: Registry::default(),
            lease_ms,
            away_until: 0,
            cut_off: BTreeMap::new(),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            next: 0,
        }
    }

    fn answers(&self, gateway: usize, now: u64) -> bool {
        let cut_off = self.cut_off.get(&gateway).copied().unwrap_or_default();
        now >= self.away_until.max(cut_off)
    }
}

impl World {
    /// A process asks.
    pub fn asks_coordinator(&mut self, gateway: usize, act: Act) {
        let at = self.now + self.rng.range(WAY_MS.0, WAY_MS.1);
        let Some(cluster) = &mut self.cluster else { return };
        cluster.coordinator.next += 1;
        let number = cluster.coordinator.next;
        cluster.coordinator.asked.insert(number, (gateway, act));
        self.at(at, Ev::Asked(number));
    }

    /// What was asked arrives. Where it cannot, the connection is lost, and so is where the answer cannot.
    pub fn asked(&mut self, number: u64) {
        let (now, back) = (self.now, self.rng.range(WAY_MS.0, WAY_MS.1));
        let Some(cluster) = &mut self.cluster else { return };
        let coordinator = &mut cluster.coordinator;
        let Some((gateway, act)) = coordinator.asked.remove(&number) else { return };
        if !coordinator.answers(gateway, now) {
            return;
        }
        (coordinator.registry.asker, coordinator.registry.now) = (gateway, now);
        let answer = act(&mut coordinator.registry);
        coordinator.answers.insert(number, (gateway, answer));
        self.at(now + back, Ev::Answer(number));
        self.tell_news();
        self.watch_leases();
    }

    pub fn answer(&mut self, number: u64) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some((gateway, answer)) = cluster.coordinator.answers.remove(&number) else { return };
        if cluster.coordinator.answers(gateway, self.now) && !self.gateways[gateway].is_dead() {
            answer();
        }
    }

    fn tell_news(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        let registry = &mut cluster.coordinator.registry;
        let Some(event) = registry.news.take() else { return };
        let watching: Vec<u64> = registry
            .sessions
            .iter()
            .filter(|(_, session)| session.watches)
            .map(|(number, _)| *number)
            .collect();
        let nodes: Vec<String> = registry.list().iter().map(|record| format!("{:#}", record.node)).collect();
        self.note_world(format!("nodes are {}", nodes.join(", ")));
        for session in watching {
            let (low, high) = if self.rng.chance(150) { HEARD_LATE_MS } else { HEARD_MS };
            let at = self.now + self.rng.range(low, high);
            self.at(at, Ev::News(session, event));
        }
    }

    /// A watcher hears of a change. What is lost it finds out when it looks.
    pub fn news(&mut self, session: u64, event: Event) {
        let Some(cluster) = &self.cluster else { return };
        if let Some(session) = cluster.coordinator.registry.sessions.get(&session)
            && cluster.coordinator.answers(session.gateway, self.now)
        {
            session.mail.put(event);
        }
    }

    /// Has the lease that ends first looked at when it does.
    fn watch_leases(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        let coordinator = &cluster.coordinator;
        let first = coordinator.registry.sessions.values().map(|session| session.heard_ms).min();
        if let Some(first) = first.filter(|_| !cluster.watches_leases) {
            cluster.watches_leases = true;
            let at = first + coordinator.lease_ms + 1;
            self.at(at, Ev::Leases);
        }
    }

    /// Sessions that were silent for too long end. While it is away it ends none.
    pub fn leases(&mut self) {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return };
        cluster.watches_leases = false;
        let Coordinator { registry, lease_ms, .. } = &mut cluster.coordinator;
        let over = registry.sessions.iter().filter(|(_, session)| session.heard_ms + *lease_ms <= now);
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        over.iter().for_each(|session| registry.end(*session));
        self.tell_news();
        self.watch_leases();
    }
}
