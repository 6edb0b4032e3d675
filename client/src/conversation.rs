//! The handle of one conversation.

use std::sync::Arc;

use protocol::check;
use protocol::v1;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::client::{SEND_OVERHEAD, Shared, new_id};
use crate::command::{Command, SendReply};
use crate::error::{RequestError, SendError};
use crate::inbox::Since;
use crate::member::Invite;
use crate::message::{Ack, Content, Message, MessageId, Relation, RelationKind, SendOptions};
use crate::sending::Sending;
use crate::stream::{Buffer, MessageStream};

/// Type of the signal that [`Conversation::typing`] sends.
pub const TYPING: &str = "typing";

/// One conversation. Cheap to make and to clone; keeps the client's connection alive.
#[derive(Clone)]
pub struct Conversation {
    shared: Arc<Shared>,
    id: String,
}

/// A part of a conversation's past, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub messages: Vec<Message>,
    /// Pass it to [`Conversation::history_before`] for what is older; `None` at the beginning.
    pub before: Option<u64>,
    /// The highest seq of the conversation.
    pub tip: u64,
}

impl Conversation {
    pub(crate) fn new(shared: Arc<Shared>, id: String) -> Conversation {
        Conversation { shared, id }
    }

    /// The conversation's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends a text or any [`Content`]. Returns at once; await the [`Sending`] for the ack. Sends of one client
    /// to one conversation are stored in the order of these calls.
    ///
    /// Fails with [`RequestError::QueueFull`] if too much is waiting already.
    pub fn send(&self, content: impl Into<Content>) -> Sending {
        self.send_with(content, SendOptions::default())
    }

    /// As [`Conversation::send`], with options.
    pub fn send_with(&self, content: impl Into<Content>, options: SendOptions) -> Sending {
        let id = options.id.unwrap_or_else(rand::random);
        match self.queue(id, content.into(), options) {
            Ok(outcome) => Sending::awaited(id, outcome),
            Err(error) => Sending::failed(id, error),
        }
    }

    /// Sends a reply to the message `seq`.
    pub fn reply(&self, seq: u64, content: impl Into<Content>) -> Sending {
        self.send_with(
            content,
            SendOptions { relation: relation(RelationKind::Reply, seq), ..Default::default() },
        )
    }

    /// Replaces the content of one's own message `seq`. An edit is an entry of its own; everyone applies it to the
    /// message, as [`crate::message::shown`] does. Refused for what is not one's own message, or was recalled.
    pub fn edit(&self, seq: u64, content: impl Into<Content>) -> Sending {
        self.send_with(
            content,
            SendOptions { relation: relation(RelationKind::Edit, seq), ..Default::default() },
        )
    }

    /// Takes the message `seq` back: from now on the server gives its content to nobody. One's own, or as an owner
    /// or agent anybody's.
    pub fn recall(&self, seq: u64) -> Sending {
        let options = SendOptions { relation: relation(RelationKind::Recall, seq), ..Default::default() };
        self.send_with(Content::default(), options)
    }

    /// The messages from a seq on, as they come: see [`MessageStream`].
    pub fn messages(&self, from: Since) -> MessageStream {
        let buffer = Arc::new(Buffer::new(self.shared.status.news.clone()));
        let stream = self.shared.next_stream();
        let conversation = self.id.clone();
        let open = Command::Open { stream, conversation, from, buffer: buffer.clone() };
        if let Err(error) = self.shared.commands.try_send(open) {
            let full = matches!(error, TrySendError::Full(_));
            buffer.end(Some(if full { RequestError::QueueFull } else { self.shared.closed() }));
        }
        MessageStream::new(buffer, self.shared.clone())
    }

    /// The latest messages, at most `limit`.
    pub async fn history(&self, limit: u32) -> Result<History, RequestError> {
        self.history_before(u64::MAX, limit).await
    }

    /// Messages with a lower seq than `before`, the latest of them, at most `limit`.
    pub async fn history_before(&self, before: u64, limit: u32) -> Result<History, RequestError> {
        let mut history = History { messages: Vec::new(), before: Some(before), tip: 0 };
        while let Some(before) = history.before.filter(|_| history.messages.len() < limit as usize) {
            if before <= 1 {
                history.before = None;
                break;
            }
            let from = if before == u64::MAX { 0 } else { before - 1 };
            let range = self.read_back(from, limit - history.messages.len() as u32).await?;
            history.tip = range.tip;
            history.before = (range.has_more && range.first > 1).then_some(range.first);
            let older = range.messages.into_iter().map(|m| Message::from_wire(m, &self.id));
            history.messages.splice(0..0, older);
        }
        Ok(history)
    }

    /// Raises this user's read cursor to `seq`. A lower value changes nothing.
    pub async fn mark_read(&self, seq: u64) -> Result<(), RequestError> {
        self.mark(seq, seq).await
    }

    /// Raises this user's delivered cursor to `seq`. A lower value changes nothing.
    pub async fn mark_delivered(&self, seq: u64) -> Result<(), RequestError> {
        self.mark(0, seq).await
    }

