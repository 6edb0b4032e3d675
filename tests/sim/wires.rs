//! Connections between nodes: byte streams with a delay, over paths that may be closed for a while.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cluster::link::stream::{Dial, Dialling, Stream};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::hub::{Hub, Out};
use crate::net::Item;
use crate::socket::{End, Pipe, Plug, Socket};
use crate::world::{Ev, World};

/// Bytes that a connection holds on their way.
const CAPACITY: usize = 256 * 1024;
/// How long after an attempt that nobody answered the next one is made, as TCP does.
const RETRY_MS: u64 = 1_000;

/// What a node that dials waits for.
pub type Made = oneshot::Sender<io::Result<Box<dyn Stream>>>;

/// How a node in one of the processes dials others.
pub struct SimDial(pub Arc<Hub>);

impl std::fmt::Debug for SimDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDial")
    }
}

impl Dial for SimDial {
    fn dial<'a>(&'a self, address: &'a str) -> Dialling<'a> {
        let (answer, made) = oneshot::channel();
        self.0.put(Out::Dials(address.to_owned(), answer));
        Box::pin(async { made.await.unwrap_or_else(|_| Err(io::ErrorKind::ConnectionReset.into())) })
    }
}

/// The network between the nodes of a cluster.
#[derive(Default)]
pub struct Wires {
    wires: Vec<Wire>,
    dialled: BTreeMap<u64, (usize, String, Made)>,
    next: u64,
    /// Pairs of seats between which nothing gets through, and until when.
    pub closed: BTreeMap<(usize, usize), u64>,
    /// One-way delay, milliseconds.
    pub delay: (u64, u64),
}

/// One connection: who has dialled, and who was.
struct Wire {
    ends: [WireEnd; 2],
    broken: bool,
}

struct WireEnd {
    gateway: usize,
    pipe: Arc<Mutex<Pipe>>,
    /// What is on its way to this end.
    inbound: VecDeque<(u64, Item)>,
    open: bool,
}

impl WireEnd {
    fn of(gateway: usize) -> WireEnd {
        WireEnd { gateway, pipe: Pipe::new(CAPACITY), inbound: VecDeque::new(), open: true }
    }
}

impl Wires {
    /// No connections yet, with this delay.
    pub fn new(delay: (u64, u64)) -> Wires {
        Wires { delay, ..Wires::default() }
    }
}

impl World {
    /// A node dials.
    pub fn node_dials(&mut self, gateway: usize, address: String, made: Made) {
        let Some(cluster) = &mut self.cluster else { return };
        let wires = &mut cluster.wires;
        wires.next += 1;
        let number = wires.next;
        wires.dialled.insert(number, (gateway, address, made));
        let at = self.now + 2 * self.rng.range(wires.delay.0, wires.delay.1);
        self.at(at, Ev::NodeDialled(number));
    }

    /// The attempt arrives: at a process that takes links, at none, or nowhere.
    pub fn node_dialled(&mut self, number: u64) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some((from, address, made)) = cluster.wires.dialled.remove(&number) else { return };
        if self.gateways[from].is_dead() || made.is_closed() {
            return;
        }
        let Some(seat) = cluster.seat_of(&address) else { return };
        if cluster.opens_at(from, seat, &self.gateways) > self.now {
            cluster.wires.dialled.insert(number, (from, address, made));
            return self.at(self.now + RETRY_MS, Ev::NodeDialled(number));
        }
        let to = cluster.seats[seat].gateway.filter(|to| self.gateways[*to].is_up());
        let answer: io::Result<Box<dyn Stream>> = match to {
            Some(to) => Ok(Box::new(self.connect_nodes(from, to))),
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        drop(made.send(answer));
    }

    /// The dialler's end of a new connection.
    fn connect_nodes(&mut self, from: usize, to: usize) -> Socket {
        let wire = Wire { ends: [WireEnd::of(from), WireEnd::of(to)], broken: false };
        let pipes = [0, 1].map(|end| wire.ends[end].pipe.clone());
        let hubs = [from, to].map(|gateway| self.gateways[gateway].hub.clone());
        let number = self.cluster.as_mut().map_or(0, |cluster| {
            cluster.wires.wires.push(wire);
            cluster.wires.wires.len() - 1
        });
        let [dialler, dialled] = [0, 1].map(|end| {
            let (pipe, hub) = (pipes[end].clone(), hubs[end].clone());
            Socket { plug: Plug::Node(number, end), pipe, hub }
        });
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        self.gateways[to].inside(|parts| {
            if let Some(port) = &parts.port {
                port.serve_stream(Box::new(dialled), remote);
            }
        });
        dialler
    }

