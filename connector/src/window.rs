//! Reliable pushes that a device has not acknowledged: by reference to the log, never by copy.
//!
//! Pure. Session seqs rise by one with every push, so a reference's place says its session seq. The same list serves
//! a connection that is slow to acknowledge (send again), one that has just resumed (replay) and a device that is
//! away (remember until it resumes).

use std::collections::VecDeque;

use bytes::Bytes;

/// Most references kept for one device: 48 KiB. A device that is further behind pulls from the log.
pub const MAX_UNACKED: usize = 1024;

/// Where a pushed message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub session_seq: u64,
    /// UTF-8, shared with every other receiver.
    pub conversation: Bytes,
    pub seq: u64,
}

/// The pushes of one session that are unacknowledged.
#[derive(Default)]
pub struct Window {
    /// The session seq of the latest push.
    last: u64,
    /// Boxed: most devices have none at a given time.
    unacked: Option<Box<Open>>,
}

type Open = VecDeque<Unacked>;

struct Unacked {
    conversation: Bytes,
    seq: u64,
    /// The second it was pushed.
    at: u32,
}

impl Window {
    /// Numbers a push; `None` if the device has too many unacknowledged.
    pub fn push(&mut self, conversation: &Bytes, seq: u64, now: u32) -> Option<u64> {
        if self.len() == MAX_UNACKED {
            return None;
        }
        self.last += 1;
        self.unacked.get_or_insert_default().push_back(Unacked {
            conversation: conversation.clone(),
            seq,
            at: now,
        });
        Some(self.last)
    }

    /// The device has handled everything up to `session_seq`. Says whether that was news; `None` if there is no
    /// such push.
    pub fn acknowledge(&mut self, session_seq: u64) -> Option<bool> {
        let open = self.last.checked_sub(session_seq)?;
        let done = (self.len() as u64).saturating_sub(open) as usize;
        if done == self.len() {
            // An idle device keeps no buffer.
            self.unacked = None;
        } else if let Some(unacked) = &mut self.unacked {
            unacked.drain(..done);
        }
        Some(done > 0)
    }

    /// The session seq of the latest push.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many pushes are unacknowledged.
    pub fn len(&self) -> usize {
        self.unacked.as_ref().map_or(0, |unacked| unacked.len())
    }

    /// Whether everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the oldest unacknowledged push was made.
    pub fn oldest(&self) -> Option<u32> {
        self.unacked.as_ref()?.front().map(|unacked| unacked.at)
    }

    /// Whether this push is unacknowledged.
    pub fn contains(&self, session_seq: u64) -> bool {
        session_seq > self.acknowledged() && session_seq <= self.last
    }

    /// Unacknowledged pushes after `session_seq`, made at or before the second `until`, at most `most`.
    pub fn places(&self, after: u64, until: u32, most: usize) -> Vec<Place> {
        let first = self.acknowledged() + 1;
        let skip = (after + 1).saturating_sub(first) as usize;
        let numbered = self.unacked.iter().flat_map(|unacked| unacked.iter()).zip(first..).skip(skip);
        let due = numbered.take_while(|(unacked, _)| unacked.at <= until).take(most);
        due.map(|(unacked, session_seq)| Place {
            session_seq,
            conversation: unacked.conversation.clone(),
            seq: unacked.seq,
        })
        .collect()
    }

    /// The highest session seq that is acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.last - self.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> Bytes {
        Bytes::from_static(b"c")
    }

    fn seqs(window: &Window, after: u64, until: u32) -> Vec<u64> {
        window.places(after, until, 10).iter().map(|place| place.session_seq).collect()
    }

    #[test]
    fn acknowledging_is_cumulative() {
        let mut window = Window::default();
        for seq in 1..=5 {
            assert_eq!(window.push(&name(), seq * 10, seq as u32), Some(seq));
        }
        assert_eq!(window.acknowledge(6), None, "never pushed");
        assert_eq!(window.acknowledge(2), Some(true));
        assert_eq!(window.acknowledge(2), Some(false));
        assert_eq!(window.acknowledge(1), Some(false));
        assert_eq!((window.oldest(), window.len(), window.acknowledged()), (Some(3), 3, 2));
        assert_eq!(seqs(&window, 0, 4), [3, 4]);
        assert_eq!(seqs(&window, 3, 9), [4, 5]);
        assert_eq!(window.places(4, 9, 10)[0].seq, 50);
        assert!(window.contains(3) && !window.contains(2) && !window.contains(6));
        assert_eq!(window.acknowledge(5), Some(true));
        assert_eq!((window.oldest(), window.unacked.is_none()), (None, true));
    }

    #[test]
    fn a_full_window_takes_no_more() {
        let mut window = Window::default();
        for seq in 1..=MAX_UNACKED as u64 {
            assert!(window.push(&name(), seq, 0).is_some());
        }
        assert_eq!(window.push(&name(), 1, 0), None);
        assert_eq!(window.last(), MAX_UNACKED as u64);
    }

    proptest! {
        #[test]
        fn what_is_pushed_and_not_acknowledged_is_listed(steps in prop::collection::vec(0u64..8, 1..60)) {
            let mut window = Window::default();
            let (mut pushed, mut acked) = (0u64, 0u64);
            for step in steps {
                if step < 5 {
                    pushed += 1;
                    prop_assert_eq!(window.push(&name(), pushed, 0), Some(pushed));
                } else {
                    let ack = (acked + step - 5).min(pushed);
                    acked = acked.max(ack);
                    prop_assert!(window.acknowledge(ack).is_some());
                }
                let open: Vec<u64> = window.places(0, 0, 1000).iter().map(|place| place.session_seq).collect();
                prop_assert_eq!(open, (acked + 1..=pushed).collect::<Vec<_>>());
            }
        }
    }
}
