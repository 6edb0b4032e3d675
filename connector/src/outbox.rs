//! What waits to be written to one device: bounded in bytes, empty without an allocation.
//!
//! Pure: no I/O, no clock. [`crate::handle::Handle`] shares it between the link and the connection.
//!
//! What happens when it is full is decided by what comes in. A stored message becomes a `Head` hint: the device
//! pulls it from the log. Something that is not stored (presence, typing) is dropped. Answers are always taken:
//! their number is bounded, because requests are read only while [`Outbox::accepts_requests`].

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use protocol::code::Code;
use protocol::frame;
use protocol::limit::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES, MAX_REQUESTS_IN_FLIGHT};
use protocol::splice;
use protocol::{Proto as _, v1};

/// Most conversations that wait as `Head` hints; a device further behind is told to connect again.
pub const MAX_HEADS: usize = 64;
/// Most unanswered requests whose answers may be large: each may hold one full frame.
pub const MAX_HEAVY_IN_FLIGHT: usize = 4;
/// About what the answer to a request takes that is not heavy.
const LIGHT_BYTES: usize = 1024;
/// How much one turn of the connection takes out at most, give or take one frame.
const TURN_BYTES: usize = 32 * 1024;

/// Frames, hints and a reason to close, for one connection.
pub struct Outbox {
    // Boxed: hardly any device has them at a given time, and every device has an outbox.
    queue: Option<Box<Queue>>,
    /// Wire bytes in `queue`.
    bytes: usize,
    limit: u32,
    light: u32,
    /// Conversations by name, in UTF-8.
    heads: Option<Box<Heads>>,
    asked: Option<Box<Asked>>,
    closing: Option<Code>,
}

/// Unanswered requests by id, where a count is not enough.
#[derive(Default)]
struct Asked {
    /// Those whose answers may be large.
    heavy: Vec<u64>,
    /// The others, once answers to what an earlier connection asked may still come.
    light: Option<Vec<u64>>,
}

type Heads = Vec<(Bytes, u64)>;

type Queue = VecDeque<Waiting>;

struct Waiting {
    /// 0 for what is not acknowledged by the device.
    session_seq: u64,
    frame: Bytes,
}

impl Waiting {
    fn wire_bytes(&self) -> usize {
        let prefix = if self.session_seq == 0 { 0 } else { splice::session_seq_len(self.session_seq) };
        FRAME_HEADER_BYTES + prefix + self.frame.len()
    }
}

