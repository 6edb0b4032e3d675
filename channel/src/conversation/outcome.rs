//! What became of the batch.

use protocol::check::Refused;
use protocol::code::Code;
use protocol::splice;
use protocol::v1::SendAck;
use protocol::v1::server_frame::Body as Reply;
use storage::StoreError;
use storage::log::{AppendOutcome, EntryKind, Opened};

use super::action::{Action, Push, Telling};
use super::batch::{Answer, Batch, Verdict};
use super::live::except;
use super::target::Target;
use super::{Conversation, Phase, refuse, reply};

/// How often a batch is appended again before its outcome is given up as unknown.
const MAX_UNKNOWNS: u32 = 3;

impl Conversation {
    pub(super) fn appended(&mut self, outcome: AppendOutcome, actions: &mut Vec<Action>) {
        let mut batch = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Appending(batch) => batch,
            other => {
                self.phase = other;
                return;
            }
        };
        match outcome {
            AppendOutcome::Applied => self.commit(*batch, actions),
            // Another owner has taken over; nothing of the batch is stored.
            AppendOutcome::Conflict { .. } => self.give_up(*batch, Code::UNAVAILABLE, actions),
            AppendOutcome::Refused(error) => self.roll_back(*batch, error.code(), actions),
            AppendOutcome::Unknown(_) => {
                batch.unknowns += 1;
                self.phase = Phase::Reopening(batch);
                actions.push(Action::Reopen);
            }
        }
    }

    /// The log was opened again: it says what became of the batch.
    pub(super) fn reopened(&mut self, opened: Result<Opened, StoreError>, actions: &mut Vec<Action>) {
        let batch = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Reopening(batch) => batch,
            other => {
                self.phase = other;
                return;
            }
        };
        match opened {
            Ok(opened) if opened.last_batch == batch.id && opened.tip == batch.tip() => {
                self.epoch = opened.epoch;
                self.commit(*batch, actions);
            }
            Ok(opened) if opened.tip == batch.base && batch.unknowns < MAX_UNKNOWNS => {
                self.epoch = opened.epoch;
                actions.push(Action::Append(batch.append(&self.key, self.epoch)));
                self.phase = Phase::Appending(batch);
            }
            _ => self.give_up(*batch, Code::OUTCOME_UNKNOWN, actions),
        }
    }

    /// Tells what a batch's requests have come to. `failure` is set when its entries are not stored, or perhaps
    /// not; then only what was committed earlier is acknowledged.
    pub(super) fn tell(&self, batch: &Batch, failure: Option<&Refused>, actions: &mut Vec<Action>) {
        let mut pushed = 0;
        for answer in &batch.answers {
            match (&answer.verdict, failure) {
                (Ok(Verdict::Known { seq }), _) => self.acknowledge(answer, *seq, 0, true, actions),
                (_, Some(failure)) => refuse(actions, answer.to, failure),
                (Err(refused), None) => refuse(actions, answer.to, refused),
                (Ok(Verdict::Appended { seq, duplicate }), None) => {
                    self.acknowledge(answer, *seq, batch.at_ms, *duplicate, actions);
                    // A direct conversation's first send has two entries.
                    let upto = (*seq - batch.base) as usize;
                    (pushed..upto).for_each(|at| actions.push(self.push_of(batch, at, answer)));
                    pushed = pushed.max(upto);
                }
            }
        }
    }

    fn commit(&mut self, mut batch: Batch, actions: &mut Vec<Action>) {
        self.tell(&batch, None, actions);
        self.tip = batch.tip();
        for item in &mut batch.items {
            let author = std::mem::take(&mut item.sender);
            self.targets.push(Target { author, kind: item.target, recalled: false });
        }
        for item in &batch.items {
            if let EntryKind::Recall(seq) = item.kind {
                self.targets.recall(seq, self.tip);
            }
        }
        self.info = batch.info.take().or(self.info.take());
        self.members.commit(batch.changes);
    }

    /// Nothing of the batch is stored, so nothing behind it may be either: it would change the order.
    fn roll_back(&mut self, mut batch: Batch, code: Code, actions: &mut Vec<Action>) {
        let refused = code.into();
        self.tell(&batch, Some(&refused), actions);
        batch.undos.drain(..).rev().for_each(|undo| self.senders.undo(undo));
        self.refuse_queue(&refused, actions);
    }

    /// Ownership is lost, or what is stored is not known: somebody has to open the log afresh.
    fn give_up(&mut self, batch: Batch, code: Code, actions: &mut Vec<Action>) {
        let refused = code.into();
        self.tell(&batch, Some(&refused), actions);
        self.refuse_queue(&refused, actions);
        for pending in self.senders.take_waiting() {
            self.queue.release(&pending);
            refuse(actions, pending.to, &refused);
        }
        self.phase = Phase::Dropped;
        actions.push(Action::Drop);
    }

    fn refuse_queue(&mut self, refused: &Refused, actions: &mut Vec<Action>) {
        while let Some(pending) = self.queue.pop() {
            refuse(actions, pending.to, refused);
        }
    }

    fn acknowledge(&self, answer: &Answer, seq: u64, at_ms: i64, duplicate: bool, actions: &mut Vec<Action>) {
        let ack = SendAck {
            conversation: self.key.conversation.to_string(),
            seq,
            at_ms,
            duplicate,
            client_msg_id: answer.client_msg_id.clone(),
        };
        reply(actions, answer.to, Reply::SendAck(ack));
    }

    fn push_of(&self, batch: &Batch, at: usize, answer: &Answer) -> Action {
        let item = &batch.items[at];
        Action::Push(Push {
            users: item.audience.clone(),
            frame: splice::push_frame(&self.key.conversation, &item.payload),
            seq: batch.base + 1 + at as u64,
            except: except(&answer.to),
            telling: Telling::First,
        })
    }
}
