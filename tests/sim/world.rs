//! The world: virtual time, one queue of events, everything in it drawn from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use client::inboxes::StreamId;

use crate::cql::{Kind, Tables};
use crate::data::Data;
use crate::device::{Device, Link};
use crate::gateway::{Gateway, Setup};
use crate::hub::Out;
use crate::mutant::Mutant;
use crate::net::{Conn, Item};
use crate::nodes::{Cluster, together};
use crate::rng::Rng;
use crate::run::Rules;
use crate::socket::{End, Plug};
use crate::store::Store;
use crate::support::history::{Event, History};
use crate::trace::Trace;

/// How often routes and outboxes are looked at, milliseconds.
const SAMPLE_MS: u64 = 1_000;
/// How long everything is left alone at the end: longer than any backoff, heartbeat or deadline of the product.
const REST_MS: u64 = 150_000;

/// How many worlds of a thousand have gateways that go on beside their successors.
const ZOMBIES_PERMILLE: u64 = 250;
/// One seed of so many has the real store on CQL.
const CQL_EVERY: u64 = 5;
/// One seed of so many is a cluster.
const CLUSTER_EVERY: u64 = 8;
/// How long things happen in one at most: six processes take six times the work of one, milliseconds.
const CLUSTER_ACTIVE_MS: u64 = 200_000;

/// Something that is due.
#[derive(Clone, Debug)]
pub enum Ev {
    Up(usize),
    Down(usize),
    Commit(u64),
    Reply(u64),
    Tick(usize),
    Dial(usize, u64),
    Refused(usize, u64),
    NoWelcome(usize, usize),
    Renew(usize, u64),
    Refund(usize, u64, StreamId, usize),
    List(usize, u64),
    Restart(usize, u64),
    CloseConn(usize),
    SetPresence(usize),
    Drain(usize),
    Boot,
    Thaw(usize),
    EndZombie(usize),
    LinksUp(usize),
    BootSeat(usize),
    NodeDialled(u64),
    Wire(usize, usize),
    Asked(u64),
    Answer(u64),
    News(u64, cluster::zookeeper::session::Event),
    Leases,
    Deed,
    Create,
    Fault,
    Weather,
    Sample,
}

/// One run.
pub struct World {
    pub now: u64,
    events: BTreeMap<(u64, u64), Ev>,
    scheduled: u64,
    pub rng: Rng,
    pub base: Instant,
    pub mutant: Option<Mutant>,
    pub trace: Trace,
    pub history: History,
    pub setup: Setup,
    pub gateways: Vec<Gateway>,
    pub conns: Vec<Conn>,
    pub devices: Vec<Device>,
    pub store: Store,
    /// DeviceId → number in the history.
    pub ids: BTreeMap<u64, u64>,
    /// User names; every tenant has the same.
    pub users: Vec<String>,
    /// Messages written so far.
    pub written: u64,
    /// Some messages are large.
    pub large: bool,
    pub socket_bytes: usize,
    /// One-way delay of new connections, milliseconds.
    pub delay: (u64, u64),
    pub booting: bool,
    /// No links break before this time.
    pub links_whole_until: u64,
    /// A gateway may be left behind by its successor and go on for a while.
    pub zombies: bool,
    /// The world is one of several nodes, if it is.
    pub cluster: Option<Cluster>,
    active_ms: u64,
}

impl World {
    /// The world of a seed, before anything has happened.
    pub fn new(seed: u64, rules: Rules, keep_trace: bool) -> World {
        let mutant = rules.mutant;
        let mut rng = Rng::new(seed);
        let is_cluster = rules.cluster || (!rules.zombies && seed % CLUSTER_EVERY == CLUSTER_EVERY - 1);
        // Who was left behind in a cluster goes on by itself.
        let zombies = (rng.chance(ZOMBIES_PERMILLE) || rules.zombies) && !is_cluster;
        let is_cql = match (mutant.and_then(Mutant::bug), rules.store) {
            (Some(_), _) => true,
            (None, Some(store)) => store == Kind::Cql,
            // Not drawn: the other worlds are what they would be without this one.
            (None, None) => seed.is_multiple_of(CQL_EVERY),
        };
        let setup = Setup {
            connectors: rng.range(1, 2) as u16,
            outbox_bytes: *rng.pick(&[2_048, 8_192, 131_072]),
            mutant,
            tables: None,
            sole_owner: !(zombies || is_cql || is_cluster) || mutant == Some(Mutant::OthersForgotten),
            clock_off: Arc::new(AtomicI64::new(0)),
        };
        let mut store = Store::new(Data::new(mutant));
        store.remote = rng.chance(400) || is_cluster;
        store.commit_ms = *rng.pick(&[(1, 3), (2, 20), (20, 200)]);
        store.unknown_permille = *rng.pick(&[0, 20, 150]);
        let users = (0..rng.range(3, 6)).map(|n| format!("u{n}")).collect();
        let active_ms = rng.range(90_000, if is_cluster { CLUSTER_ACTIVE_MS } else { 360_000 });
        // A window over a delay is a bandwidth: none so low that a full answer takes half a minute.
        let (delay, socket_bytes) =
            *rng.pick(&[((1, 5), 512), ((1, 5), 65_536), ((20, 80), 4_096), ((200, 600), 65_536)]);
        let mut world = World {
            now: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            base: Instant::now(),
            mutant,
            trace: Trace::new(keep_trace),
            history: History::new(),
            setup,
            gateways: Vec::new(),
            conns: Vec::new(),
            devices: Vec::new(),
            store,
            ids: BTreeMap::new(),
            users,
            written: 0,
            large: rng.chance(400),
            socket_bytes,
            delay,
            booting: false,
            links_whole_until: 0,
            zombies,
            cluster: None,
            active_ms,
            rng,
        };
        world.people();
        world.plan_acts();
        world.setup.tables = is_cql.then(|| Tables::new(&mut world.rng, mutant.and_then(Mutant::bug)));
        world.begin_store();
        world.cluster = is_cluster.then(|| Cluster::new(&mut world.rng));
        world.begin_cluster();
        world
    }

