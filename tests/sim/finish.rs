//! What is looked at while a world runs, and what is read when it has come to rest.

use std::collections::BTreeMap;

use channel::node::ChannelNode;
use protocol::Proto as _;
use protocol::v1::Message;
use storage::ConversationKey;

use crate::data::LogState;
use crate::device::Device;
use crate::support::history::{Entry, Event, Meaning};
use crate::world::World;

impl World {
    /// Looks at the routes and the outboxes of the gateway that is up, or of the cluster.
    pub fn sample(&mut self) {
        self.look_at_cluster();
        self.sample_routes(false);
        self.sample_memory();
    }

    /// Every welcomed connection that its gateway holds, against the routes.
    fn sample_routes(&mut self, at_rest: bool) {
        let Some(up) = self.gateway_up() else { return };
        let disturbed = match &self.cluster {
            Some(cluster) => !cluster.is_whole,
            None => self.gateways[up].frozen,
        };
        if disturbed {
            // What should be closed, or told of, cannot be.
            return self.conns.iter_mut().for_each(|conn| conn.unrouted_since = None);
        }
        for number in 0..self.conns.len() {
            let conn = &self.conns[number];
            let is_here = self.cluster.is_some() || conn.gateway == up;
            let Some((id, epoch)) = conn.admitted.filter(|_| is_here && conn.gateway_open) else { continue };
            let (device, now) = (conn.device, self.now);
            let Some((count, routed)) = self.routed(up, device, id, epoch, at_rest) else { continue };
            let since = &mut self.conns[number].unrouted_since;
            *since = if routed { None } else { Some(since.unwrap_or(now)) };
            let unrouted_ms = since.map_or(0, |since| now - since);
            if at_rest || count > 1 || unrouted_ms > 0 {
                let (device, connection) = (self.devices[device].number, number as u64);
                self.history.push(Event::Routed { device, connection, routes: count, unrouted_ms });
            }
        }
    }

    /// How many routes a device has where they count, and whether this session's is among them. In a cluster its user's
    /// owner counts, at rest every node.
    fn routed(&self, up: usize, device: usize, id: u64, epoch: u64, at_rest: bool) -> Option<(u64, bool)> {
        let Device { tenant, user, .. } = &self.devices[device];
        let look = |node: &ChannelNode| {
            let (mut count, mut routed) = (0, false);
            node.routes().for_each(tenant, user, |route| {
                count += u64::from(route.device == id);
                routed |= (route.device, route.epoch) == (id, epoch);
            });
            (count, routed)
        };
        if self.cluster.is_none() {
            return self.gateways[up].parts.lock().as_ref()?.node.as_deref().map(look);
        }
        let (count, routed) = self.with_owner(tenant, user, look)?;
        let everywhere = || self.channels_up().iter().map(|node| look(node).0).sum();
        Some((if at_rest { everywhere() } else { count }, routed))
    }

    fn sample_memory(&mut self) {
        let of = match self.cluster {
            Some(_) => (0..self.gateways.len()).collect(),
            None => Vec::from_iter(self.gateway_up()),
        };
        for gateway in of {
            let parts = self.gateways[gateway].parts.lock();
            let connectors = parts.iter().flat_map(|parts| &parts.connectors);
            for (device, bytes, bound) in connectors.flat_map(|connector| connector.held()) {
                let device = self.ids.get(&device).copied().unwrap_or(device);
                let (bytes, bound) = (bytes as u64, bound as u64);
                self.history.push(Event::Held { device, bytes, bound });
            }
        }
    }

    /// Everything is at rest: records what is stored, who may see it and who should have seen it.
    pub fn finish(&mut self) {
        self.look_at_cluster();
        self.sample_routes(true);
        self.read_tables();
        let logs = std::mem::take(&mut self.store.data.logs);
        for (key, log) in &logs {
            self.final_log(key, log);
        }
        for ((key, user), cursors) in std::mem::take(&mut self.store.data.cursors) {
            let tip = logs.get(&key).map_or(0, |log| log.tip());
            let (conversation, user) = (full(&key), format!("{}/{user}", key.tenant));
            let (read, delivered) = (cursors.read, cursors.delivered);
            self.history.push(Event::FinalCursor { conversation, user, read, delivered, tip });
        }
        self.final_presence();
        for d in (0..self.devices.len()).filter(|d| !self.devices[*d].gone).collect::<Vec<_>>() {
            let device = self.devices[d].number;
            let online = self.devices[d].is_up();
            let unsettled = self.devices[d].app.unsettled.len() as u64;
            self.history.push(Event::AtRest { device, online, unsettled });
        }
    }

