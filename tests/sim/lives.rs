//! What starts, ends and comes back: gateways and applications.

use std::sync::atomic::Ordering;

use client::MessageId;

use crate::gateway::Gateway;
use crate::support::history::Outcome;
use crate::world::{Ev, World};

impl World {
    /// Starts a gateway, unless one is up or on its way.
    pub fn boot(&mut self) {
        if self.cluster.is_none() && self.gateway_up().is_none() && !self.booting {
            self.booting = true;
            let id = self.gateways.len();
            self.note_world(format!("gateway {id} starts"));
            self.next_clock();
            self.gateways.push(Gateway::start(id, self.now, &self.setup));
        }
    }

    /// A process did not come up; another one tries.
    pub fn boot_failed(&mut self, gateway: usize) {
        self.note_world(format!("gateway {gateway} does not start"));
        self.booting = false;
        self.gateways[gateway].kill();
        self.wires_gone(gateway, false);
        let next = self.gateways[gateway].seat.map_or(Ev::Boot, Ev::BootSeat);
        self.at(self.now + 500, next);
    }

    pub fn kill_gateway(&mut self, gateway: usize, silently: bool) {
        if self.gateways[gateway].is_dead() {
            return;
        }
        self.note_world(format!(
            "gateway {gateway} is killed{}",
            if silently { " without a word" } else { "" }
        ));
        self.gateways[gateway].kill();
        self.store_loses(gateway);
        self.gateway_gone(gateway, silently);
        self.wires_gone(gateway, silently);
        if let Some(cluster) = &mut self.cluster {
            cluster.is_whole = false;
        }
    }

    /// A frozen gateway goes on, knows nothing of its successor, and is ended a little later.
    pub fn thaw(&mut self, gateway: usize) {
        if std::mem::take(&mut self.gateways[gateway].frozen) {
            self.note_world(format!("gateway {gateway} goes on"));
            if self.cluster.is_some() {
                self.gateways[gateway].catch_up(self.now);
            } else if self.is_succeeded(gateway) {
                let at = self.now + self.rng.range(500, 5_000);
                self.at(at, Ev::EndZombie(gateway));
            }
        }
    }

    pub fn step_clock(&mut self, by_ms: i64) {
        self.note_world(format!("the gateway's clock steps by {by_ms} ms"));
        self.setup.clock_off.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// The application on a device is gone; returns the life that may be started again.
    pub fn kill_app(&mut self, d: usize) -> u64 {
        let now = self.instant();
        let seed = self.rng.next();
        let keeps_seen = self.rng.chance(700);
        let device = &mut self.devices[d];
        device.restart(now, seed);
        device.dead = true;
        device.app.crash();
        if !keeps_seen {
            device.app.seen.clear();
        }
        for unsettled in &device.app.unsettled {
            self.history.ended(unsettled.op, Outcome::Unknown);
        }
        self.devices[d].life
    }

    /// A user leaves with all devices and is not seen again.
    pub fn leaves_for_good(&mut self) {
        let of = self.some_device();
        let (tenant, user) = (self.devices[of].tenant.clone(), self.devices[of].user.clone());
        let others = self.devices.iter().filter(|device| !device.gone && device.user != user).count();
        for d in 0..self.devices.len() {
            let device = &self.devices[d];
            if others > 2 && !device.gone && (&device.tenant, &device.user) == (&tenant, &user) {
                self.note(d, "leaves for good".into());
                if let Some(conn) = self.devices[d].conn().filter(|_| self.rng.chance(300)) {
                    self.conns[conn].half_open = true;
                }
                self.stop(d);
                self.kill_app(d);
                self.devices[d].gone = true;
            }
        }
    }

    /// The application starts again; mostly it still knows what it had not sent for sure.
    pub fn restart(&mut self, d: usize) {
        self.note(d, "starts again".into());
        self.devices[d].dead = false;
        let unsettled = std::mem::take(&mut self.devices[d].app.unsettled);
        let keeps = self.rng.chance(700);
        for of in unsettled.into_iter().filter(|_| keeps) {
            let (conversation, id): (String, MessageId) = (of.conversation, of.id);
            self.send(d, &conversation, of.send, id);
        }
        self.dial(d);
    }

    /// Faults end, and who is away comes back.
    pub fn heal(&mut self) {
        self.note_world("everything heals".into());
        self.setup.clock_off.store(0, Ordering::Relaxed);
        self.heal_cluster();
        let up = self.gateway_up();
        for gateway in 0..self.gateways.len() {
            if self.cluster.is_none() && Some(gateway) != up && self.gateways[gateway].is_up() {
                self.kill_gateway(gateway, false);
            }
        }
        self.heal_store();
        for gateway in &mut self.gateways {
            gateway.frozen = false;
            gateway.links_down.store(false, Ordering::Relaxed);
        }
        self.boot();
        // A device that last heard the time from a clock that was off may find its token run out.
        self.devices.iter_mut().for_each(|device| device.token_s = 3 * 3600);
        (0..self.conns.len()).for_each(|conn| self.heal_conn(conn));
        for d in 0..self.devices.len() {
            if self.rng.chance(500) {
                let at = self.now + self.rng.range(5_000, 60_000);
                self.at(at, Ev::SetPresence(d));
            }
            if self.devices[d].dead && !self.devices[d].gone {
                let at = self.now + self.rng.range(100, 5_000);
                let life = self.devices[d].life;
                self.at(at, Ev::Restart(d, life));
            }
        }
    }
}
