//! A request arrives.

use protocol::check::{self, Refused, invalid};
use protocol::code::Code;
use protocol::limit::MAX_ENTRY_OVERHEAD_BYTES;
use protocol::names;
use protocol::v1;
use storage::StoreError;
use storage::log::SenderSlot;

use super::action::Action;
use super::batch::Batch;
use super::event::{Body, MsgId, ReplyTo, Request};
use super::queue::{Pending, What};
use super::sender::Admission;
use super::{Conversation, Phase, refuse};

/// Bytes that a message's entry takes beside its content, about.
const MESSAGE_BYTES: usize = 256;
/// Bytes that one user takes in an entry, about.
const MEMBER_BYTES: usize = 32;

impl Conversation {
    pub(super) fn accept(&mut self, request: Request, now_ms: i64, actions: &mut Vec<Action>) {
        let to = request.to;
        if let Err(refused) = self.take(request, now_ms, actions) {
            refuse(actions, to, &refused);
        }
    }

    /// The ring of a device is here, or is not to be had.
    pub(super) fn sender_loaded(
        &mut self,
        device: u64,
        slots: Result<Vec<SenderSlot>, StoreError>,
        actions: &mut Vec<Action>,
    ) {
        match slots {
            Ok(slots) => {
                self.make_room_for_senders();
                for pending in self.senders.loaded(device, &slots) {
                    self.line_up(pending, actions);
                }
            }
            Err(error) => {
                let refused = error.code().into();
                for pending in self.senders.load_failed(device) {
                    self.queue.release(&pending);
                    refuse(actions, pending.to, &refused);
                }
            }
        }
    }

    fn take(&mut self, request: Request, now_ms: i64, actions: &mut Vec<Action>) -> Result<(), Refused> {
        if matches!(self.phase, Phase::Dropped) {
            return Err(Code::UNAVAILABLE.into());
        }
        let Request { to, user, body } = request;
        if let ReplyTo::Device(asker) = &to
            && self.senders.is_stale(asker)
        {
            return Err(Code::SUPERSEDED.into());
        }
        match body {
            Body::Send(send) if send.no_store => self.send_unstored(to, &user, send, now_ms, actions),
            Body::Send(send) => self.enqueue(message(to, user, send)?, actions),
            Body::Create(create) => {
                let pending = self.creation(to, user, create)?;
                self.enqueue(pending, actions)
            }
            Body::Change(change) => self.enqueue(member_change(to, user, change)?, actions),
            Body::Mark(mark) => self.mark(to, user, mark, actions),
            Body::Signal(signal) => self.signal(to, user, signal, actions),
        }
    }

    fn creation(
        &self,
        to: ReplyTo,
        user: String,
        create: v1::CreateConversation,
    ) -> Result<Pending, Refused> {
        let bytes = MAX_ENTRY_OVERHEAD_BYTES + create.members.len() * MEMBER_BYTES;
        let id = match to.device() {
            None => None,
            Some(device) => {
                let id = check::client_msg_id(&create.client_msg_id)?;
                if names::group(device, &id) != *self.key.conversation {
                    return Err(invalid("client_msg_id does not make this conversation"));
                }
                Some(id)
            }
        };
        Ok(Pending { to, user, id, what: What::Create(create), bytes })
    }

    fn enqueue(&mut self, pending: Pending, actions: &mut Vec<Action>) -> Result<(), Refused> {
        if !self.queue.has_room(pending.bytes) {
            return Err(Code::OVERLOADED.into());
        }
        self.queue.reserve(pending.bytes);
        let ReplyTo::Device(asker) = pending.to else {
            self.line_up(pending, actions);
            return Ok(());
        };
        match self.senders.admit(&asker, pending, self.tip == 0) {
            Admission::Ready(pending) => self.line_up(pending, actions),
            Admission::Waits { load: true } => actions.push(Action::LoadSender(asker.device)),
            Admission::Waits { load: false } => {}
        }
        Ok(())
    }

    /// Puts a request in line. What it will need by its turn is asked for now.
    fn line_up(&mut self, pending: Pending, actions: &mut Vec<Action>) {
        if self.targets.has_room() {
            let committed = Batch::new([0; 16], self.tip, 0, self.members.changes());
            if let Some(seq) = self.lacks(&pending, &committed) {
                self.load_target(seq, actions);
            }
        }
        self.queue.push(pending);
    }

    fn make_room_for_senders(&mut self) {
        if self.senders.is_crowded() {
            let in_flight = match &self.phase {
                Phase::Appending(batch) | Phase::Reopening(batch) => Some(batch.devices()),
                Phase::Idle | Phase::Dropped => None,
            };
            let busy = in_flight.into_iter().flatten().chain(self.queue.devices()).collect();
            self.senders.evict(&busy);
        }
    }
}

fn message(to: ReplyTo, user: String, send: v1::Send) -> Result<Pending, Refused> {
    let id: MsgId = check::client_msg_id(&send.client_msg_id)?;
    if !send.after.is_empty() {
        check::client_msg_id(&send.after)?;
    }
    if send.to_user == user && !user.is_empty() {
        return Err(invalid("to_user is the sender"));
    }
    let bytes = MESSAGE_BYTES + send.content.as_ref().map_or(0, |content| content.data.len());
    Ok(Pending { to, user, id: Some(id), what: What::Send(send), bytes })
}

fn member_change(to: ReplyTo, user: String, change: v1::ChangeMembers) -> Result<Pending, Refused> {
    let id = check::client_msg_id(&change.client_msg_id)?;
    let bytes = MESSAGE_BYTES + (change.add.len() + change.remove.len()) * MEMBER_BYTES;
    Ok(Pending { to, user, id: Some(id), what: What::Change(change), bytes })
}
