//! The network between devices and gateways: ordered within a connection, in no order across connections.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::rng::Rng;
use crate::socket::{End, Pipe};
use crate::world::{Ev, World};

/// One thing on its way along a connection.
#[derive(Clone, Debug)]
pub enum Item {
    Bytes(Bytes),
    End(End),
}

/// One connection.
pub struct Conn {
    pub device: usize,
    pub gateway: usize,
    pub pipe: Arc<Mutex<Pipe>>,
    up: VecDeque<(u64, Item)>,
    down: VecDeque<(u64, Item)>,
    /// One-way delay, milliseconds.
    delay: (u64, u64),
    /// Nothing moves before this time.
    pub stalled_until: u64,
    /// Nothing moves any more, and nobody is told.
    pub half_open: bool,
    /// It was cut: what is written from now on goes nowhere.
    broken: bool,
    /// The device reads nothing before this time.
    pub slow_until: u64,
    /// The device has not closed it.
    pub device_open: bool,
    /// The gateway has not closed it.
    pub gateway_open: bool,
    /// The device and epoch that the channel node gave it.
    pub admitted: Option<(u64, u64)>,
    /// The device was welcomed on it.
    pub welcomed: bool,
    /// When its gateway was told to end, if nothing held it up then.
    pub drained_ms: Option<u64>,
    /// Since when it stands without a route, if it does.
    pub unrouted_since: Option<u64>,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Both,
    /// Only the device learns; for the gateway the connection is half open.
    DeviceOnly,
    GatewayOnly,
}

impl Conn {
    pub fn new(device: usize, gateway: usize, capacity: usize, delay: (u64, u64)) -> Conn {
        Conn {
            device,
            gateway,
            pipe: Pipe::new(capacity),
            up: VecDeque::new(),
            down: VecDeque::new(),
            delay,
            stalled_until: 0,
            half_open: false,
            broken: false,
            slow_until: 0,
            device_open: true,
            gateway_open: true,
            admitted: None,
            welcomed: false,
            drained_ms: None,
            unrouted_since: None,
        }
    }

    /// Nothing is on its way to the device, and nothing keeps anything from it.
    pub fn is_idle(&self, now: u64) -> bool {
        self.down.is_empty() && self.is_whole_since(now)
    }

    /// Nothing has kept anything from the device since then.
    pub fn is_whole_since(&self, then: u64) -> bool {
        !self.half_open && !self.broken && self.stalled_until.max(self.slow_until) <= then
    }

    fn due(&self, queue: &VecDeque<(u64, Item)>, now: u64, rng: &mut Rng) -> u64 {
        let last = queue.back().map_or(0, |(at, _)| *at);
        (now + rng.range(self.delay.0, self.delay.1)).max(last)
    }
}

impl World {
    /// The device writes.
    pub fn device_writes(&mut self, conn: usize, item: Item) {
        if !self.conns[conn].broken {
            self.send_up(conn, item);
        }
    }

    fn send_up(&mut self, conn: usize, item: Item) {
        let at = self.conns[conn].due(&self.conns[conn].up, self.now, &mut self.rng);
        self.conns[conn].up.push_back((at, item));
        self.at(at, Ev::Up(conn));
    }

    /// The gateway wrote: its bytes are on their way.
    pub fn gateway_wrote(&mut self, conn: usize) {
        let written = self.conns[conn].pipe.lock().written();
        for bytes in written {
            self.gateway_writes(conn, Item::Bytes(bytes));
        }
    }

    pub fn gateway_writes(&mut self, conn: usize, item: Item) {
        if !self.conns[conn].broken {
            self.send_down(conn, item);
        }
    }

    fn send_down(&mut self, conn: usize, item: Item) {
        let at = self.conns[conn].due(&self.conns[conn].down, self.now, &mut self.rng);
        self.conns[conn].down.push_back((at, item));
        self.at(at, Ev::Down(conn));
    }

