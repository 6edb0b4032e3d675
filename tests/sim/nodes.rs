//! A world that is a cluster: several channel nodes and connectors, each in a process of its own, and what goes wrong
//! between them.

use std::sync::Arc;
use std::time::Duration;

use channel::node::ChannelNode;
use cluster::{Membership as _, Slot};
use idgen::{NodeId, NodeType};

use crate::coordinator::Coordinator;
use crate::gateway::{Gateway, Parts};
use crate::node::{self, Plan};
use crate::rng::Rng;
use crate::wires::Wires;
use crate::world::{Ev, World};

/// Processes of a cluster run together: none gets further ahead of another than this, milliseconds.
const STEP_MS: u64 = 100;
/// What happens between them happens at multiples of this: each stop costs all of them.
const TICK_MS: u64 = 10;
/// From the end of a process to the next one in its place, at most.
const AWAY_MS: u64 = 25_000;

/// The nodes and what is between them.
pub struct Cluster {
    /// Channel nodes first.
    pub seats: Vec<Seat>,
    pub coordinator: Coordinator,
    pub wires: Wires,
    /// A look at leases is due.
    pub watches_leases: bool,
    /// Every node is there, sees every other one, and is linked with it.
    pub is_whole: bool,
}

/// A place for a process.
pub struct Seat {
    pub kind: NodeType,
    /// The process that has it, dead or alive.
    pub gateway: Option<usize>,
}

/// How far processes may run before the next thing happens to them.
pub fn together(now: u64, due: u64) -> u64 {
    due.next_multiple_of(TICK_MS).min(now + STEP_MS)
}

impl Cluster {
    /// One of two or three channel nodes and as many connectors.
    pub fn new(rng: &mut Rng) -> Cluster {
        let seat = |kind| Seat { kind, gateway: None };
        let mut seats: Vec<Seat> = (0..rng.range(2, 3)).map(|_| seat(NodeType::Channel)).collect();
        seats.extend((0..rng.range(2, 3)).map(|_| seat(NodeType::Connector)));
        let wires = Wires::new(*rng.pick(&[(1, 3), (2, 20), (20, 80)]));
        let coordinator = Coordinator::new(*rng.pick(&[2_000, 4_000, 8_000]));
        Cluster { seats, coordinator, wires, watches_leases: false, is_whole: false }
    }

    /// The seat whose links are taken at an address.
    pub fn seat_of(&self, address: &str) -> Option<usize> {
        (0..self.seats.len()).find(|seat| Plan::address(*seat) == address)
    }

    /// When the way between two processes is open.
    pub fn between(&self, one: usize, other: usize, gateways: &[Gateway]) -> u64 {
        gateways[other].seat.map_or(0, |seat| self.opens_at(one, seat, gateways))
    }

    /// When the way from a process to a seat is open.
    pub fn opens_at(&self, from: usize, seat: usize, gateways: &[Gateway]) -> u64 {
        let Some(from) = gateways[from].seat else { return 0 };
        self.wires.closed.get(&(from.min(seat), from.max(seat))).copied().unwrap_or_default()
    }

    /// Processes of one kind that run, draining or not.
    fn running<'a>(&'a self, kind: NodeType, gateways: &'a [Gateway]) -> impl Iterator<Item = usize> + 'a {
        let of_kind = self.seats.iter().filter(move |seat| seat.kind == kind);
        of_kind.filter_map(|seat| seat.gateway).filter(|at| gateways[*at].is_up())
    }
}

impl World {
    /// Says that the world is a cluster, and has its nodes start.
    pub fn begin_cluster(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let channels = cluster.seats.iter().filter(|seat| seat.kind == NodeType::Channel).count();
        let (low, high) = cluster.wires.delay;
        let (connectors, lease) = (cluster.seats.len() - channels, cluster.coordinator.lease_ms);
        let what = format!("{channels} channel nodes, {connectors} connectors, leases of {lease} ms");
        let seats = cluster.seats.len();
        self.note_world(format!("the world is a cluster: {what}, links of {low} to {high} ms"));
        for seat in 0..seats {
            let at = self.rng.range(0, 1_000);
            self.at(at, Ev::BootSeat(seat));
        }
    }