    /// Users and their devices; in some worlds a second tenant with the same names.
    fn people(&mut self) {
        let tenants = if self.rng.chance(300) { 2 } else { 1 };
        for tenant in 0..tenants {
            for user in self.users.clone() {
                for _ in 0..if tenant == 0 { self.rng.range(1, 3) } else { 1 } {
                    let number = self.devices.len() as u64 + 1;
                    let seed = self.rng.next();
                    let mut device = Device::new(number, &format!("t{tenant}"), &user, self.base, seed);
                    device.window = *self.rng.pick(&[0, 0, 1_024, 16_384]);
                    device.token_s = *self.rng.pick(&[10_800, 10_800, 90]);
                    self.devices.push(device);
                }
            }
        }
    }

    fn plan_acts(&mut self) {
        self.at(0, Ev::Boot);
        self.at(SAMPLE_MS, Ev::Sample);
        for d in 0..self.devices.len() {
            let at = self.rng.range(10, 2_000);
            self.at(at, Ev::Dial(d, 0));
        }
        for _ in 0..self.rng.range(1, 3) {
            let at = self.rng.range(2_500, 4_000);
            self.at(at, Ev::Create);
        }
        for _ in 0..self.rng.range(30, 120) {
            let at = self.rng.range(4_000, self.active_ms);
            self.at(at, Ev::Deed);
        }
        let faults = if self.rng.chance(150) { 0 } else { self.rng.range(2, 30) };
        for _ in 0..faults {
            let at = self.rng.range(3_000, self.active_ms);
            self.at(at, Ev::Fault);
        }
    }

    pub fn at(&mut self, at: u64, event: Ev) {
        self.scheduled += 1;
        self.events.insert((at.max(self.now), self.scheduled), event);
    }

    pub fn note(&mut self, d: usize, what: String) {
        self.trace.note(self.now, &self.devices[d].name, &what);
    }

    pub fn note_world(&mut self, what: String) {
        self.trace.note(self.now, "world", &what);
    }

    /// Everything happens, then everything heals and comes to rest.
    pub fn run(&mut self) {
        self.run_until(self.active_ms);
        self.heal();
        self.run_until(self.active_ms + REST_MS);
        self.finish();
        self.gateways.iter_mut().for_each(Gateway::kill);
    }

