//! One message becomes an entry.

use protocol::check::{Refused, invalid};
use protocol::code::Code;
use protocol::names;
use protocol::v1::conversation_info::Kind;
use protocol::v1::{self, ConversationInfo, MembersChanged, Message, NewMember, Role, relation};
use storage::log::change_of;

use super::batch::{Batch, Verdict};
use super::event::{MsgId, ReplyTo};
use super::target::Target;
use super::{Conversation, not_found};

impl Conversation {
    pub(super) fn decide_send(
        &mut self,
        to: ReplyTo,
        user: String,
        id: Option<MsgId>,
        send: v1::Send,
        batch: &mut Batch,
    ) -> Result<Verdict, Refused> {
        if let Some(repeated) = self.repeated(&to, id.as_ref(), batch) {
            return Ok(repeated);
        }
        let founds = batch.tip() == 0 && names::direct_peer(&self.key.conversation, &user).is_some();
        if !founds && batch.changes.active(&self.members, &user).is_none() {
            return Err(not_found());
        }
        self.follows(&to, &send.after)?;
        self.refers(&user, send.relation.as_ref(), batch)?;
        if founds {
            self.found_direct(&to, &user, batch);
        }
        let message = Message {
            seq: batch.tip() + 1,
            at_ms: batch.at_ms,
            sender: user,
            sender_device: to.device().unwrap_or(0),
            client_msg_id: send.client_msg_id,
            content: send.content,
            relation: send.relation.filter(|relation| relation.kind != relation::Kind::None as i32),
            hidden: send.hidden,
            ..Message::default()
        };
        let audience = batch.changes.users().clone();
        Ok(self.append(&to, id, message, audience, batch))
    }

    /// Appends an entry and remembers its send.
    pub(super) fn append(
        &mut self,
        to: &ReplyTo,
        id: Option<MsgId>,
        message: Message,
        audience: super::members::Audience,
        batch: &mut Batch,
    ) -> Verdict {
        let seq = message.seq;
        let sent = to.device().zip(id).and_then(|(device, id)| self.senders.put(device, id, seq));
        let slot = sent.map(|(slot, undo)| {
            batch.undos.push(undo);
            slot
        });
        batch.push(message, slot, audience);
        Verdict::Appended { seq, duplicate: false }
    }

    /// The predecessor that a send names must have been accepted.
    fn follows(&self, to: &ReplyTo, after: &[u8]) -> Result<(), Refused> {
        if after.is_empty() {
            return Ok(());
        }
        let known = match (to.device(), after.try_into()) {
            (Some(device), Ok(after)) => self.senders.seq_of(device, after).is_some(),
            _ => false,
        };
        if known { Ok(()) } else { Err(Code::OUT_OF_ORDER.into()) }
    }

    /// A reply refers to an entry that the sender may see; an edit or a recall to one that the sender may change.
    fn refers(&mut self, user: &str, relation: Option<&v1::Relation>, batch: &Batch) -> Result<(), Refused> {
        let Some(relation) = relation.filter(|relation| relation.kind() != relation::Kind::None) else {
            return Ok(());
        };
        let seq = relation.seq;
        let row = batch.changes.active(&self.members, user).filter(|row| row.may_see(seq));
        let row = row.filter(|_| (1..=batch.tip()).contains(&seq)).ok_or_else(|| not_there(seq))?;
        let Some((change, _)) = change_of(Some(relation)) else { return Ok(()) };
        let allowed = match (batch.target(seq), self.targets.get(seq, batch.base)) {
            (Some(target), _) => target.allows(change, user, row.role),
            (None, Some(Ok(target))) => {
                let recalled = target.recalled || batch.recalls(seq);
                Target { recalled, ..target.clone() }.allows(change, user, row.role)
            }
            (None, Some(Err(code))) => Err(code.into()),
            // The queue waits until it is known.
            (None, None) => Err(Code::INTERNAL.into()),
        };
        self.targets.forget_failure(seq);
        allowed
    }

    /// The entry 1 of a direct conversation, which its first send brings along.
    fn found_direct(&mut self, to: &ReplyTo, user: &str, batch: &mut Batch) {
        let Some((low, high)) = names::direct_users(&self.key.conversation) else { return };
        let info = ConversationInfo { kind: Kind::Direct.into(), title: String::new() };
        let joining = [(low, Role::Member, 1), (high, Role::Member, 1)];
        let audience = batch.changes.apply(&self.members, 1, &joining, &[]);
        let added = [low, high].map(|user| NewMember {
            user: user.to_owned(),
            role: Role::Member.into(),
            with_history: false,
        });
        let changed =
            MembersChanged { added: added.into(), removed: Vec::new(), created: Some(info.clone()) };
        let message = Message {
            seq: 1,
            at_ms: batch.at_ms,
            sender: user.to_owned(),
            sender_device: to.device().unwrap_or(0),
            members_changed: Some(changed),
            ..Message::default()
        };
        batch.info = Some(info);
        batch.push(message, None, audience);
    }
}

/// What is not in the log, and what the sender may not see.
pub(super) fn not_there(seq: u64) -> Refused {
    invalid(format!("relation.seq {seq} is not in the conversation"))
}
