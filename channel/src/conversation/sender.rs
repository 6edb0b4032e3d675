//! The devices that send into a conversation: their rings, and what waits while a ring is being loaded.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use storage::log::{SenderSlot, SenderSlotOf};

use super::event::{Asker, MsgId};
use super::queue::Pending;
use super::ring::{Ring, Undo};

/// Most devices whose rings are kept per conversation. Past it the longest unused are read again when needed.
pub const MAX_SENDERS: usize = 1024;

/// Device → what is known of it.
#[derive(Default)]
pub struct Senders {
    devices: HashMap<u64, Sender>,
    uses: u64,
    /// What the rings take.
    ring_bytes: usize,
}

struct Sender {
    /// The highest connection epoch seen.
    epoch: u64,
    used: u64,
    state: State,
}

enum State {
    /// Its requests wait here, in order.
    Loading(VecDeque<Pending>),
    Ready(Ring),
}

/// What becomes of a request on arrival.
#[expect(clippy::large_enum_variant, reason = "it is moved on at once and kept nowhere")]
pub enum Admission {
    /// It may join the queue.
    Ready(Pending),
    /// It waits for the ring; `load` says that the ring has to be asked for.
    Waits { load: bool },
}

/// Takes one [`Senders::put`] back.
pub struct SenderUndo {
    device: u64,
    undo: Undo,
}

impl Senders {
    /// Whether a newer connection of the device was seen; remembers this one if not.
    pub fn is_stale(&mut self, asker: &Asker) -> bool {
        let Some(sender) = self.devices.get_mut(&asker.device) else { return false };
        sender.epoch = sender.epoch.max(asker.epoch);
        asker.epoch < sender.epoch
    }

    /// Takes a request of a device. `is_new` says that the log is empty, and so is every ring.
    pub fn admit(&mut self, asker: &Asker, pending: Pending, is_new: bool) -> Admission {
        self.uses += 1;
        let used = self.uses;
        let mut load = false;
        let sender = self.devices.entry(asker.device).or_insert_with(|| {
            load = !is_new;
            let state = if is_new { State::Ready(Ring::default()) } else { State::Loading(VecDeque::new()) };
            Sender { epoch: asker.epoch, used, state }
        });
        sender.used = used;
        match &mut sender.state {
            State::Ready(_) => Admission::Ready(pending),
            State::Loading(waiting) => {
                waiting.push_back(pending);
                Admission::Waits { load }
            }
        }
    }

    /// The ring is here: returns what waited for it. Empty if nothing was asked for.
    pub fn loaded(&mut self, device: u64, slots: &[SenderSlot]) -> VecDeque<Pending> {
        match self.devices.get_mut(&device) {
            Some(Sender { state: state @ State::Loading(_), .. }) => {
                let ring = Ring::load(slots);
                self.ring_bytes += ring.bytes();
                match std::mem::replace(state, State::Ready(ring)) {
                    State::Loading(waiting) => waiting,
                    State::Ready(_) => VecDeque::new(),
                }
            }
            _ => VecDeque::new(),
        }
    }

    /// The ring could not be read: forgets the device and returns what waited.
    pub fn load_failed(&mut self, device: u64) -> VecDeque<Pending> {
        match self.devices.remove(&device).map(|sender| sender.state) {
            Some(State::Loading(waiting)) => waiting,
            _ => VecDeque::new(),
        }
    }

    /// The seq of a send that is committed, or stands in the batch being made.
    pub fn seq_of(&self, device: u64, id: &MsgId) -> Option<u64> {
        match &self.devices.get(&device)?.state {
            State::Ready(ring) => ring.seq_of(id),
            State::Loading(_) => None,
        }
    }

    /// Remembers a send. `None` if the device's ring is not loaded, which admission rules out.
    pub fn put(&mut self, device: u64, id: MsgId, seq: u64) -> Option<(SenderSlotOf, SenderUndo)> {
        let State::Ready(ring) = &mut self.devices.get_mut(&device)?.state else { return None };
        let before = ring.bytes();
        let (slot, undo) = ring.put(&id, seq);
        // It may have grown.
        self.ring_bytes += ring.bytes() - before;
        Some((SenderSlotOf { device, slot, client_msg_id: id }, SenderUndo { device, undo }))
    }

    /// Takes puts back; the latest first.
    pub fn undo(&mut self, undo: SenderUndo) {
        if let Some(Sender { state: State::Ready(ring), .. }) = self.devices.get_mut(&undo.device) {
            ring.undo(undo.undo);
        }
    }

    /// Whether there are more rings than are kept.
    pub fn is_crowded(&self) -> bool {
        self.devices.len() > MAX_SENDERS
    }

    /// Forgets the longest unused quarter of the rings, but none that is `busy`, which would be read while an
    /// append that changes it is on its way.
    pub fn evict(&mut self, busy: &HashSet<u64>) {
        let idle = |(device, sender): (&u64, &Sender)| {
            (matches!(sender.state, State::Ready(_)) && !busy.contains(device)).then_some(sender.used)
        };
        let mut uses: Vec<u64> = self.devices.iter().filter_map(idle).collect();
        uses.sort_unstable();
        let Some(&limit) = uses.get(uses.len() / 4) else { return };
        self.devices.retain(|device, sender| idle((device, sender)).is_none_or(|used| used > limit));
        self.ring_bytes = self.devices.values().map(Sender::ring_bytes).sum();
    }

    /// What all devices take.
    pub fn bytes(&self) -> usize {
        self.ring_bytes + self.devices.capacity() * size_of::<(u64, Sender)>()
    }

    /// Everything that waits for a ring, to be answered when ownership is given up.
    pub fn take_waiting(&mut self) -> Vec<Pending> {
        self.ring_bytes = 0;
        let states = self.devices.drain().map(|(_, sender)| sender.state);
        let waiting = states.filter_map(|state| match state {
            State::Loading(waiting) => Some(waiting),
            State::Ready(_) => None,
        });
        waiting.flatten().collect()
    }
}

impl Sender {
    fn ring_bytes(&self) -> usize {
        match &self.state {
            State::Ready(ring) => ring.bytes(),
            State::Loading(_) => 0,
        }
    }
}