    fn run_until(&mut self, end: u64) {
        loop {
            self.collect();
            let due = self.events.first_key_value().map_or(end, |((at, _), _)| (*at).min(end));
            if due > self.now {
                let due = if self.cluster.is_some() { together(self.now, due).min(end) } else { due };
                let reached = self.gateways.iter().fold(due, |due, gateway| gateway.step(due));
                self.now = self.now.max(reached);
                continue;
            }
            if self.now >= end {
                return;
            }
            if let Some((_, event)) = self.events.pop_first() {
                self.happen(event);
                self.watch_reach();
            }
        }
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Up(conn) => self.pump_up(conn),
            Ev::Down(conn) => self.pump_down(conn),
            Ev::Commit(job) => self.commit(job),
            Ev::Reply(number) => self.reply(number),
            Ev::Tick(d) => self.tick(d),
            Ev::Dial(d, turn) if self.devices[d].turn == turn => self.dial(d),
            Ev::Refused(d, turn) if self.devices[d].turn == turn => {
                self.on_lost(d, client::Lost::broken("connection refused"));
                self.after(d);
            }
            Ev::NoWelcome(d, conn) if self.devices[d].link == Link::Dialing(conn) => {
                self.close_conn(conn);
                self.on_lost(d, client::Lost::broken("no answer to Hello in time"));
                self.after(d);
            }
            Ev::Renew(d, turn) => self.renew(d, turn),
            Ev::Refund(d, life, stream, bytes) => self.refund(d, life, stream, bytes),
            Ev::List(d, life) if self.devices[d].life == life => self.list(d),
            Ev::Restart(d, life) if self.devices[d].life == life => self.restart(d),
            Ev::CloseConn(conn) => self.close_conn(conn),
            Ev::SetPresence(d) => self.sets_presence(d),
            Ev::Drain(gateway) => self.drain(gateway),
            Ev::Boot => self.boot(),
            Ev::Thaw(gateway) => self.thaw(gateway),
            Ev::EndZombie(gateway) => self.kill_gateway(gateway, false),
            Ev::BootSeat(seat) => self.boot_seat(seat),
            Ev::NodeDialled(number) => self.node_dialled(number),
            Ev::Wire(wire, end) => self.pump_wire(wire, end),
            Ev::Asked(number) => self.asked(number),
            Ev::Answer(number) => self.answer(number),
            Ev::News(session, event) => self.news(session, event),
            Ev::Leases => self.leases(),
            Ev::LinksUp(gateway) => self.gateways[gateway].links_down.store(false, Ordering::Relaxed),
            Ev::Deed => self.deed(),
            Ev::Create => {
                let d = self.rng.below(self.devices.len() as u64) as usize;
                self.creates(d);
            }
            Ev::Fault => self.fault(),
            Ev::Weather => self.weather(),
            Ev::Sample => {
                self.sample();
                self.at(self.now + SAMPLE_MS, Ev::Sample);
            }
            // Planned for a turn or a life that is over.
            Ev::Dial(..) | Ev::Refused(..) | Ev::NoWelcome(..) | Ev::List(..) | Ev::Restart(..) => {}
        }
    }

    /// Takes in what the gateways did.
    fn collect(&mut self) {
        self.look_at_tables();
        for gateway in 0..self.gateways.len() {
            for out in self.gateways[gateway].hub.take() {
                match out {
                    Out::Job(job) => self.job(gateway, job),
                    Out::Wrote(Plug::Device(conn)) => self.gateway_wrote(conn),
                    Out::Wrote(Plug::Node(wire, end)) => self.node_wrote(wire, end),
                    Out::Shut(Plug::Device(conn)) => self.gateway_writes(conn, Item::End(End::Fin)),
                    Out::Shut(Plug::Node(wire, end)) => self.node_closed(wire, end, false),
                    Out::Closed(Plug::Device(conn)) => {
                        self.conns[conn].gateway_open = false;
                        self.gateway_writes(conn, Item::End(End::Fin));
                    }
                    Out::Closed(Plug::Node(wire, end)) => self.node_closed(wire, end, true),
                    Out::Asks(act) => self.asks_coordinator(gateway, act),
                    Out::Dials(address, made) => self.node_dials(gateway, address, made),
                    Out::Admitted { conn, device, epoch } => {
                        self.conns[conn].admitted = Some((device, epoch));
                    }
                    Out::Stream { op, after, limit, page } => self.stream_read(op, after, limit, page),
                    Out::Drained(gateway, left, finished) => self.drained(gateway, left, finished),
                    Out::Booted(gateway) => {
                        self.booting = false;
                        self.note_world(format!("gateway {gateway} is up"));
                    }
                    Out::BootFailed(gateway) => self.boot_failed(gateway),
                }
            }
        }
    }

    /// The gateway that devices reach, if the world is no cluster: where zombies are, the latest, unless it stands still.
    pub fn gateway_up(&self) -> Option<usize> {
        if self.cluster.is_some() {
            return self.channel_up();
        }
        let left_behind = |at: usize| self.zombies && (self.gateways[at].frozen || self.is_succeeded(at));
        (0..self.gateways.len()).rev().find(|&at| self.gateways[at].is_up() && !left_behind(at))
    }

    /// Whether another gateway was started after this one.
    pub fn is_succeeded(&self, gateway: usize) -> bool {
        gateway + 1 < self.gateways.len()
    }

    /// Records who is reachable: online, with nothing between it and the gateway that could excuse a delay.
    fn watch_reach(&mut self) {
        let up = self.gateway_up();
        for d in 0..self.devices.len() {
            let reachable = self.is_reachable(d, up);
            if reachable != self.devices[d].reachable {
                (self.devices[d].reachable, self.devices[d].reachable_since) = (reachable, self.now);
                let (device, user, at) = (self.devices[d].number, self.full_user(d), self.now);
                self.history.push(Event::Reach { device, user, reachable, at });
            }
        }
    }

    fn is_reachable(&self, d: usize, up: Option<usize>) -> bool {
        let Link::Up(conn) = self.devices[d].link else { return false };
        let conn = &self.conns[conn];
        let flows = !conn.half_open && conn.stalled_until.max(conn.slow_until) <= self.now;
        let runs = match &self.cluster {
            Some(cluster) => cluster.is_whole,
            None => Some(conn.gateway) == up && !self.gateways[conn.gateway].frozen,
        };
        flows && runs && conn.gateway_open && self.store.is_healthy(self.now)
    }
}
