//! A gateway is told to end: its devices go first, then what is in flight is finished, as `whimbrel serve` does.

use std::sync::Arc;
use std::time::Duration;

use channel::node::ChannelNode;
use cluster::link::listen::LinkPort;
use cluster::{Membership as _, ZooKeeperMembership};
use connector::Connector;
use futures::future::join_all;
use protocol::code::Code;
use protocol::v1::{Error, GoAway};
use tokio::time::Instant;

use crate::device::Link;
use crate::gateway::Parts;
use crate::hub::Out;
use crate::mutant::Mutant;
use crate::support::history::Event;
use crate::world::{Ev, World};

/// How long a node that goes serves on while others take its slots.
const HANDOVER: Duration = Duration::from_millis(500);

/// What of a process has to end in order.
struct Ending {
    node: Option<Arc<ChannelNode>>,
    connectors: Vec<Arc<Connector>>,
    member: Option<Arc<ZooKeeperMembership>>,
    port: Option<Arc<LinkPort>>,
}

impl Ending {
    fn of(parts: &Parts) -> Ending {
        let (node, connectors) = (parts.node.clone(), parts.connectors.clone());
        Ending { node, connectors, member: parts.member.clone(), port: parts.port.clone() }
    }

    /// Ends as `whimbrel serve`, `connector` and `channel` do; how many connections were left, and whether all requests were
    /// finished.
    async fn perform(self, deadline: Duration) -> (usize, bool) {
        let until = Instant::now() + deadline;
        if let Some(member) = &self.member {
            member.publish(|record| record.draining = true);
        }
        let alone = self.member.iter().all(|member| member.snapshot().channels().nth(1).is_none());
        if self.port.is_some() && !alone {
            tokio::time::sleep(HANDOVER.min(deadline / 4)).await;
        }
        // A process that is only a connector has nothing to do behind its devices.
        let share = if self.node.is_some() { deadline * 3 / 4 } else { deadline };
        let left = join_all(self.connectors.iter().map(|connector| connector.drain(share))).await;
        let rest = until.saturating_duration_since(Instant::now());
        let finished = match &self.node {
            Some(node) => node.drain(rest).await.is_ok(),
            None => true,
        };
        if let Some(port) = &self.port {
            port.flush(until).await;
            port.stop().await;
        }
        if let Some(member) = &self.member {
            member.leave().await;
        }
        (left.iter().sum(), finished)
    }
}

impl World {
    /// The gateway that is up is to end, while there is work in flight.
    pub fn drains_gateway(&mut self) {
        if self.cluster.is_some() {
            return self.drains_node();
        }
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
        if let Some(cluster) = &mut self.cluster {
            cluster.is_whole = false;
        }
        let hub = self.gateways[gateway].hub.clone();
        self.gateways[gateway].run(|parts| {
            let ending = Ending::of(parts);
            async move {
                let (left, finished) = ending.perform(deadline).await;
                hub.put(Out::Drained(gateway, left, finished));
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
        if self.cluster.is_some() {
            return self.plan_seat(gateway);
        }
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
