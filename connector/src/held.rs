//! Requests and logins that wait because the owner of their slot is out of reach, or there is none. Pure.
//!
//! What waits for one slot goes in the order in which it came, and before anything that comes later: a device's sends stay
//! in order. It has not been said to anybody, so refusing it is a definite answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cluster::Slot;
use protocol::Proto as _;
use protocol::node::v1::ToChannel;
use tokio::time::Instant;

/// Most bytes that wait in one connector; more is refused at once.
pub const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;
/// What a waiting message takes beside its encoding, about.
const OVERHEAD_BYTES: usize = 256;

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more waits than may")]
pub struct NoRoom;

/// What waits, by slot.
#[derive(Debug, Default)]
pub struct Held {
    slots: BTreeMap<Slot, VecDeque<Waiting>>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    message: ToChannel,
    bytes: usize,
    since: Instant,
}

impl Held {
    /// Has a message wait from `now` on, behind those of its slot that wait already.
    pub fn add(&mut self, slot: Slot, message: ToChannel, now: Instant) -> Result<(), NoRoom> {
        let bytes = message.encoded_len() + OVERHEAD_BYTES;
        if self.bytes + bytes > MAX_HELD_BYTES {
            return Err(NoRoom);
        }
        self.bytes += bytes;
        self.slots.entry(slot).or_default().push_back(Waiting { message, bytes, since: now });
        Ok(())
    }

    /// Whether anything waits for a slot.
    pub fn holds(&self, slot: Slot) -> bool {
        self.slots.contains_key(&slot)
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Hands everything that waits for slots that pass to `go`, in order.
    pub fn release(&mut self, passes: impl Fn(Slot) -> bool, mut go: impl FnMut(Slot, ToChannel)) {
        let slots: Vec<Slot> = self.slots.keys().copied().filter(|slot| passes(*slot)).collect();
        for slot in slots {
            for waiting in self.slots.remove(&slot).unwrap_or_default() {
                self.bytes -= waiting.bytes;
                go(slot, waiting.message);
            }
        }
    }

    /// Takes out what has waited for longer than `most`.
    pub fn expire(&mut self, now: Instant, most: Duration) -> Vec<ToChannel> {
        let mut expired = Vec::new();
        for waiting in self.slots.values_mut() {
            while waiting.front().is_some_and(|oldest| oldest.since + most <= now) {
                let Some(oldest) = waiting.pop_front() else { break };
                self.bytes -= oldest.bytes;
                expired.push(oldest.message);
            }
        }
        self.slots.retain(|_, waiting| !waiting.is_empty());
        expired
    }
}

#[cfg(test)]
mod tests {
    use protocol::node::v1::{Attach, to_channel};

    use super::*;

    fn attach(attach_id: u64, bytes: usize) -> ToChannel {
        let attach = Attach { attach_id, installation: "x".repeat(bytes), ..Attach::default() };
        ToChannel { body: Some(to_channel::Body::Attach(attach)) }
    }

    fn id(message: &ToChannel) -> u64 {
        match &message.body {
            Some(to_channel::Body::Attach(attach)) => attach.attach_id,
            other => panic!("{other:?}"),
        }
    }

    fn slot(number: u16) -> Slot {
        Slot::from_number(number).unwrap()
    }

    #[test]
    fn each_slot_goes_in_order_and_what_is_old_is_given_up() {
        let (mut held, start) = (Held::default(), Instant::now());
        let second = Duration::from_secs(1);
        for number in 1..=6 {
            held.add(slot(number as u16 % 2), attach(number, 1), start + second * number as u32).unwrap();
        }
        let mut gone = Vec::new();
        held.release(|which| which == slot(1), |_, message| gone.push(id(&message)));
        assert_eq!((gone, held.holds(slot(1)), held.holds(slot(0))), (vec![1, 3, 5], false, true));
        let old: Vec<u64> = held.expire(start + second * 5, second).iter().map(id).collect();
        assert_eq!((old, held.is_empty()), (vec![2, 4], false));
        assert_eq!(held.expire(start + second * 7, second).iter().map(id).collect::<Vec<_>>(), [6]);
        assert_eq!((held.is_empty(), held.bytes), (true, 0));
    }

    #[test]
    fn there_is_a_most() {
        let (mut held, now) = (Held::default(), Instant::now());
        let taken = (0..1_000).take_while(|&n| held.add(slot(1), attach(n, 60_000), now).is_ok()).count();
        assert!((270..280).contains(&taken), "{taken}");
        held.expire(now, Duration::ZERO);
        held.add(slot(1), attach(1, 1), now).unwrap();
    }
}