    /// Starts a process in a seat, unless one is there.
    pub fn boot_seat(&mut self, seat: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        let of = &mut cluster.seats[seat];
        if of.gateway.is_some_and(|gateway| !self.gateways[gateway].is_dead()) {
            return;
        }
        let id = self.gateways.len();
        of.gateway = Some(id);
        let (kind, lease) = (of.kind, Duration::from_millis(cluster.coordinator.lease_ms));
        let plan = Plan { kind, seat, lease, seed: self.rng.next() };
        self.note_world(format!("gateway {id} starts: seat {seat}, a {kind}"));
        self.next_clock();
        let setup = self.setup.clone();
        let mut gateway =
            Gateway::launch(id, self.now, &self.setup, move |birth| node::boot(plan, setup, birth));
        gateway.seat = Some(seat);
        self.gateways.push(gateway);
    }

    /// The process that a device dials.
    pub fn front(&mut self) -> Option<usize> {
        let Some(cluster) = &self.cluster else {
            return self.gateway_up().filter(|gateway| !self.gateways[*gateway].draining);
        };
        let connectors = cluster.running(NodeType::Connector, &self.gateways);
        let open: Vec<usize> = connectors.filter(|at| !self.gateways[*at].draining).collect();
        (!open.is_empty()).then(|| *self.rng.pick(&open))
    }

    /// Some channel node that runs.
    pub fn channel_up(&self) -> Option<usize> {
        let cluster = self.cluster.as_ref()?;
        cluster.running(NodeType::Channel, &self.gateways).find(|at| !self.gateways[*at].frozen)
    }

    fn some_node(&mut self) -> Option<usize> {
        let cluster = self.cluster.as_ref()?;
        // Channel nodes are what this is about.
        let kind = *self.rng.pick(&[NodeType::Channel, NodeType::Channel, NodeType::Connector]);
        let running: Vec<usize> =
            cluster.running(kind, &self.gateways).filter(|at| !self.gateways[*at].frozen).collect();
        (!running.is_empty()).then(|| *self.rng.pick(&running))
    }

    /// A process of a cluster has ended: another one starts in its place.
    pub fn plan_seat(&mut self, gateway: usize) {
        if let Some(seat) = self.gateways[gateway].seat {
            let most = *self.rng.pick(&[500, AWAY_MS]);
            let at = self.now + self.rng.range(50, most);
            self.at(at, Ev::BootSeat(seat));
        }
    }

    pub fn kills_node(&mut self) {
        let Some(gateway) = self.some_node() else { return };
        let silently = self.rng.chance(300);
        self.kill_gateway(gateway, silently);
        self.plan_seat(gateway);
    }

    pub fn drains_node(&mut self) {
        let Some(gateway) = self.some_node() else { return };
        self.at(self.now, Ev::Drain(gateway));
        for _ in 0..self.rng.range(0, 8) {
            self.deed();
        }
    }

    /// A node stands still, shorter or longer than its lease.
    pub fn freezes_node(&mut self) {
        let Some(gateway) = self.some_node() else { return };
        self.broken(format!("gateway {gateway} is frozen"));
        self.gateways[gateway].frozen = true;
        let thaw = self.now + self.rng.range(500, 20_000);
        self.at(thaw, Ev::Thaw(gateway));
    }

    /// Nodes do not reach each other, or not what coordinates them.
    pub fn parts_nodes(&mut self) {
        let seats = self.cluster.as_ref().map_or(0, |cluster| cluster.seats.len() as u64);
        let channels = self.channel_seats();
        let (one, other) = (self.rng.below(channels) as usize, self.rng.below(seats) as usize);
        let until = self.now + self.rng.range(200, 20_000);
        match self.rng.below(4) {
            0 if one != other => {
                self.broken(format!("connections between seats {one} and {other} break"));
                self.break_wires(one, other);
            }
            1 | 2 if one != other => {
                self.broken(format!("nothing passes between seats {one} and {other} until {until}"));
                let Some(cluster) = &mut self.cluster else { return };
                cluster.wires.closed.insert((one.min(other), one.max(other)), until);
            }
            _ if self.rng.chance(500) => {
                self.broken(format!("nobody hears what coordinates the cluster until {until}"));
                let Some(cluster) = &mut self.cluster else { return };
                cluster.coordinator.goes_away(until);
            }
            _ => {
                let Some(gateway) = self.some_node() else { return };
                self.broken(format!(
                    "gateway {gateway} does not hear what coordinates the cluster until {until}"
                ));
                let Some(cluster) = &mut self.cluster else { return };
                cluster.coordinator.cut_off.insert(gateway, until);
            }
        }
    }