impl Outbox {
    /// An outbox that holds pushes up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            queue: None,
            bytes: 0,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            light: 0,
            heads: None,
            asked: None,
            closing: None,
        }
    }

    /// Whether a push of this size may be queued, and not only hinted at.
    pub fn takes(&self, frame: &Bytes, conversation: &[u8]) -> bool {
        let behind = self.heads.iter().flat_map(|heads| heads.iter()).any(|(name, _)| name == conversation);
        let wire = FRAME_HEADER_BYTES + splice::MAX_SESSION_SEQ_BYTES + frame.len();
        !behind && self.bytes + wire <= self.limit as usize
    }

    /// Queues a push: numbered, or with session seq 0 for what is not stored.
    pub fn push(&mut self, session_seq: u64, frame: Bytes) {
        self.enqueue(session_seq, frame);
    }

    /// Has the device told that `conversation` reaches `seq`.
    pub fn raise_head(&mut self, conversation: &Bytes, seq: u64) {
        let heads = self.heads.get_or_insert_default();
        if let Some((_, tip)) = heads.iter_mut().find(|(name, _)| name == conversation) {
            *tip = seq.max(*tip);
        } else if heads.len() < MAX_HEADS {
            heads.push((conversation.clone(), seq));
        } else {
            self.close(Code::SLOW_CONSUMER);
        }
    }

    /// Queues an answer, whatever is queued already. One that nobody waits for is dropped: the request came over an
    /// earlier connection.
    pub fn answer(&mut self, frame: Bytes) {
        if self.ends(splice::peek_re(&frame)) {
            self.enqueue(0, frame);
        }
    }

    /// Queues a frame that answers no request.
    pub fn notify(&mut self, frame: Bytes) {
        self.enqueue(0, frame);
    }

    /// Counts a request that is now under way.
    pub fn begin(&mut self, id: u64, heavy: bool) {
        if heavy {
            self.asked.get_or_insert_default().heavy.push(id);
            return;
        }
        self.light += 1;
        if let Some(light) = self.asked.as_mut().and_then(|asked| asked.light.as_mut()) {
            light.push(id);
        }
    }

    /// Whether another request may be read: few enough are unanswered, and the device reads what it is sent.
    pub fn accepts_requests(&self) -> bool {
        self.light < MAX_REQUESTS_IN_FLIGHT
            && self.asked.as_ref().map_or(0, |asked| asked.heavy.len()) < MAX_HEAVY_IN_FLIGHT
            && self.bytes <= self.limit as usize
            && self.closing.is_none()
    }

    /// The first reason to close wins; pushes are no longer taken.
    pub fn close(&mut self, code: Code) {
        self.closing.get_or_insert(code);
    }

    /// Why the connection has to close.
    pub fn closing(&self) -> Option<Code> {
        self.closing
    }

    /// The connection is gone: forgets what was queued for it and what it asked. Hints stay; they are the device's.
    pub fn disconnected(&mut self) {
        let is_owed = self.light > 0 || self.asked.is_some();
        let asked = is_owed.then(|| Box::new(Asked { light: Some(Vec::new()), ..Asked::default() }));
        *self = Self { heads: self.heads.take(), asked, ..Self::new(self.limit as usize) };
    }

    /// Bytes that wait to be written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Most bytes that may wait: pushes up to the limit, and one answer to each request that may be under way.
    pub fn bound(&self) -> usize {
        const FRAME: usize = MAX_FRAME_BYTES + FRAME_HEADER_BYTES;
        self.limit as usize
            + (MAX_HEAVY_IN_FLIGHT + 1) * FRAME
            + MAX_REQUESTS_IN_FLIGHT as usize * LIGHT_BYTES
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.queue.is_none() && self.heads.is_none()
    }

    /// Moves the next frames to `out`, in wire form. Says how many.
    pub fn take(&mut self, out: &mut BytesMut) -> usize {
        let (before, mut frames) = (out.len(), 0);
        while out.len() - before < TURN_BYTES {
            let Some(next) = self.queue.as_mut().and_then(|queue| queue.pop_front()) else { break };
            self.bytes -= next.wire_bytes();
            put(&next, out);
            frames += 1;
        }
        if self.queue.as_ref().is_none_or(|queue| queue.is_empty()) {
            // An idle device keeps no buffer.
            self.queue = None;
            frames += self.put_heads(out);
        }
        frames
    }

    /// A request is answered; false if it is not one of this connection's.
    fn ends(&mut self, id: u64) -> bool {
        if let Some(asked) = &mut self.asked {
            if remove(&mut asked.heavy, id) {
                if asked.heavy.is_empty() && asked.light.is_none() {
                    self.asked = None;
                }
                return true;
            }
            if asked.light.as_mut().is_some_and(|light| !remove(light, id)) {
                return false;
            }
        }
        let is_light = self.light > 0;
        self.light -= u32::from(is_light);
        is_light
    }

    fn enqueue(&mut self, session_seq: u64, frame: Bytes) {
        let waiting = Waiting { session_seq, frame };
        self.bytes += waiting.wire_bytes();
        self.queue.get_or_insert_default().push_back(waiting);
    }

    // Hints go out once everything queued before them has: the device then has room for what it pulls.
    fn put_heads(&mut self, out: &mut BytesMut) -> usize {
        let Some(heads) = self.heads.take() else { return 0 };
        let frames = heads.len();
        for (conversation, tip) in *heads {
            let conversation = String::from_utf8_lossy(&conversation).into_owned();
            let head = v1::Head { conversation, tip };
            let body = v1::server_frame::Body::Head(head);
            let frame = v1::ServerFrame { session_seq: 0, re: 0, body: Some(body) };
            put(&Waiting { session_seq: 0, frame: frame.encode_to_vec().into() }, out);
        }
        frames
    }
}

fn remove(ids: &mut Vec<u64>, id: u64) -> bool {
    let at = ids.iter().position(|known| *known == id);
    at.map(|at| ids.swap_remove(at)).is_some()
}