    /// A node has written.
    pub fn node_wrote(&mut self, wire: usize, end: usize) {
        let Some(cluster) = &self.cluster else { return };
        let written = cluster.wires.wires[wire].ends[end].pipe.lock().written();
        for bytes in written {
            self.node_writes(wire, end, Item::Bytes(bytes));
        }
    }

    /// A node has closed its end, or half of it.
    pub fn node_closed(&mut self, wire: usize, end: usize, all: bool) {
        self.node_writes(wire, end, Item::End(End::Fin));
        if let Some(cluster) = &mut self.cluster {
            cluster.wires.wires[wire].ends[end].open &= !all;
        }
    }

    fn node_writes(&mut self, wire: usize, end: usize, item: Item) {
        let Some(cluster) = &mut self.cluster else { return };
        let (low, high) = cluster.wires.delay;
        let of = &mut cluster.wires.wires[wire];
        if !of.broken {
            let to = &mut of.ends[1 - end];
            let last = to.inbound.back().map_or(0, |(at, _)| *at);
            let at = (self.now + self.rng.range(low, high)).max(last);
            to.inbound.push_back((at, item));
            self.at(at, Ev::Wire(wire, 1 - end));
        }
    }

    /// What is due arrives at an end.
    pub fn pump_wire(&mut self, wire: usize, end: usize) {
        loop {
            let Some(cluster) = &mut self.cluster else { return };
            let Wire { ends, .. } = &cluster.wires.wires[wire];
            let opens = cluster.between(ends[0].gateway, ends[1].gateway, &self.gateways);
            let ends = &mut cluster.wires.wires[wire].ends;
            let Some((at, _)) = ends[end].inbound.front() else { return };
            let at = (*at).max(opens);
            if at > self.now {
                return self.at(at, Ev::Wire(wire, end));
            }
            let Some((_, item)) = ends[end].inbound.pop_front() else { return };
            if self.gateways[ends[end].gateway].is_dead() {
                continue;
            }
            match item {
                Item::Bytes(bytes) => {
                    ends[end].pipe.lock().arrive(&bytes);
                    ends[1 - end].pipe.lock().read_by_peer(bytes.len());
                }
                Item::End(of) => ends[end].pipe.lock().end(of),
            }
        }
    }

    /// A process is gone; unless silently, those who were connected with it hear so.
    pub fn wires_gone(&mut self, gateway: usize, silently: bool) {
        let Some(cluster) = &mut self.cluster else { return };
        let mut resets = Vec::new();
        for (number, wire) in cluster.wires.wires.iter_mut().enumerate() {
            for end in [0, 1] {
                if wire.ends[end].gateway == gateway && std::mem::take(&mut wire.ends[end].open) {
                    resets.push((number, end));
                }
            }
        }
        for (wire, end) in resets.into_iter().filter(|_| !silently) {
            self.node_writes(wire, end, Item::End(End::Reset));
        }
    }

    /// Every connection between two seats breaks, and both ends learn of it.
    pub fn break_wires(&mut self, one: usize, other: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        let of = [one, other].map(|seat| cluster.seats[seat].gateway);
        let mut broken = Vec::new();
        for (number, wire) in cluster.wires.wires.iter_mut().enumerate() {
            let pair = [Some(wire.ends[0].gateway), Some(wire.ends[1].gateway)];
            let stands = !wire.broken && wire.ends.iter().any(|end| end.open);
            if stands && (pair == of || pair == [of[1], of[0]]) {
                broken.push(number);
            }
        }
        for wire in broken {
            [0, 1].into_iter().for_each(|end| self.lose_part(wire, end));
            [0, 1].into_iter().for_each(|end| self.node_writes(wire, end, Item::End(End::Reset)));
            if let Some(cluster) = &mut self.cluster {
                cluster.wires.wires[wire].broken = true;
            }
        }
    }

    /// What is on its way to an end is lost from some point on.
    fn lose_part(&mut self, wire: usize, end: usize) {
        let mut rng = self.rng.fork();
        if let Some(cluster) = &mut self.cluster {
            crate::net::truncate(&mut cluster.wires.wires[wire].ends[end].inbound, &mut rng);
        }
    }
}
