//! One change of members becomes an entry.

use protocol::check::{Refused, invalid};
use protocol::code::Code;
use protocol::limit::MAX_MEMBERS;
use protocol::v1::conversation_info::Kind;
use protocol::v1::{self, ConversationInfo, MembersChanged, Message, NewMember, Role};
use storage::roster::first_seen;

use super::batch::{Batch, Verdict};
use super::event::{MsgId, ReplyTo};
use super::{Conversation, not_found};

impl Conversation {
    /// Entry 1 of a group. A device's own group is its own again at a retry, however late.
    pub(super) fn decide_create(
        &mut self,
        to: ReplyTo,
        user: String,
        id: Option<MsgId>,
        create: v1::CreateConversation,
        batch: &mut Batch,
    ) -> Result<Verdict, Refused> {
        if let Some(repeated) = self.repeated(&to, id.as_ref(), batch) {
            return Ok(repeated);
        }
        if batch.tip() > 0 {
            let is_own = to.device().is_none() || batch.changes.row(&self.members, &user).is_some();
            return if is_own { Ok(batch.repeat(1)) } else { Err(not_found()) };
        }
        if self.is_direct() {
            return Err(Refused::new(Code::NOT_ALLOWED, "its first message creates a direct conversation"));
        }
        let info = ConversationInfo { kind: Kind::Group.into(), title: create.title };
        let added = founders(&user, create.members)?;
        batch.info = Some(info.clone());
        let changed = MembersChanged { added, removed: Vec::new(), created: Some(info) };
        Ok(self.append_change(to, user, id, create.client_msg_id, changed, batch))
    }

    pub(super) fn decide_change(
        &mut self,
        to: ReplyTo,
        user: String,
        id: Option<MsgId>,
        change: v1::ChangeMembers,
        batch: &mut Batch,
    ) -> Result<Verdict, Refused> {
        if let Some(repeated) = self.repeated(&to, id.as_ref(), batch) {
            return Ok(repeated);
        }
        let me = batch.changes.active(&self.members, &user).ok_or_else(not_found)?;
        if self.is_direct() {
            return Err(Refused::new(
                Code::NOT_ALLOWED,
                "the members of a direct conversation do not change",
            ));
        }
        allowed(me.role, &user, &change)?;
        let is_member = |user: &str| batch.changes.active(&self.members, user).is_some();
        let (mut added, mut removed) = (change.add, change.remove);
        added.retain(|member| !is_member(&member.user));
        removed.retain(|user| is_member(user));
        if added.is_empty() && removed.is_empty() {
            return Err(invalid("nothing is left to change"));
        }
        if !batch.changes.has_room(added.len(), removed.len()) {
            return Err(Refused::new(
                Code::TOO_MANY,
                format!("a conversation has at most {MAX_MEMBERS} members"),
            ));
        }
        let changed = MembersChanged { added, removed, created: None };
        Ok(self.append_change(to, user, id, change.client_msg_id, changed, batch))
    }

    fn append_change(
        &mut self,
        to: ReplyTo,
        sender: String,
        id: Option<MsgId>,
        client_msg_id: bytes::Bytes,
        changed: MembersChanged,
        batch: &mut Batch,
    ) -> Verdict {
        let seq = batch.tip() + 1;
        let joining: Vec<(&str, Role, u64)> =
            changed.added.iter().map(|new| (new.user.as_str(), new.role(), first_seen(new, seq))).collect();
        let audience = batch.changes.apply(&self.members, seq, &joining, &changed.removed);
        let message = Message {
            seq,
            at_ms: batch.at_ms,
            sender,
            sender_device: to.device().unwrap_or(0),
            client_msg_id,
            members_changed: Some(changed),
            ..Message::default()
        };
        self.append(&to, id, message, audience, batch)
    }
}

/// The members of a new group: its creator owns it, whatever else the request says of the creator.
fn founders(creator: &str, members: Vec<NewMember>) -> Result<Vec<NewMember>, Refused> {
    let owner = (!creator.is_empty()).then(|| NewMember {
        user: creator.to_owned(),
        role: Role::Owner.into(),
        with_history: false,
    });
    let members: Vec<NewMember> =
        owner.into_iter().chain(members.into_iter().filter(|member| member.user != creator)).collect();
    match members.len() {
        0 => Err(invalid("a conversation needs a member")),
        count if count > MAX_MEMBERS => Err(Code::TOO_MANY.into()),
        _ => Ok(members),
    }
}

/// Owners and agents change anyone. A member adds members and visitors: a role above one's own is not one's to
/// give. Everyone may leave.
fn allowed(role: Role, me: &str, change: &v1::ChangeMembers) -> Result<(), Refused> {
    if matches!(role, Role::Owner | Role::Agent) {
        return Ok(());
    }
    let grants_little = |new: &NewMember| matches!(new.role(), Role::Member | Role::Visitor);
    let may_add = role == Role::Member && change.add.iter().all(grants_little);
    if !change.add.is_empty() && !may_add {
        return Err(Refused::new(Code::NOT_ALLOWED, "this member may not add that"));
    }
    if change.remove.iter().any(|user| user != me) {
        return Err(Refused::new(Code::NOT_ALLOWED, "this member may remove nobody else"));
    }
    Ok(())
}