fn put(waiting: &Waiting, out: &mut BytesMut) {
    let body = waiting.wire_bytes() - FRAME_HEADER_BYTES;
    out.reserve(FRAME_HEADER_BYTES + body);
    out.put_slice(&frame::header(0, body));
    if waiting.session_seq != 0 {
        splice::put_session_seq(waiting.session_seq, out);
    }
    out.put_slice(&waiting.frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(outbox: &mut Outbox) -> Vec<v1::ServerFrame> {
        let mut out = BytesMut::new();
        while outbox.take(&mut out) > 0 {}
        let mut frames = Vec::new();
        while let Ok(frame::Peek::Whole(length)) = frame::peek(&out, protocol::limit::MAX_FRAME_BYTES) {
            let frame = frame::open(out.split_to(length).freeze()).unwrap();
            frames.extend(frame.messages::<v1::ServerFrame>().map(Result::unwrap));
        }
        frames
    }

    fn message() -> Bytes {
        splice::push_frame("c", &[])
    }

    fn name() -> Bytes {
        Bytes::from_static(b"c")
    }

    #[test]
    fn pushes_carry_their_number_and_answers_none() {
        let mut outbox = Outbox::new(1000);
        outbox.push(7, message());
        outbox.notify(Bytes::from_static(&[0x2A, 0]));
        outbox.push(8, message());
        let seqs: Vec<u64> = frames(&mut outbox).iter().map(|frame| frame.session_seq).collect();
        assert_eq!(seqs, [7, 0, 8]);
    }

    #[test]
    fn a_hint_follows_what_is_queued_and_holds_the_newest_tip() {
        let mut outbox = Outbox::new(40);
        assert!(outbox.takes(&message(), b"c"));
        outbox.push(1, message());
        outbox.push(2, message());
        assert!(!outbox.takes(&message(), b"c"), "full");
        outbox.raise_head(&name(), 9);
        outbox.raise_head(&name(), 10);
        outbox.raise_head(&name(), 8);
        let frames = frames(&mut outbox);
        let head = v1::Head { conversation: "c".into(), tip: 10 };
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2].body, Some(v1::server_frame::Body::Head(head)));
        assert!(outbox.takes(&message(), b"c"));
    }

    #[test]
    fn frames_and_hints_are_counted() {
        let mut outbox = Outbox::new(1000);
        outbox.push(1, message());
        outbox.push(2, message());
        outbox.raise_head(&name(), 9);
        let mut out = BytesMut::new();
        assert_eq!((outbox.take(&mut out), outbox.take(&mut out)), (3, 0));
    }

    #[test]
    fn a_conversation_that_waits_as_a_hint_gets_no_message_before_it() {
        let mut outbox = Outbox::new(1000);
        outbox.raise_head(&name(), 9);
        assert!(!outbox.takes(&message(), b"c"));
        assert!(outbox.takes(&message(), b"d"));
    }

    #[test]
    fn a_device_behind_in_too_many_conversations_is_sent_away() {
        let mut outbox = Outbox::new(0);
        for n in 0..=MAX_HEADS {
            outbox.raise_head(&Bytes::from(format!("c{n}")), 1);
        }
        assert_eq!(outbox.closing(), Some(Code::SLOW_CONSUMER));
    }

    #[test]
    fn requests_are_read_only_while_few_are_unanswered() {
        let mut outbox = Outbox::new(1000);
        for id in 1..=MAX_HEAVY_IN_FLIGHT as u64 {
            assert!(outbox.accepts_requests());
            outbox.begin(id, true);
        }
        assert!(!outbox.accepts_requests());
        outbox.answer(Bytes::from_static(&[0x10, 2]));
        assert!(outbox.accepts_requests());
        for id in 0..MAX_REQUESTS_IN_FLIGHT {
            outbox.begin(u64::from(id) + 10, false);
        }
        assert!(!outbox.accepts_requests());
        outbox.answer(Bytes::from_static(&[0x10, 10]));
        assert!(outbox.accepts_requests());
    }

    #[test]
    fn a_late_answer_of_an_earlier_connection_takes_nobodys_place() {
        let mut outbox = Outbox::new(1000);
        outbox.begin(1, true);
        outbox.begin(2, false);
        outbox.disconnected();
        outbox.begin(3, false);
        for late in [1, 2] {
            outbox.answer(Bytes::from(vec![0x10, late]));
        }
        assert!(outbox.is_empty(), "nobody waits for these any more");
        outbox.answer(Bytes::from_static(&[0x10, 3]));
        assert!(!outbox.is_empty());
        frames(&mut outbox);
        outbox.answer(Bytes::from_static(&[0x10, 3]));
        assert!(outbox.is_empty(), "one request has one answer");
    }

    #[test]
    fn an_empty_outbox_holds_no_memory() {
        let mut outbox = Outbox::new(100_000);
        for seq in 1..100 {
            outbox.push(seq, message());
        }
        frames(&mut outbox);
        assert_eq!((outbox.queue.is_none(), outbox.bytes), (true, 0));
    }

    #[test]
    fn a_lost_connection_leaves_the_hints() {
        let mut outbox = Outbox::new(1000);
        outbox.push(1, message());
        outbox.begin(1, true);
        outbox.raise_head(&name(), 3);
        outbox.disconnected();
        assert!(outbox.accepts_requests());
        let frames = frames(&mut outbox);
        assert!(matches!(frames[0].body, Some(v1::server_frame::Body::Head(_))) && frames.len() == 1);
    }
}