    fn final_log(&mut self, key: &ConversationKey, log: &LogState) {
        let conversation = full(key);
        let decode = |payload: &bytes::Bytes| Message::decode(payload.clone()).unwrap();
        let messages: Vec<Message> = log.entries.iter().map(decode).collect();
        let entries: Vec<Entry> = messages.iter().map(|message| self.entry(message)).collect();
        let silent = entries.iter().filter(|entry| entry.meaning != Meaning::Shown);
        let seqs = silent.map(|entry| entry.seq).collect();
        self.history.push(Event::Final { conversation: conversation.clone(), entries });
        self.history.push(Event::Silent { conversation: conversation.clone(), seqs });
        let mut spans = Spans::default();
        messages.iter().for_each(|message| spans.apply(message));
        for (user, all) in &spans.0 {
            let user = format!("{}/{user}", key.tenant);
            for (at, span) in all.iter().enumerate() {
                let (conversation, user) = (conversation.clone(), user.clone());
                let Span { from, joined, to } = *span;
                if from < joined {
                    let to = joined - 1;
                    let (conversation, user) = (conversation.clone(), user.clone());
                    self.history.push(Event::Granted { conversation, user, from, to, owed: at == 0 });
                }
                self.history.push(Event::Entitled { conversation, user, from: joined, to });
            }
        }
        let stored = log.members.values().filter(|row| row.is_active());
        let users = stored.map(|row| format!("{}/{}", key.tenant, row.user)).collect();
        self.history.push(Event::FinalMembers { conversation: conversation.clone(), users });
        for d in 0..self.devices.len() {
            let user = self.full_user(d);
            let mine = *self.devices[d].tenant == *key.tenant && spans.0.contains_key(&self.devices[d].user);
            if mine && self.devices[d].is_up() {
                let device = self.devices[d].number;
                let conversation = conversation.clone();
                let follows = Event::Follows { device, user, conversation: conversation.clone(), from: 1 };
                self.history.push(follows);
                self.history.push(Event::CaughtUp { device, conversation });
                self.rendered(d, &key.conversation);
            }
        }
    }
}

impl World {
    /// What the application shows of a conversation, by the client's own rules.
    fn rendered(&mut self, d: usize, conversation: &str) {
        let log = self.devices[d].app.log.get(conversation).into_iter().flat_map(|log| log.values());
        let shown = client::message::shown(log.cloned().collect());
        let body = |message: &client::Message| (!message.recalled).then(|| message.content.data.to_vec());
        let rows = shown.iter().map(|message| (message.seq, body(message))).collect();
        let (device, user) = (self.devices[d].number, self.full_user(d));
        let conversation = self.full(d, conversation);
        self.history.push(Event::Rendered { device, user, conversation, rows });
    }
}

/// Seqs that a user may see, and the entry by which the user joined.
struct Span {
    from: u64,
    joined: u64,
    to: u64,
}

/// Who may see what, as the log's joins and leaves say; written without a look at how the product does it.
#[derive(Default)]
struct Spans(BTreeMap<String, Vec<Span>>);

impl Spans {
    fn apply(&mut self, message: &Message) {
        let Some(changed) = &message.members_changed else { return };
        for new in &changed.added {
            let spans = self.0.entry(new.user.clone()).or_default();
            if spans.last().is_none_or(|span| span.to != u64::MAX) {
                let from = if new.with_history { 1 } else { message.seq };
                spans.push(Span { from, joined: message.seq, to: u64::MAX });
            }
        }
        for user in &changed.removed {
            let open = self.0.get_mut(user).and_then(|spans| spans.last_mut());
            open.into_iter().filter(|span| span.to == u64::MAX).for_each(|span| span.to = message.seq);
        }
    }
}

fn full(key: &ConversationKey) -> String {
    format!("{}/{}", key.tenant, key.conversation)
}
