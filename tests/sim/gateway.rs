//! One gateway process: the real channel node and the real connectors, on a runtime whose clock the world moves.
//!
//! Nothing runs by itself: the runtime has one thread, the world's, and its clock stands still until the world
//! says how far it may go.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use channel::config::ChannelConfig;
use channel::node::ChannelNode;
use cluster::link::listen::LinkPort;
use cluster::{FixedMembership, ZooKeeperMembership};
use connector::auth::{AuthConfig, Key, Verifier};
use connector::{Connector, ConnectorConfig};
use idgen::{Clock, NodeId, NodeType, WorkerNumber};
use parking_lot::Mutex;
use storage::Store;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::cql::Tables;
use crate::hub::{Hub, Out};
use crate::jobs::SimStore;
use crate::links::{DownTap, Tap, UpTap};
use crate::mutant::Mutant;
use crate::socket::{Pipe, Plug, Socket};

/// Where the wall clock stands when a run begins, milliseconds since 1970.
pub const EPOCH_MS: i64 = 1_800_000_000_000;
/// Issuer, audience and key id of every token.
pub const PARTY: &str = "sim";
/// What signs them.
const SECRET: &[u8] = b"a secret of thirty-two bytes, no less";

pub fn signing_key() -> Key {
    Key::hs256(PARTY, SECRET).unwrap()
}

/// What a gateway is made with.
#[derive(Clone)]
pub struct Setup {
    pub connectors: u16,
    pub outbox_bytes: usize,
    pub mutant: Option<Mutant>,
    /// What the store stands on; `None`: it is simulated.
    pub tables: Option<Tables>,
    /// Nobody else appends to the store while a gateway runs.
    pub sole_owner: bool,
    /// How far the machine's wall clock is off, milliseconds.
    pub clock_off: Arc<AtomicI64>,
}

/// What a process is born with.
pub struct Birth {
    pub hub: Arc<Hub>,
    pub clock: Arc<WallClock>,
    pub links_down: Arc<AtomicBool>,
}

/// A process.
pub struct Gateway {
    pub hub: Arc<Hub>,
    pub parts: Arc<Mutex<Option<Parts>>>,
    /// `None` once the process is dead.
    runtime: Option<Runtime>,
    base: Instant,
    started_ms: u64,
    /// The process does not get the processor.
    pub frozen: bool,
    /// It was told to end and takes nobody in any more.
    pub draining: bool,
    /// Its links lose what is pushed.
    pub links_down: Arc<AtomicBool>,
    /// Its seat, where the world is a cluster.
    pub seat: Option<usize>,
    /// How far it has run, by the world's time.
    ran_to: Cell<u64>,
}

/// What runs in it.
pub struct Parts {
    pub node: Option<Arc<ChannelNode>>,
    pub connectors: Vec<Arc<Connector>>,
    /// Of a node in a cluster.
    pub member: Option<Arc<ZooKeeperMembership>>,
    /// Of a channel node in a cluster.
    pub port: Option<Arc<LinkPort>>,
}

/// The machine's wall clock: virtual time, and what it is off.
pub struct WallClock {
    base: Instant,
    started_ms: u64,
    off: Arc<AtomicI64>,
}

impl Clock for WallClock {
    fn unix_millis(&self) -> i64 {
        let passed = self.started_ms as i64 + self.base.elapsed().as_millis() as i64;
        EPOCH_MS + passed + self.off.load(Ordering::Relaxed)
    }
}

impl Gateway {
    /// Starts a process that is a whole gateway; it says when it is up.
    pub fn start(id: usize, now_ms: u64, setup: &Setup) -> Gateway {
        let own = setup.clone();
        Gateway::launch(id, now_ms, setup, |birth| boot(own, birth))
    }

