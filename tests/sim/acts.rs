//! What users do, and what goes wrong: drawn from the seed, one act at a time.

use std::sync::atomic::Ordering;

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::{self, NewMember};

use crate::app::Purpose;
use crate::device::Link;
use crate::net::Cut;
use crate::world::{Ev, World};

/// Longest time that links lose what is pushed: shorter than the gateway waits before it tells a tip again.
const MAX_BREAK_MS: u64 = 8_000;
/// Time from one such break to the next: a tip is told again in between.
const WHOLE_MS: u64 = 20_000;

type Deed = fn(&mut World, usize);
type Fault = fn(&mut World);

/// Weights of what users do.
const DEEDS: [(u64, Deed); 14] = [
    (40, World::sends_some),
    (8, World::sends_direct),
    (9, World::edits),
    (6, World::recalls),
    (3, World::replies),
    (4, World::creates),
    (7, World::changes_members),
    (3, World::leaves),
    (8, World::marks),
    (8, World::reads),
    (3, World::lists),
    (4, World::signals),
    (4, World::sets_presence),
    (2, World::reads_stream),
];

/// Weights of what goes wrong.
const FAULTS: [(u64, Fault); 15] = [
    (10, World::cuts),
    (4, World::half_opens),
    (8, World::stalls),
    (8, World::slows),
    (8, World::goes_away),
    (6, World::crashes_app),
    (1, World::leaves_for_good),
    (8, World::takes_over),
    (5, World::kills_gateway),
    (4, World::drains_gateway),
    (2, World::freezes_gateway),
    (5, World::breaks_links),
    (6, World::slows_store),
    (5, World::fails_store),
    (3, World::steps_clock),
];

impl World {
    /// Some device does something.
    pub fn deed(&mut self) {
        let d = self.rng.below(self.devices.len() as u64) as usize;
        let which = self.rng.weighted(&DEEDS.map(|(weight, _)| weight));
        if !self.devices[d].dead {
            DEEDS[which].1(self, d);
        }
    }

    /// Something goes wrong.
    pub fn fault(&mut self) {
        let which = self.rng.weighted(&FAULTS.map(|(weight, _)| weight));
        FAULTS[which].1(self);
    }

    pub fn some_conversation(&mut self, d: usize) -> Option<String> {
        let known: Vec<String> = self.devices[d].app.streams.keys().cloned().collect();
        (!known.is_empty()).then(|| self.rng.pick(&known).clone())
    }

    fn some_user(&mut self, d: usize) -> String {
        let users = self.users.clone();
        let others: Vec<String> = users.into_iter().filter(|user| *user != self.devices[d].user).collect();
        self.rng.pick(&others).clone()
    }

