//! The queue becomes a batch.

use bytes::Bytes;
use protocol::check::Refused;

use super::action::Action;
use super::batch::{Answer, Batch, Verdict};
use super::event::{MsgId, ReplyTo};
use super::queue::{Pending, What};
use super::{Conversation, Phase};

impl Conversation {
    /// Makes batches of what waits, until one is in flight or nothing waits.
    pub(super) fn flush(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        while matches!(self.phase, Phase::Idle) && self.queue.front().is_some() {
            let batch = self.next_batch(now_ms);
            if batch.items.is_empty() {
                self.tell(&batch, None, actions);
            } else {
                actions.push(Action::Append(batch.append(&self.key, self.epoch)));
                self.phase = Phase::Appending(Box::new(batch));
            }
        }
    }

    /// The seq a send got, committed or earlier in this batch.
    pub(super) fn repeated(&self, to: &ReplyTo, id: Option<&MsgId>, batch: &Batch) -> Option<Verdict> {
        let seq = self.senders.seq_of(to.device()?, id?)?;
        Some(batch.repeat(seq))
    }

    fn next_batch(&mut self, now_ms: i64) -> Batch {
        self.batches += 1;
        let mut batch = Batch::new(self.batch_id(), self.tip, now_ms, self.members.changes());
        while self.queue.front().is_some_and(|pending| batch.has_room(pending.bytes))
            && let Some(pending) = self.queue.pop()
        {
            self.decide(pending, &mut batch);
        }
        batch
    }

    fn decide(&mut self, pending: Pending, batch: &mut Batch) {
        let Pending { to, user, id, what, .. } = pending;
        let (client_msg_id, verdict) = match what {
            What::Send(send) => (send.client_msg_id.clone(), self.decide_send(to, user, id, send, batch)),
            What::Create(create) => {
                (create.client_msg_id.clone(), self.decide_create(to, user, id, create, batch))
            }
            What::Change(change) => {
                (change.client_msg_id.clone(), self.decide_change(to, user, id, change, batch))
            }
        };
        self.owe(to, client_msg_id, verdict, batch);
    }

    fn owe(&self, to: ReplyTo, client_msg_id: Bytes, verdict: Result<Verdict, Refused>, batch: &mut Batch) {
        batch.answers.push(Answer { to, client_msg_id, verdict });
    }

    /// Unique in this log: every opening has an epoch of its own.
    fn batch_id(&self) -> [u8; 16] {
        (u128::from(self.epoch) << 64 | u128::from(self.batches)).to_be_bytes()
    }
}