    /// Starts any process; it says when it is up.
    pub fn launch<F: Future<Output = Option<Parts>> + Send + 'static>(
        id: usize,
        now_ms: u64,
        setup: &Setup,
        boot: impl FnOnce(Birth) -> F,
    ) -> Gateway {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let base = runtime.block_on(async { Instant::now() });
        let (hub, parts) = (Hub::new(), Arc::new(Mutex::new(None)));
        let clock = Arc::new(WallClock { base, started_ms: now_ms, off: setup.clock_off.clone() });
        let (out, slot) = (hub.clone(), parts.clone());
        let links_down = Arc::new(AtomicBool::new(false));
        let booted = boot(Birth { hub: hub.clone(), clock, links_down: links_down.clone() });
        runtime.spawn(async move {
            match booted.await {
                Some(parts) => {
                    *slot.lock() = Some(parts);
                    out.put(Out::Booted(id));
                }
                None => out.put(Out::BootFailed(id)),
            }
        });
        Gateway {
            hub,
            parts,
            runtime: Some(runtime),
            base,
            started_ms: now_ms,
            frozen: false,
            draining: false,
            links_down,
            seat: None,
            ran_to: Cell::new(now_ms),
        }
    }

    /// Runs until something comes out, or until `limit_ms`; says what time it is then.
    pub fn step(&self, limit_ms: u64) -> u64 {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.frozen) else { return limit_ms };
        // Others have kept the world back: their turn.
        if self.seat.is_some() && self.ran_to.get() > limit_ms {
            return limit_ms;
        }
        let until = self.base + Duration::from_millis(limit_ms.saturating_sub(self.started_ms));
        let passed = runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.hub.notify.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
            self.base.elapsed()
        });
        let reached = self.started_ms + passed.as_millis() as u64;
        self.ran_to.set(reached);
        reached.min(limit_ms)
    }

    /// A device's connection arrives at one of the connectors.
    pub fn accept(&self, conn: usize, at: usize, pipe: Arc<Mutex<Pipe>>) -> bool {
        let (Some(runtime), Some(parts)) = (&self.runtime, &*self.parts.lock()) else { return false };
        let _inside = runtime.enter();
        let [_, a, b, c] = (conn as u32).to_be_bytes();
        let remote = SocketAddr::from((Ipv4Addr::new(10, a, b, c), 1));
        let connector = &parts.connectors[at % parts.connectors.len()];
        connector.serve_stream(Socket { plug: Plug::Device(conn), pipe, hub: self.hub.clone() }, remote);
        true
    }

    /// Runs something in the process.
    pub fn run<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(&Parts) -> F) {
        if let (Some(runtime), Some(parts)) = (&self.runtime, &*self.parts.lock()) {
            runtime.spawn(work(parts));
        }
    }

    /// Does something in the process, at once.
    pub fn inside(&self, act: impl FnOnce(&Parts)) {
        if let (Some(runtime), Some(parts)) = (&self.runtime, &*self.parts.lock()) {
            let _inside = runtime.enter();
            act(parts);
        }
    }

    /// It gets the processor again: what is overdue happens at once.
    pub fn catch_up(&mut self, now_ms: u64) {
        if let Some(runtime) = &self.runtime {
            let until = self.base + Duration::from_millis(now_ms.saturating_sub(self.started_ms));
            runtime.block_on(async { tokio::time::advance(until.duration_since(Instant::now())).await });
        }
    }

    pub fn is_up(&self) -> bool {
        self.runtime.is_some() && self.parts.lock().is_some()
    }

    pub fn is_dead(&self) -> bool {
        self.runtime.is_none()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.hub.kill();
        let parts = self.parts.lock().take();
        if let Some(runtime) = self.runtime.take() {
            let inside = runtime.enter();
            drop(parts);
            drop(inside);
            drop(runtime);
        }
    }
}

async fn boot(setup: Setup, birth: Birth) -> Option<Parts> {
    let channel_id = node_id(NodeType::Channel, 0);
    let mut config = ChannelConfig::new(channel_id, WorkerNumber::new(1).ok()?);
    config.slot_tasks = 2;
    config.sole_owner = setup.sole_owner;
    let store = open_store(&setup, &birth);
    let node = ChannelNode::start(config, store, birth.clock.clone()).await.ok()?;
    let tap = Arc::new(Tap::new(birth.hub, setup.mutant, birth.links_down));
    let mut connectors = Vec::new();
    for number in 0..setup.connectors {
        let id = node_id(NodeType::Connector, number);
        let membership = Arc::new(FixedMembership::single(id, channel_id));
        let config = connector_config(&setup, id);
        let connector = Connector::new(config, verifier()?, birth.clock.clone(), membership);
        let up = node.connect(Arc::new(DownTap { tap: tap.clone(), inner: connector.link() }));
        connector.add_channel(Arc::new(UpTap { tap: tap.clone(), inner: up, from: id }));
        connectors.push(connector);
    }
    Some(Parts { node: Some(node), connectors, member: None, port: None })
}

/// The store as a process that has just been born sees it.
pub fn open_store(setup: &Setup, birth: &Birth) -> Arc<dyn Store> {
    match &setup.tables {
        Some(tables) => Arc::new(tables.store(birth.clock.started_ms)),
        None => Arc::new(SimStore { hub: birth.hub.clone() }),
    }
}

pub fn connector_config(setup: &Setup, id: NodeId) -> ConnectorConfig {
    ConnectorConfig { outbox_bytes: setup.outbox_bytes, ..ConnectorConfig::new(id) }
}

/// Takes the tokens of every tenant's backend.
pub fn verifier() -> Option<Verifier> {
    let keys = vec![signing_key()];
    Verifier::new(AuthConfig { issuer: PARTY.into(), audience: PARTY.into(), keys }).ok()
}

fn node_id(kind: NodeType, number: u16) -> NodeId {
    NodeId::new(kind, WorkerNumber::new(number).unwrap(), Ipv4Addr::LOCALHOST, 1).unwrap()
}