    /// Everyone in the conversation, by user id.
    pub async fn members(&self) -> Result<Vec<v1::Member>, RequestError> {
        let (mut members, mut after) = (Vec::new(), String::new());
        loop {
            let list = v1::ListMembers { conversation: self.id.clone(), after, limit: 0 };
            let Told::Members(page) = self.shared.request(Ask::ListMembers(list)).await? else {
                return Err(RequestError::Unexpected);
            };
            let more = !page.members.is_empty() && members.len() < protocol::limit::MAX_MEMBERS;
            members.extend(page.members);
            after = page.next_after;
            if after.is_empty() || !more {
                return Ok(members);
            }
        }
    }

    /// Adds users: names, or [`Invite`]s with role and right to history.
    pub async fn invite<M: Into<Invite>>(
        &self,
        users: impl IntoIterator<Item = M>,
    ) -> Result<Ack, RequestError> {
        self.change(users.into_iter().map(|user| user.into().into_wire()).collect(), Vec::new()).await
    }

    /// Removes users.
    pub async fn remove<U: Into<String>>(
        &self,
        users: impl IntoIterator<Item = U>,
    ) -> Result<Ack, RequestError> {
        self.change(Vec::new(), users.into_iter().map(Into::into).collect()).await
    }

    /// Leaves the conversation.
    pub async fn leave(&self) -> Result<Ack, RequestError> {
        self.remove([self.shared.me.user.clone()]).await
    }

    /// Tells who is online that this user is typing. Never stored; lost if there is no connection.
    pub fn typing(&self) {
        self.signal(TYPING, bytes::Bytes::new());
    }

    /// Tells who is online anything small (up to 1 KiB). Never stored; lost if there is no connection.
    pub fn signal(&self, kind: &str, data: impl Into<bytes::Bytes>) {
        let signal = v1::Signal { conversation: self.id.clone(), r#type: kind.to_owned(), data: data.into() };
        // A signal is the first thing to be dropped when there is too much to do.
        let _ = self.shared.commands.try_send(Command::Signal(signal));
    }

    fn queue(
        &self,
        id: MessageId,
        content: Content,
        options: SendOptions,
    ) -> Result<oneshot::Receiver<Result<Ack, SendError>>, SendError> {
        check::conversation(&self.id)?;
        let recalls =
            options.relation.as_ref().is_some_and(|relation| relation.kind() == RelationKind::Recall);
        let content = v1::Content { r#type: content.kind, data: content.data };
        // A recall may say nothing beside what it recalls.
        let content = (!recalls || content != v1::Content::default()).then_some(content);
        if let Some(content) = &content {
            check::content(Some(content))?;
        }
        let cost = (SEND_OVERHEAD + content.as_ref().map_or(0, |content| content.data.len())) as u32;
        let permit = self.shared.budget.clone().try_acquire_many_owned(cost);
        let permit = permit.map_err(|_| SendError::QueueFull)?;
        let (reply, outcome) = oneshot::channel();
        let SendOptions { relation, no_store, hidden, .. } = options;
        let send = Box::new(v1::Send { content, relation, no_store, hidden, ..Default::default() });
        let reply = SendReply { reply, permit };
        let send = Command::Send { conversation: self.id.clone(), id, send, reply };
        match self.shared.commands.try_send(send) {
            Ok(()) => Ok(outcome),
            Err(TrySendError::Full(_)) => Err(SendError::QueueFull),
            Err(TrySendError::Closed(_)) => Err(self.shared.closed()),
        }
    }

    async fn read_back(&self, from: u64, limit: u32) -> Result<v1::SyncedRange, RequestError> {
        let range = v1::SyncRange { conversation: self.id.clone(), from, backwards: true, limit };
        let answer = self.shared.request(Ask::Sync(v1::Sync { ranges: vec![range] })).await?;
        let Told::SyncResult(result) = answer else { return Err(RequestError::Unexpected) };
        let range = result.ranges.into_iter().next().ok_or(RequestError::Unexpected)?;
        match range.error {
            Some(error) => Err(RequestError::from_wire(error)),
            None => Ok(range),
        }
    }

    async fn mark(&self, read: u64, delivered: u64) -> Result<(), RequestError> {
        let mark = v1::Mark { conversation: self.id.clone(), read, delivered };
        self.shared.request(Ask::Mark(mark)).await.map(drop)
    }

    async fn change(&self, add: Vec<v1::NewMember>, remove: Vec<String>) -> Result<Ack, RequestError> {
        check::member_change(&add, &remove)?;
        let client_msg_id = new_id();
        let change = v1::ChangeMembers { conversation: self.id.clone(), client_msg_id, add, remove };
        match self.shared.request(Ask::ChangeMembers(change)).await? {
            Told::SendAck(ack) => Ok(Ack { seq: ack.seq, at_ms: ack.at_ms, duplicate: ack.duplicate }),
            _ => Err(RequestError::Unexpected),
        }
    }
}

fn relation(kind: RelationKind, seq: u64) -> Option<Relation> {
    Some(Relation { kind: kind.into(), seq })
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("id", &self.id).finish_non_exhaustive()
    }
}