    /// What is due arrives at the gateway.
    pub fn pump_up(&mut self, conn: usize) {
        while let Some((at, _)) = self.conns[conn].up.front() {
            let at = (*at).max(self.conns[conn].stalled_until);
            if self.conns[conn].half_open {
                return;
            }
            if at > self.now {
                return self.at(at, Ev::Up(conn));
            }
            let Some((_, item)) = self.conns[conn].up.pop_front() else { return };
            if self.gateways[self.conns[conn].gateway].is_dead() {
                continue;
            }
            let mut pipe = self.conns[conn].pipe.lock();
            match item {
                Item::Bytes(bytes) => pipe.arrive(&bytes),
                Item::End(end) => pipe.end(end),
            }
        }
    }

    /// What is due arrives at the device.
    pub fn pump_down(&mut self, conn: usize) {
        while let Some((at, item)) = self.conns[conn].down.front() {
            let slow = if matches!(item, Item::Bytes(_)) { self.conns[conn].slow_until } else { 0 };
            let at = (*at).max(self.conns[conn].stalled_until).max(slow);
            if self.conns[conn].half_open {
                return;
            }
            if at > self.now {
                return self.at(at, Ev::Down(conn));
            }
            let Some((_, item)) = self.conns[conn].down.pop_front() else { return };
            if let Item::Bytes(bytes) = &item {
                self.conns[conn].pipe.lock().read_by_peer(bytes.len());
            }
            if self.conns[conn].device_open {
                self.device_reads(conn, item);
            }
        }
    }

    /// The connection breaks: what is on its way is lost from some point on, and who learns learns by a reset.
    pub fn cut(&mut self, conn: usize, cut: Cut) {
        let device = self.devices[self.conns[conn].device].name.clone();
        self.trace.note(self.now, &device, &format!("connection {conn} is cut: {cut:?}"));
        let mut rng = self.rng.fork();
        (self.conns[conn].stalled_until, self.conns[conn].broken) = (0, true);
        truncate(&mut self.conns[conn].up, &mut rng);
        truncate(&mut self.conns[conn].down, &mut rng);
        if cut != Cut::GatewayOnly {
            self.send_down(conn, Item::End(End::Reset));
        }
        if cut != Cut::DeviceOnly {
            self.send_up(conn, Item::End(End::Reset));
        }
    }

    /// Both ends of a half-open or stalled connection learn that it is gone, or it moves on.
    pub fn heal_conn(&mut self, conn: usize) {
        let half_open = std::mem::take(&mut self.conns[conn].half_open);
        (self.conns[conn].stalled_until, self.conns[conn].slow_until) = (0, 0);
        let stands = self.conns[conn].device_open || self.conns[conn].gateway_open;
        if stands && (half_open || self.conns[conn].broken) {
            self.cut(conn, Cut::Both);
        } else if !self.conns[conn].device_open {
            self.device_writes(conn, Item::End(End::Reset));
        }
        self.pump_up(conn);
        self.pump_down(conn);
    }

    /// Whether the gateway's process or machine is gone.
    pub fn gateway_gone(&mut self, gateway: usize, silently: bool) {
        for conn in 0..self.conns.len() {
            if self.conns[conn].gateway != gateway || !self.conns[conn].gateway_open {
                continue;
            }
            self.conns[conn].gateway_open = false;
            if silently {
                self.conns[conn].half_open = true;
            } else {
                let mut rng = self.rng.fork();
                truncate(&mut self.conns[conn].down, &mut rng);
                self.send_down(conn, Item::End(End::Reset));
                self.conns[conn].broken = true;
            }
        }
    }
}

/// Keeps a random part of what is on its way: whole items and the beginning of the next.
pub fn truncate(queue: &mut VecDeque<(u64, Item)>, rng: &mut Rng) {
    let keep = rng.below(queue.len() as u64 + 1) as usize;
    let next = queue.get(keep).cloned();
    queue.truncate(keep);
    if let Some((at, Item::Bytes(bytes))) = next {
        let part = rng.below(bytes.len() as u64) as usize;
        if part > 0 {
            queue.push_back((at, Item::Bytes(bytes.slice(..part))));
        }
    }
}
