//! A device's latest sends in a conversation: the way to recognise a retry.

use protocol::limit::DEDUPE_WINDOW;
use storage::log::SenderSlot;

use super::event::MsgId;

/// The latest [`DEDUPE_WINDOW`] sends. The slot number of a send is the device's send count modulo the window.
#[derive(Debug, Default)]
pub struct Ring {
    sends: Vec<Sent>,
    next: usize,
}

/// Seq 0 marks a slot that holds nothing.
#[derive(Clone, Copy, Debug)]
struct Sent {
    id: u128,
    seq: u64,
}

/// Takes one [`Ring::put`] back.
#[derive(Debug)]
pub struct Undo {
    slot: usize,
    before: Option<Sent>,
}

impl Ring {
    /// What the store knows. The next send goes into the slot after the one with the highest seq.
    pub fn load(slots: &[SenderSlot]) -> Ring {
        let length = slots.iter().map(|slot| usize::from(slot.slot) + 1).max().unwrap_or(0);
        let mut sends = vec![Sent { id: 0, seq: 0 }; length.min(DEDUPE_WINDOW)];
        let mut newest = None;
        for slot in slots {
            let at = usize::from(slot.slot);
            if let Some(sent) = sends.get_mut(at) {
                *sent = Sent { id: u128::from_be_bytes(slot.client_msg_id), seq: slot.seq };
                newest = newest.max(Some((slot.seq, at)));
            }
        }
        Ring { sends, next: newest.map_or(0, |(_, at)| (at + 1) % DEDUPE_WINDOW) }
    }

    /// What it takes, beside itself.
    pub fn bytes(&self) -> usize {
        self.sends.capacity() * size_of::<Sent>()
    }

    /// The seq of a send, searched from the newest.
    pub fn seq_of(&self, id: &MsgId) -> Option<u64> {
        let id = u128::from_be_bytes(*id);
        let (older, newer) = (self.sends.get(self.next..), self.sends.get(..self.next));
        let newest_first = newer.into_iter().flatten().rev().chain(older.into_iter().flatten().rev());
        newest_first.into_iter().find(|sent| sent.id == id && sent.seq > 0).map(|sent| sent.seq)
    }

    /// Remembers a send; returns its slot and how to forget it again.
    pub fn put(&mut self, id: &MsgId, seq: u64) -> (u8, Undo) {
        let slot = self.next;
        let sent = Sent { id: u128::from_be_bytes(*id), seq };
        let before = self.sends.get(slot).copied();
        match self.sends.get_mut(slot) {
            Some(place) => *place = sent,
            None => self.sends.push(sent),
        }
        self.next = (slot + 1) % DEDUPE_WINDOW;
        // DEDUPE_WINDOW is at most 256, so the slot fits.
        (slot as u8, Undo { slot, before })
    }

    /// Takes puts back; the latest first.
    pub fn undo(&mut self, undo: Undo) {
        self.next = undo.slot;
        match undo.before {
            Some(sent) => self.sends[undo.slot] = sent,
            None => self.sends.truncate(undo.slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> MsgId {
        u128::from(n).to_be_bytes()
    }

    #[test]
    fn the_window_is_remembered_and_no_more() {
        let mut ring = Ring::default();
        for n in 1..=DEDUPE_WINDOW as u64 + 3 {
            let (slot, _) = ring.put(&id(n), n * 10);
            assert_eq!(usize::from(slot), (n as usize - 1) % DEDUPE_WINDOW);
        }
        assert_eq!(ring.seq_of(&id(3)), None);
        assert_eq!(ring.seq_of(&id(4)), Some(40));
        assert_eq!(ring.seq_of(&id(DEDUPE_WINDOW as u64 + 3)), Some(10 * (DEDUPE_WINDOW as u64 + 3)));
    }

    #[test]
    fn a_loaded_ring_goes_on_after_its_newest_slot() {
        let slot = |slot, n| SenderSlot { slot, client_msg_id: id(n), seq: n };
        let mut ring = Ring::load(&[slot(0, 129), slot(1, 130), slot(2, 3), slot(127, 128)]);
        assert_eq!(ring.seq_of(&id(130)), Some(130));
        assert_eq!(ring.put(&id(131), 131).0, 2);
        assert_eq!(ring.seq_of(&id(3)), None);
        assert_eq!(Ring::load(&[slot(127, 5)]).put(&id(6), 6).0, 0);
        assert_eq!(Ring::load(&[]).put(&id(6), 6).0, 0);
        // A gap is no send: an id of zeros is not found in it.
        assert_eq!(Ring::load(&[slot(5, 9)]).seq_of(&[0; 16]), None);
    }

    #[test]
    fn puts_are_taken_back_in_reverse() {
        let mut ring = Ring::default();
        for n in 1..=DEDUPE_WINDOW as u64 - 1 {
            ring.put(&id(n), n);
        }
        let undos: Vec<Undo> = (500..503).map(|n| ring.put(&id(n), n).1).collect();
        assert_eq!((ring.seq_of(&id(1)), ring.seq_of(&id(2))), (None, None));
        undos.into_iter().rev().for_each(|undo| ring.undo(undo));
        assert_eq!((ring.seq_of(&id(1)), ring.seq_of(&id(502))), (Some(1), None));
        assert_eq!(usize::from(ring.put(&id(600), 600).0), DEDUPE_WINDOW - 1);
    }
}
