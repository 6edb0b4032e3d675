//! What an owner says next.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::v1::{ConversationInfo, Role};
use rand::Rng;
use rand::rngs::StdRng;
use whimbrel_storage::ConversationKey;
use whimbrel_storage::log::{Append, Entry, EntryKind, Opened, SenderSlotOf};
use whimbrel_storage::member::MemberRow;

pub const USERS: [&str; 4] = ["u0", "u1", "u2", "u3"];
pub const DEVICES: [u64; 2] = [7, 8];

pub fn key() -> ConversationKey {
    ConversationKey::new("tenant", "c")
}

/// The log as its owner knows it.
pub struct Owned {
    pub epoch: u64,
    pub tip: u64,
    pub members: BTreeMap<String, MemberRow>,
}

impl Owned {
    pub fn new(opened: Opened) -> Owned {
        let members = opened.members.into_iter().map(|row| (row.user.clone(), row)).collect();
        Owned { epoch: opened.epoch, tip: opened.tip, members }
    }

    pub fn applied(&mut self, append: &Append) {
        self.tip += append.entries.len() as u64;
        self.members.extend(append.members.iter().map(|row| (row.user.clone(), row.clone())));
    }

    /// The next batch: `most` entries, under an id that nobody has used.
    pub fn plan(&self, rng: &mut StdRng, most: usize) -> Append {
        let batch: [u8; 16] = rng.random();
        let entries: Vec<Entry> =
            (0..rng.random_range(1..=most)).map(|at| self.entry(rng, batch, at)).collect();
        let members = self.changes(rng);
        let mut after = self.members.clone();
        after.extend(members.iter().map(|row| (row.user.clone(), row.clone())));
        let active = after.values().filter(|row| row.is_active()).map(|row| Arc::from(row.user.as_str()));
        let title = format!("{:02x}", batch[0]);
        let describes = self.tip == 0 || rng.random_range(0..10) == 0;
        Append {
            key: key(),
            epoch: self.epoch,
            expected_tip: self.tip,
            batch,
            at_ms: rng.random_range(1..1_000_000),
            entries,
            members,
            active: active.collect(),
            info: describes.then_some(ConversationInfo { kind: 1, title }),
        }
    }

    fn entry(&self, rng: &mut StdRng, batch: [u8; 16], at: usize) -> Entry {
        let seq = self.tip + 1 + at as u64;
        let target = rng.random_range(1..=seq);
        let kind = match rng.random_range(0..8) {
            0 => EntryKind::Silent,
            1 if target < seq => EntryKind::Edit(target),
            2 if target < seq => EntryKind::Recall(target),
            _ => EntryKind::Shown,
        };
        let sender = if kind == EntryKind::Shown { USERS[rng.random_range(0..4)] } else { "" };
        let device = DEVICES[rng.random_range(0..2)];
        let slot = SenderSlotOf { device, slot: rng.random_range(0..8), client_msg_id: rng.random() };
        let payload = [&batch[..], &[at as u8]].concat().into();
        Entry { payload, sender: sender.into(), slot: (rng.random_range(0..3) > 0).then_some(slot), kind }
    }

    /// The first batch has two join; later ones have somebody come or go. `u0` stays.
    fn changes(&self, rng: &mut StdRng) -> Vec<MemberRow> {
        if self.tip == 0 {
            return USERS[..2].iter().map(|user| MemberRow::join(*user, Role::Member, 1)).collect();
        }
        if rng.random_range(0..4) > 0 {
            return Vec::new();
        }
        let (user, seq) = (USERS[rng.random_range(1..4)], self.tip + 1);
        let row = match self.members.get(user) {
            None => MemberRow::join(user, Role::Member, seq),
            Some(row) => {
                let mut row = row.clone();
                if row.is_active() {
                    row.leave(seq)
                } else {
                    row.rejoin(Role::Agent, seq)
                }
                row
            }
        };
        vec![row]
    }
}
