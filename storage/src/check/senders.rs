//! Ids and slots of sends, held against the entries. Pure.

use std::collections::HashMap;

use protocol::limit::{CLIENT_MSG_ID_BYTES, DEDUPE_WINDOW};
use protocol::v1::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::finding::Fault;
use crate::log::SenderSlot;

type ClientMsgId = [u8; CLIENT_MSG_ID_BYTES];

/// One part of several: what is tracked at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) number: u64,
    pub(super) of: u64,
}

impl Share {
    pub(super) fn has(self, bytes: &[u8]) -> bool {
        self.of == 1 || xxh3_64(bytes) % self.of == self.number
    }
}

/// The sends of one share.
pub(super) struct Senders {
    share: Share,
    /// Which seq a send has.
    ids: HashMap<(u64, ClientMsgId), u64>,
    /// Slots that no entry has confirmed yet, by the entry they name.
    slots: HashMap<u64, (u64, SenderSlot)>,
    /// The latest send of a device that an entry holds, and that a slot names.
    latest: HashMap<u64, Latest>,
}

#[derive(Default)]
struct Latest {
    entry: u64,
    slot: u64,
}

impl Senders {
    pub(super) fn new(share: Share) -> Senders {
        Senders { share, ids: HashMap::new(), slots: HashMap::new(), latest: HashMap::new() }
    }

    /// A slot as stored.
    pub(super) fn slot(&mut self, device: u64, slot: SenderSlot, faults: &mut Vec<Fault>) {
        if !self.share.has(&device.to_be_bytes()) {
            return;
        }
        let fault = |why| Fault::Slot { device, slot: slot.slot, seq: slot.seq, why };
        if usize::from(slot.slot) >= DEDUPE_WINDOW {
            faults.push(fault("there is no such slot"));
        }
        let latest = self.latest.entry(device).or_default();
        latest.slot = latest.slot.max(slot.seq);
        if self.slots.insert(slot.seq, (device, slot)).is_some() {
            faults.push(fault("another slot names it too"));
        }
    }

    pub(super) fn entry(&mut self, seq: u64, message: &Message, faults: &mut Vec<Fault>) {
        let device = message.sender_device;
        let id = ClientMsgId::try_from(&message.client_msg_id[..]).ok().filter(|_| device != 0);
        if let Some((owner, slot)) = self.slots.remove(&seq)
            && (owner != device || id != Some(slot.client_msg_id))
        {
            let why = "that entry is another send";
            faults.push(Fault::Slot { device: owner, slot: slot.slot, seq, why });
        }
        let Some(id) = id else { return };
        if self.share.has(&device.to_be_bytes()) {
            self.latest.entry(device).or_default().entry = seq;
        }
        if self.share.has(&[&device.to_be_bytes(), &id[..]].concat())
            && let Some(first) = self.ids.insert((device, id), seq)
        {
            faults.push(Fault::Repeated { device, first, second: seq });
        }
    }

    /// An entry that cannot be read: nothing is said of whoever names it.
    pub(super) fn unreadable(&mut self, seq: u64) {
        self.slots.remove(&seq);
    }

    /// Slots that name no entry within `first..=last`.
    pub(super) fn unmatched(&self, first: u64, last: u64) -> impl Iterator<Item = Fault> {
        let within =
            self.slots.values().filter(move |(_, slot)| (first..=last).contains(&slot.seq) || slot.seq == 0);
        within.map(|(device, slot)| {
            let why = "there is no such entry";
            Fault::Slot { device: *device, slot: slot.slot, seq: slot.seq, why }
        })
    }

    /// Slots that name entries after `last`.
    pub(super) fn later(&self, last: u64) -> impl Iterator<Item = (u64, SenderSlot)> {
        self.slots.values().filter(move |(_, slot)| slot.seq > last).copied()
    }

    /// Devices with a send that is later than all that their slots name, and that send.
    pub(super) fn forgotten(&self) -> impl Iterator<Item = (u64, u64)> {
        let lost = self.latest.iter().filter(|(_, latest)| latest.entry > latest.slot);
        lost.map(|(device, latest)| (*device, latest.entry))
    }
}
