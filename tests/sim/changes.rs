//! What users do to earlier messages, and what they say of themselves.

use client::Message;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::relation::Kind;
use protocol::v1::{Relation, SetPresence};

use crate::app::Purpose;
use crate::world::World;

/// How many of the latest messages are changed most.
const LATEST: usize = 5;

impl World {
    /// Edits a message, mostly an own one, sometimes several times at once.
    pub fn edits(&mut self, d: usize) {
        let Some((conversation, seq)) = self.some_message(d, 900) else { return };
        for _ in 0..self.rng.range(1, 3) {
            self.refers(d, &conversation, Kind::Edit, seq);
        }
    }

    /// Recalls a message, sometimes with an edit in front or behind.
    pub fn recalls(&mut self, d: usize) {
        let Some((conversation, seq)) = self.some_message(d, 750) else { return };
        let (before, behind) = (self.rng.chance(300), self.rng.chance(150));
        if before {
            self.refers(d, &conversation, Kind::Edit, seq);
        }
        self.refers(d, &conversation, Kind::Recall, seq);
        if behind {
            self.refers(d, &conversation, Kind::Edit, seq);
        }
    }

    pub fn replies(&mut self, d: usize) {
        let Some((conversation, seq)) = self.some_message(d, 300) else { return };
        self.refers(d, &conversation, Kind::Reply, seq);
    }

    fn refers(&mut self, d: usize, conversation: &str, kind: Kind, seq: u64) {
        let (mut send, id) = (self.text(d), self.rng.id());
        if kind == Kind::Recall && self.rng.chance(700) {
            send.content = None;
        }
        send.relation = Some(Relation { kind: kind.into(), seq });
        self.send(d, conversation, send, id);
    }

    /// One of the messages that the user wrote, the latest first; or any seq up to beyond the tip.
    fn some_message(&mut self, d: usize, own_permille: u64) -> Option<(String, u64)> {
        let conversation = self.some_conversation(d)?;
        if !self.rng.chance(own_permille) {
            let seen = self.devices[d].app.seen.get(&conversation).copied().unwrap_or_default();
            let seq = self.rng.range(1, seen + 2);
            return Some((conversation, seq));
        }
        let device = &self.devices[d];
        let own = |message: &&Message| message.sender == device.user && is_message(message);
        let log = device.app.log.get(&conversation)?.values();
        let mut seqs: Vec<u64> = log.filter(own).map(|message| message.seq).collect();
        if self.rng.chance(700) {
            seqs.drain(..seqs.len().saturating_sub(LATEST));
        }
        (!seqs.is_empty()).then(|| (conversation, *self.rng.pick(&seqs)))
    }

    /// Says whether somebody sits at the device.
    pub fn sets_presence(&mut self, d: usize) {
        if !self.devices[d].dead {
            let away = self.rng.chance(500);
            self.request(d, Purpose::SetPresence(away), Ask::SetPresence(SetPresence { away }));
        }
    }
}

fn is_message(message: &Message) -> bool {
    message.members_changed.is_none() && message.change().is_none()
}
