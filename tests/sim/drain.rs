//! A gateway is told to end: its devices go first, then what is in flight is finished, as `whimbrel serve` does.

use std::time::Duration;

use futures::future::join_all;
use protocol::code::Code;
use protocol::v1::{Error, GoAway};
use tokio::time::Instant;

use crate::device::Link;
use crate::hub::Out;
use crate::mutant::Mutant;
use crate::support::history::Event;
use crate::world::{Ev, World};

impl World {
    /// The gateway that is up is to end, while there is work in flight.
    pub fn drains_gateway(&mut self) {
        let Some(gateway) = self.gateway_up() else { return };
        let at = self.now + self.rng.range(0, 2 * self.delay.1 + 100);
        self.at(at, Ev::Drain(gateway));
        for _ in 0..self.rng.range(0, 8) {
            self.deed();
        }
    }

    pub fn drain(&mut self, gateway: usize) {
        let of = &self.gateways[gateway];
        if of.draining || of.frozen || !of.is_up() {
            return;
        }
        let (low, high) = *self.rng.pick(&[(300, 2_000), (2_000, 10_000)]);
        let deadline = Duration::from_millis(self.rng.range(low, high));
        self.note_world(format!("gateway {gateway} drains within {deadline:?}"));
        self.owe_farewells(gateway);
        self.gateways[gateway].draining = true;
        let hub = self.gateways[gateway].hub.clone();
        self.gateways[gateway].run(|parts| {
            let (node, connectors) = (parts.node.clone(), parts.connectors.clone());
            async move {
                let until = Instant::now() + deadline;
                let left =
                    join_all(connectors.iter().map(|connector| connector.drain(deadline * 3 / 4))).await;
                let finished = node.drain(until.saturating_duration_since(Instant::now())).await.is_ok();
                hub.put(Out::Drained(gateway, left.iter().sum(), finished));
            }
        });
    }

    /// The process ends by itself, and another one is started.
    pub fn drained(&mut self, gateway: usize, left: usize, finished: bool) {
        let requests = if finished { "no" } else { "some" };
        self.note_world(format!(
            "gateway {gateway} has drained: {left} connections, {requests} requests left"
        ));
        self.kill_gateway(gateway, false);
        let at = self.now + self.rng.range(50, 5_000);
        self.at(at, Ev::Boot);
    }

    /// Whoever is reached by nothing but the drain has to be told of it.
    fn owe_farewells(&mut self, gateway: usize) {
        for d in 0..self.devices.len() {
            let Link::Up(conn) = self.devices[d].link else { continue };
            let conn = &mut self.conns[conn];
            if conn.gateway == gateway && conn.gateway_open && conn.is_idle(self.now) {
                conn.drained_ms = Some(self.now);
            }
        }
    }

    /// A device is told to go; false if a planted bug keeps that from it. Delays are drawn here again: the gateway's
    /// own come from a source that does not repeat.
    pub fn hears_away(&mut self, conn: usize, away: &mut GoAway) -> bool {
        if away.code != Code::SHUTTING_DOWN.number() {
            return true;
        }
        if self.mutant == Some(Mutant::GoAwayLost) {
            return false;
        }
        away.delay_ms = Code::SHUTTING_DOWN.go_away("").delay_ms + self.rng.below(20) as u32;
        if self.conns[conn].drained_ms.take().is_some() {
            let (device, connection) = (self.devices[self.conns[conn].device].number, conn as u64);
            self.history.push(Event::SentAway { device, connection, told: true });
        }
        true
    }

    /// The end of a connection reaches its device.
    pub fn sent_away(&mut self, conn: usize) {
        let Some(then) = self.conns[conn].drained_ms.take() else { return };
        if self.conns[conn].is_whole_since(then) {
            let (device, connection) = (self.devices[self.conns[conn].device].number, conn as u64);
            self.history.push(Event::SentAway { device, connection, told: false });
        }
    }

    /// A request was refused. A token that has expired is refused at any time, and devices stay until it is their turn.
    pub fn refused(&mut self, d: usize, error: &Error) {
        let Some(conn) = self.devices[d].conn() else { return };
        if error.code == Code::TOKEN_EXPIRED.number() {
            return;
        }
        if self.gateways[self.conns[conn].gateway].draining {
            let (device, code, retryable) = (self.devices[d].number, error.code, error.retryable);
            self.history.push(Event::RefusedInDrain { device, code, retryable });
        }
    }
}