    fn channel_seats(&self) -> u64 {
        let seats = self.cluster.iter().flat_map(|cluster| &cluster.seats);
        seats.filter(|seat| seat.kind == NodeType::Channel).count() as u64
    }

    /// Something is wrong with the cluster from now on, until it is seen to be whole.
    pub fn broken(&mut self, what: String) {
        self.note_world(what);
        if let Some(cluster) = &mut self.cluster {
            cluster.is_whole = false;
        }
    }

    /// Whatever was wrong between the nodes is not any more.
    pub fn heal_cluster(&mut self) {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return };
        cluster.wires.closed.values_mut().for_each(|until| *until = now);
        cluster.coordinator.away_until = now;
        cluster.coordinator.cut_off.clear();
        let seats = cluster.seats.len();
        for gateway in 0..self.gateways.len() {
            self.thaw(gateway);
        }
        (0..seats).for_each(|seat| self.boot_seat(seat));
    }

    /// Looks whether every node is there, sees all others, and is linked with them.
    pub fn look_at_cluster(&mut self) {
        let whole = self.cluster.as_ref().is_some_and(|cluster| self.is_whole(cluster));
        if let Some(cluster) = &mut self.cluster {
            cluster.is_whole = whole;
        }
    }

    fn is_whole(&self, cluster: &Cluster) -> bool {
        let runs = |at: &usize| {
            let gateway = &self.gateways[*at];
            gateway.is_up() && !gateway.frozen && !gateway.draining
        };
        let gateways: Vec<usize> =
            cluster.seats.iter().filter_map(|seat| seat.gateway).filter(runs).collect();
        let mut nodes: Vec<NodeId> =
            gateways.iter().filter_map(|at| self.gateways[*at].parts.lock().as_ref()?.id()).collect();
        nodes.sort_unstable();
        let channels = self.channel_seats() as usize;
        let is_linked = |at: &usize| match &*self.gateways[*at].parts.lock() {
            Some(parts) => parts.sees(&nodes) && parts.is_linked(channels, cluster.seats.len() - channels),
            None => false,
        };
        let closed = cluster.wires.closed.values().any(|until| *until > self.now);
        !closed && nodes.len() == cluster.seats.len() && gateways.iter().all(is_linked)
    }

    /// The channel nodes that run.
    pub fn channels_up(&self) -> Vec<Arc<ChannelNode>> {
        let running =
            self.cluster.iter().flat_map(|cluster| cluster.running(NodeType::Channel, &self.gateways));
        running.filter_map(|at| self.gateways[at].parts.lock().as_ref()?.node.clone()).collect()
    }

    /// What the channel node that owns a user says, where all nodes see the same owners.
    pub fn with_owner<T>(&self, tenant: &str, user: &str, look: impl FnOnce(&ChannelNode) -> T) -> Option<T> {
        let at = self.channel_up()?;
        let view = self.gateways[at].parts.lock().as_ref()?.member.as_ref()?.snapshot();
        let owner = view.owner(Slot::of_user(tenant, user));
        self.channels_up().iter().find(|node| Some(node.id()) == owner).map(|node| look(node))
    }
}

impl Parts {
    fn id(&self) -> Option<NodeId> {
        self.member.as_ref().map(|member| member.node())
    }

    fn sees(&self, nodes: &[NodeId]) -> bool {
        self.member.as_ref().is_some_and(|member| {
            member.snapshot().nodes().iter().map(|record| record.node).eq(nodes.iter().copied())
        })
    }

    fn is_linked(&self, channels: usize, connectors: usize) -> bool {
        let node = self
            .node
            .iter()
            .all(|node| node.connector_count() == connectors && node.peer_count() + 1 == channels);
        node && self.connectors.iter().all(|connector| connector.linked() == channels)
    }
}
