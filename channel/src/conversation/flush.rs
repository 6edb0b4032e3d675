//! The queue becomes a batch.

use bytes::Bytes;
use protocol::check::Refused;

use super::action::Action;
use super::batch::{Answer, Batch, Verdict};
use super::event::{MsgId, ReplyTo};
use super::queue::{Pending, What};
use super::{Conversation, Phase};
use storage::log::change_of;

impl Conversation {
    /// Makes batches of what waits, until one is in flight or nothing waits.
    pub(super) fn flush(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        while matches!(self.phase, Phase::Idle) && self.queue.front().is_some() {
            let batch = self.next_batch(now_ms, actions);
            if batch.answers.is_empty() {
                // The first in line waits for the entry that it refers to.
                return;
            }
            if batch.items.is_empty() {
                self.tell(&batch, None, actions);
            } else {
                actions.push(Action::Append(batch.append(&self.key, self.epoch)));
                self.phase = Phase::Appending(Box::new(batch));
            }
        }
        if self.queue.front().is_none() {
            self.targets.forget_loaded();
        }
    }

    /// The seq a send got, committed or earlier in this batch.
    pub(super) fn repeated(&self, to: &ReplyTo, id: Option<&MsgId>, batch: &Batch) -> Option<Verdict> {
        let seq = self.senders.seq_of(to.device()?, id?)?;
        Some(batch.repeat(seq))
    }

    fn next_batch(&mut self, now_ms: i64, actions: &mut Vec<Action>) -> Batch {
        self.batches += 1;
        let mut batch = Batch::new(self.batch_id(), self.tip, now_ms, self.members.changes());
        while let Some(front) = self.queue.front().filter(|pending| batch.has_room(pending.bytes)) {
            if let Some(seq) = self.lacks(front, &batch) {
                self.load_target(seq, actions);
                break;
            }
            let Some(pending) = self.queue.pop() else { break };
            self.decide(pending, &mut batch);
        }
        batch
    }

    /// The entry that has to be read before the request is decided.
    pub(super) fn lacks(&self, pending: &Pending, batch: &Batch) -> Option<u64> {
        let What::Send(send) = &pending.what else { return None };
        let (_, seq) = change_of(send.relation.as_ref())?;
        let is_known = || self.targets.get(seq, batch.base).is_some();
        if !(1..=batch.base).contains(&seq) || is_known() {
            return None;
        }
        // Nobody pays a read for what is answered without it.
        let may_see = batch.changes.active(&self.members, &pending.user).is_some_and(|row| row.may_see(seq));
        let is_new = || self.repeated(&pending.to, pending.id.as_ref(), batch).is_none();
        (may_see && is_new()).then_some(seq)
    }

    pub(super) fn load_target(&mut self, seq: u64, actions: &mut Vec<Action>) {
        if self.targets.ask(seq) {
            actions.push(Action::LoadTarget(seq));
        }
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
