//! Device requests: what each must look like, and who handles it. Pure.

use protocol::check::{self, Refused, invalid};
use protocol::code::Code;
use protocol::limit::{MAX_CONTENT_TYPE_BYTES, MAX_SIGNAL_BYTES};
use protocol::names;
use protocol::node::v1::Identity;
use protocol::v1::client_frame::Body as Asked;
use protocol::v1::relation::Kind;
use protocol::v1::{self, AskTimeline, ListConversations, ListMembers, Role, SetPresence, Sync, Watch};

use crate::conversation::event::Body;

/// A checked request.
#[derive(Debug)]
pub enum Job {
    /// For the owner of a conversation.
    Conversation { conversation: String, body: Body },
    /// For the readers of the store.
    Read(Read),
    /// For the routes.
    Presence(SetPresence),
}

/// A request that is answered from the store.
#[derive(Debug)]
pub enum Read {
    Sync(Sync),
    Conversations(ListConversations),
    Members(ListMembers),
    Watch(Watch),
    Timeline(AskTimeline),
}

/// Checks a request of `who` on `device` and says who handles it.
pub fn sort(who: &Identity, device: u64, body: Option<Asked>) -> Result<Job, Refused> {
    match body.ok_or(Code::UNIMPLEMENTED)? {
        Asked::Send(send) => self::send(&who.user, send),
        // Whoever comes from outside is let into conversations, and opens none for others.
        Asked::CreateConversation(_) if who.role() == Role::Visitor => {
            Err(Refused::new(Code::NOT_ALLOWED, "visitors create no groups"))
        }
        Asked::CreateConversation(create) => self::create(device, create),
        Asked::ChangeMembers(change) => self::change(change),
        Asked::Mark(mark) => {
            check::conversation(&mark.conversation)?;
            Ok(job(mark.conversation.clone(), Body::Mark(mark)))
        }
        Asked::Signal(signal) => self::signal(signal),
        Asked::Sync(sync) => Ok(Job::Read(Read::Sync(sync))),
        Asked::ListConversations(list) => Ok(Job::Read(Read::Conversations(list))),
        Asked::ListMembers(list) => Ok(Job::Read(Read::Members(list))),
        Asked::Watch(watch) => Ok(Job::Read(Read::Watch(watch))),
        Asked::AskTimeline(asked) => Ok(Job::Read(Read::Timeline(asked))),
        Asked::SetPresence(presence) => Ok(Job::Presence(presence)),
        Asked::Hello(_) | Asked::Ping(_) | Asked::RefreshAuth(_) | Asked::Bye(_) => {
            Err(invalid("the connector answers this request"))
        }
    }
}

fn job(conversation: String, body: Body) -> Job {
    Job::Conversation { conversation, body }
}

fn send(user: &str, mut send: v1::Send) -> Result<Job, Refused> {
    if !send.to_user.is_empty() {
        if !send.conversation.is_empty() {
            return Err(invalid("conversation and to_user exclude each other"));
        }
        check::user(&send.to_user)?;
        if send.to_user == user {
            return Err(invalid("to_user is the sender"));
        }
        send.conversation = names::direct(user, &send.to_user);
    }
    check::conversation(&send.conversation)?;
    check::client_msg_id(&send.client_msg_id)?;
    if !send.after.is_empty() {
        check::client_msg_id(&send.after)?;
    }
    let relation = relation(send.relation.as_ref())?;
    if send.no_store && matches!(relation, Kind::Edit | Kind::Recall) {
        return Err(invalid("an edit or a recall is stored"));
    }
    // A recall may say nothing beside what it recalls.
    if !(relation == Kind::Recall && send.content.is_none()) {
        check::content(send.content.as_ref())?;
    }
    Ok(job(send.conversation.clone(), Body::Send(send)))
}

fn relation(relation: Option<&v1::Relation>) -> Result<Kind, Refused> {
    let Some(relation) = relation else { return Ok(Kind::None) };
    let kind = Kind::try_from(relation.kind).map_err(|_| invalid("relation.kind is not known"))?;
    if (kind == Kind::None) != (relation.seq == 0) {
        return Err(invalid("relation needs both kind and seq"));
    }
    Ok(kind)
}

fn create(device: u64, create: v1::CreateConversation) -> Result<Job, Refused> {
    let id = check::client_msg_id(&create.client_msg_id)?;
    check::title(&create.title)?;
    check::member_change(&create.members, &[])?;
    Ok(job(names::group(device, &id), Body::Create(create)))
}

fn change(change: v1::ChangeMembers) -> Result<Job, Refused> {
    check::conversation(&change.conversation)?;
    check::client_msg_id(&change.client_msg_id)?;
    check::member_change(&change.add, &change.remove)?;
    if change.add.is_empty() && change.remove.is_empty() {
        return Err(invalid("nobody is added or removed"));
    }
    Ok(job(change.conversation.clone(), Body::Change(change)))
}

fn signal(signal: v1::Signal) -> Result<Job, Refused> {
    check::conversation(&signal.conversation)?;
    let length = signal.r#type.len();
    if !(1..=MAX_CONTENT_TYPE_BYTES).contains(&length) || signal.r#type.chars().any(char::is_control) {
        return Err(invalid(format!("type has {length} bytes or a control character")));
    }
    if signal.data.len() > MAX_SIGNAL_BYTES {
        return Err(Refused::new(Code::CONTENT_TOO_LARGE, "the signal's data is too large"));
    }
    Ok(job(signal.conversation.clone(), Body::Signal(signal)))
}