    pub fn text(&mut self, d: usize) -> v1::Send {
        self.written += 1;
        let large = self.large && self.rng.chance(200);
        let length = if large { self.rng.range(1_000, 6_000) } else { self.rng.range(1, 40) };
        let mut data = format!("{} {} ", self.devices[d].name, self.written).into_bytes();
        data.resize(data.len() + length as usize, b'.');
        let content = v1::Content { r#type: "text/plain".into(), data: data.into() };
        v1::Send { content: Some(content), hidden: self.rng.chance(80), ..Default::default() }
    }

    fn sends_some(&mut self, d: usize) {
        let Some(conversation) = self.some_conversation(d) else { return };
        let count = if self.rng.chance(250) { self.rng.range(5, 30) } else { self.rng.range(1, 3) };
        for _ in 0..count {
            let (send, id) = (self.text(d), self.rng.id());
            self.send(d, &conversation, send, id);
        }
    }

    fn sends_direct(&mut self, d: usize) {
        let peer = self.some_user(d);
        let conversation = protocol::names::direct(&self.devices[d].user, &peer);
        let (send, id) = (self.text(d), self.rng.id());
        self.send(d, &conversation, send, id);
        self.follow(d, &conversation);
        self.after(d);
    }

    pub fn creates(&mut self, d: usize) {
        let mut members = Vec::new();
        for user in self.users.clone() {
            if user != self.devices[d].user && self.rng.chance(600) {
                members.push(self.member(user));
            }
        }
        let client_msg_id = self.rng.id().to_vec().into();
        let create = v1::CreateConversation { client_msg_id, title: "a group".into(), members };
        self.request(d, Purpose::Create, Ask::CreateConversation(create));
    }

    fn member(&mut self, user: String) -> NewMember {
        let role = *self.rng.pick(&[v1::Role::Member, v1::Role::Agent]);
        NewMember { user, role: role.into(), with_history: self.rng.chance(300) }
    }

    fn changes_members(&mut self, d: usize) {
        let user = self.some_user(d);
        if self.rng.chance(500) {
            let add = vec![self.member(user)];
            self.change(d, add, Vec::new());
        } else {
            self.change(d, Vec::new(), vec![user]);
        }
    }

    fn leaves(&mut self, d: usize) {
        let me = self.devices[d].user.clone();
        self.change(d, Vec::new(), vec![me]);
    }

    fn change(&mut self, d: usize, add: Vec<NewMember>, remove: Vec<String>) {
        let Some(conversation) = self.some_conversation(d).filter(|name| name.starts_with("g:")) else {
            return;
        };
        let id = self.rng.id();
        let client_msg_id = id.to_vec().into();
        let change = v1::ChangeMembers { conversation: conversation.clone(), client_msg_id, add, remove };
        self.request(d, Purpose::Change(conversation, id), Ask::ChangeMembers(change));
    }

    fn marks(&mut self, d: usize) {
        let Some(conversation) = self.some_conversation(d) else { return };
        let seen = self.devices[d].app.seen.get(&conversation).copied().unwrap_or_default();
        // Now and then an older value, or one beyond the tip.
        let read = if self.rng.chance(700) { seen } else { self.rng.range(0, seen + 3) };
        let delivered = if self.rng.chance(700) { seen } else { self.rng.range(0, seen + 3) };
        let mark = v1::Mark { conversation, read, delivered };
        self.request(d, Purpose::Mark, Ask::Mark(mark));
    }

    fn reads(&mut self, d: usize) {
        let Some(conversation) = self.some_conversation(d) else { return };
        let seen = self.devices[d].app.seen.get(&conversation).copied().unwrap_or_default();
        let from = self.rng.range(1, seen + 1);
        let (number, user, named) = (self.devices[d].number, self.full_user(d), self.full(d, &conversation));
        let op = self.history.read(number, &user, &named, from);
        let limit = if self.rng.chance(300) { self.rng.range(1, 5) as u32 } else { 0 };
        let range = v1::SyncRange { conversation, from, backwards: false, limit };
        self.request(d, Purpose::Read(op), Ask::Sync(v1::Sync { ranges: vec![range] }));
    }

    fn lists(&mut self, d: usize) {
        self.list(d);
        if let Some(conversation) = self.some_conversation(d) {
            let list = v1::ListMembers { conversation, ..Default::default() };
            self.request(d, Purpose::Other, Ask::ListMembers(list));
        }
    }

    fn signals(&mut self, d: usize) {
        let Some(conversation) = self.some_conversation(d) else { return };
        if self.rng.chance(500) {
            let watch = v1::Watch { conversations: vec![conversation] };
            return self.request(d, Purpose::Other, Ask::Watch(watch));
        }
        let signal = v1::Signal { conversation, r#type: "typing".into(), ..Default::default() };
        let now = self.instant();
        self.devices[d].session.signal(now, signal);
        self.after(d);
    }

    /// A device that is up, and its connection.
    fn some_conn(&mut self) -> Option<usize> {
        let up: Vec<usize> = self.devices.iter().filter_map(|device| device.conn()).collect();
        (!up.is_empty()).then(|| *self.rng.pick(&up))
    }

    fn cuts(&mut self) {
        if let Some(conn) = self.some_conn() {
            let cut = *self.rng.pick(&[Cut::Both, Cut::Both, Cut::DeviceOnly, Cut::GatewayOnly]);
            self.cut(conn, cut);
        }
    }

    fn half_opens(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.conns[conn].half_open = true;
            self.note(self.conns[conn].device, format!("connection {conn} is half open"));
        }
    }

    fn stalls(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.conns[conn].stalled_until = self.now + self.rng.range(500, 40_000);
            self.note(self.conns[conn].device, format!("connection {conn} stalls"));
        }
    }

