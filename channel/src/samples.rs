//! When recent messages were pushed and recent marks made: kept in memory, for timelines. Bounded in bytes by the
//! constants, and cheap: one short lock per push and per mark.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use storage::ConversationKey;

use crate::conversation::event::Event;

/// Pushes that one slot task remembers.
pub const PUSHES_KEPT: usize = 128;
/// Devices of one push whose names are remembered; the others are counted.
pub const DEVICES_KEPT: usize = 16;
/// Marks that one slot task remembers.
pub const MARKS_KEPT: usize = 256;

/// What one slot task remembers.
#[derive(Debug)]
pub struct Samples {
    pushes: Mutex<VecDeque<PushSample>>,
    marks: Mutex<Marks>,
}

#[derive(Debug)]
struct Marks {
    ring: VecDeque<MarkSample>,
    /// Every mark made after this is in the ring, milliseconds since 1970.
    complete_since_ms: i64,
}

/// One stored message on its way to the devices.
#[derive(Clone, Debug)]
pub struct PushSample {
    key: ConversationKey,
    seq: u64,
    /// When its commit was known and it was handed to the connectors: the same moment, in milliseconds.
    pub at_ms: i64,
    /// Devices it was pushed to.
    pub pushed: u32,
    /// The first of them.
    pub devices: Vec<(Arc<str>, u64)>,
}

/// A member's cursors after a mark.
#[derive(Clone, Debug)]
pub struct MarkSample {
    key: ConversationKey,
    pub user: String,
    pub read: u64,
    pub delivered: u64,
    pub at_ms: i64,
}

impl PushSample {
    pub fn new(key: &ConversationKey, seq: u64, at_ms: i64) -> PushSample {
        PushSample { key: key.clone(), seq, at_ms, pushed: 0, devices: Vec::new() }
    }

    /// It goes to this device too.
    pub fn add(&mut self, user: &Arc<str>, device: u64) {
        // What is not stored has no timeline.
        if self.seq == 0 {
            return;
        }
        self.pushed += 1;
        if self.devices.len() < DEVICES_KEPT {
            self.devices.push((user.clone(), device));
        }
    }
}

impl Samples {
    /// Nothing is remembered from before `now_ms`.
    pub fn new(now_ms: i64) -> Samples {
        let marks = Marks { ring: VecDeque::new(), complete_since_ms: now_ms };
        Samples { pushes: Mutex::default(), marks: Mutex::new(marks) }
    }

    /// Remembers a push.
    pub fn pushed(&self, sample: PushSample) {
        if sample.seq > 0 {
            keep(&mut self.pushes.lock(), sample, PUSHES_KEPT);
        }
    }

    /// Remembers a mark, if the event is one that was stored.
    pub fn see(&self, key: &ConversationKey, event: &Event, at_ms: i64) {
        let Event::CursorsRaised { mark, cursors: Ok(cursors) } = event else { return };
        let (user, read, delivered) = (mark.user.clone(), cursors.read, cursors.delivered);
        let sample = MarkSample { key: key.clone(), user, read, delivered, at_ms };
        let mut marks = self.marks.lock();
        if let Some(gone) = keep(&mut marks.ring, sample, MARKS_KEPT) {
            marks.complete_since_ms = marks.complete_since_ms.max(gone.at_ms);
        }
    }

    /// The push of a message.
    pub fn push_of(&self, key: &ConversationKey, seq: u64) -> Option<PushSample> {
        self.pushes.lock().iter().find(|sample| sample.seq == seq && sample.key == *key).cloned()
    }

    /// Marks in a conversation, oldest first, if every mark made after `since_ms` is remembered; otherwise none, for
    /// the first that is remembered need not be the first there was.
    pub fn marks_of(&self, key: &ConversationKey, since_ms: i64) -> Vec<MarkSample> {
        let marks = self.marks.lock();
        if since_ms <= marks.complete_since_ms {
            return Vec::new();
        }
        marks.ring.iter().filter(|sample| sample.key == *key).cloned().collect()
    }
}

/// Adds to a ring; what had to go.
fn keep<T>(ring: &mut VecDeque<T>, sample: T, most: usize) -> Option<T> {
    let gone = if ring.len() >= most { ring.pop_front() } else { None };
    ring.push_back(sample);
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_a_time_only_while_none_is_missing() {
        use crate::conversation::event::{Marked, ReplyTo};
        let (samples, key) = (Samples::new(100), ConversationKey::new("t", "c"));
        let raised = |read| Event::CursorsRaised {
            mark: Marked { to: ReplyTo::Node(1), user: "ann".into() },
            cursors: Ok(storage::member::Cursors { read, ..Default::default() }),
        };
        samples.see(&key, &raised(1), 110);
        assert_eq!(samples.marks_of(&key, 100).len(), 0, "from before the start");
        assert_eq!(samples.marks_of(&key, 101).len(), 1);
        for n in 0..MARKS_KEPT as u64 {
            samples.see(&key, &raised(n), 120 + n as i64);
        }
        assert_eq!(samples.marks_of(&key, 105).len(), 0, "the mark of 110 is forgotten");
        assert_eq!(samples.marks_of(&key, 111).len(), MARKS_KEPT);
    }

    #[test]
    fn the_latest_are_kept_and_large_pushes_are_counted() {
        let (samples, key) = (Samples::new(0), ConversationKey::new("t", "c"));
        let user: Arc<str> = "ann".into();
        for seq in 0..=PUSHES_KEPT as u64 + 1 {
            let mut sample = PushSample::new(&key, seq, seq as i64);
            (0..100).for_each(|device| sample.add(&user, device));
            samples.pushed(sample);
        }
        assert!(samples.push_of(&key, 0).is_none() && samples.push_of(&key, 1).is_none());
        let kept = samples.push_of(&key, 2).unwrap();
        assert_eq!((kept.at_ms, kept.pushed, kept.devices.len()), (2, 100, DEVICES_KEPT));
        assert!(samples.push_of(&ConversationKey::new("t", "d"), 2).is_none());
    }
}