    fn slows(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.conns[conn].slow_until = self.now + self.rng.range(2_000, 60_000);
            self.note(self.conns[conn].device, format!("reads nothing from connection {conn}"));
        }
    }

    pub fn some_device(&mut self) -> usize {
        self.rng.below(self.devices.len() as u64) as usize
    }

    fn goes_away(&mut self) {
        let d = self.some_device();
        if self.devices[d].conn().is_none() {
            return;
        }
        self.note(d, "goes away".into());
        let now = self.instant();
        if self.rng.chance(500) {
            self.devices[d].session.bye(now);
            self.perform(d);
        }
        self.stop(d);
        self.devices[d].session.on_lost(&client::Lost::broken("away"));
        let (turn, at) = (self.devices[d].turn, self.now + self.rng.range(1_000, 60_000));
        self.devices[d].link = Link::Waiting;
        self.at(at, Ev::Dial(d, turn));
    }

    fn crashes_app(&mut self) {
        let d = self.some_device();
        if self.devices[d].dead {
            return;
        }
        self.note(d, "crashes".into());
        let silent = self.rng.chance(300);
        if let Some(conn) = self.devices[d].conn() {
            match silent {
                true => self.conns[conn].half_open = true,
                false => self.close_conn(conn),
            }
            self.conns[conn].device_open = false;
        }
        let life = self.kill_app(d);
        let at = self.now + self.rng.range(100, 30_000);
        self.at(at, Ev::Restart(d, life));
    }

    /// The device dials again while its older connection still stands.
    fn takes_over(&mut self) {
        let d = self.some_device();
        let Link::Up(older) = self.devices[d].link else { return };
        let at = self.now + self.rng.range(1_000, 40_000);
        self.at(at, Ev::CloseConn(older));
        self.note(d, "dials again beside its connection".into());
        self.devices[d].session.on_lost(&client::Lost::broken("another network"));
        self.dial(d);
    }

    fn kills_gateway(&mut self) {
        if self.cluster.is_some() {
            return self.kills_node();
        }
        let Some(gateway) = self.gateway_up() else { return };
        let silently = self.rng.chance(300);
        self.kill_gateway(gateway, silently);
        let at = self.now + self.rng.range(50, 15_000);
        self.at(at, Ev::Boot);
    }

    /// The gateway does not get the processor for a while; where zombies are, another one is started meanwhile.
    fn freezes_gateway(&mut self) {
        if self.cluster.is_some() {
            return self.freezes_node();
        }
        let Some(gateway) = self.gateway_up() else { return };
        self.note_world(format!("gateway {gateway} is frozen"));
        self.gateways[gateway].frozen = true;
        let thaw = self.now + self.rng.range(3_000, 20_000);
        self.at(thaw, Ev::Thaw(gateway));
        if self.zombies {
            self.at(self.now + 500, Ev::Boot);
        }
    }

    /// For a while nothing that is pushed reaches a connector.
    fn breaks_links(&mut self) {
        if self.cluster.is_some() {
            return self.parts_nodes();
        }
        let Some(gateway) = self.gateway_up().filter(|_| self.now >= self.links_whole_until) else { return };
        let until = self.now + self.rng.range(200, MAX_BREAK_MS);
        self.links_whole_until = until + WHOLE_MS;
        self.note_world(format!("the links of gateway {gateway} lose what is pushed"));
        self.gateways[gateway].links_down.store(true, Ordering::Relaxed);
        self.at(until, Ev::LinksUp(gateway));
    }

    fn slows_store(&mut self) {
        self.store.slow_until = self.now + self.rng.range(1_000, 25_000);
        self.store.slow_ms = self.rng.range(200, 6_000);
        self.note_world(format!("the store takes up to {} ms", self.store.slow_ms));
        self.weather();
    }

    fn fails_store(&mut self) {
        self.store.failing_until = self.now + self.rng.range(1_000, 15_000);
        self.store.failing_permille = self.rng.range(100, 900);
        self.note_world("the store fails now and then".into());
        self.weather();
    }

    fn steps_clock(&mut self) {
        let by = *self.rng.pick(&[-3_600_000, -60_000, -1_000, 1_000, 60_000, 3_600_000]);
        self.step_clock(by);
    }
}
