//! The handle of a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use protocol::check;
use protocol::v1;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::builder::Builder;
use crate::command::{COMMANDS, Command};
use crate::conversation::Conversation;
use crate::driver::Driver;
use crate::error::RequestError;
use crate::event::{EVENTS, Event, Events};
use crate::handshake::Profile;
use crate::member::Invite;
use crate::session::Identity;
use crate::wire::Wire;

/// Bytes of sends that may wait for their acks, each counted with [`SEND_OVERHEAD`]. Above it a send fails with
/// [`RequestError::QueueFull`].
pub const SEND_QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// What a send counts for beside its data, in bytes.
pub const SEND_OVERHEAD: usize = 512;

/// A device's connection to Whimbrel, which keeps itself up. Clones are the same client.
///
/// It ends with [`Client::close`], or when its last handle, conversation and stream are dropped: sends on their
/// way are then waited for, up to five seconds.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles share.
pub(crate) struct Shared {
    pub commands: mpsc::Sender<Command>,
    pub status: Arc<Status>,
    pub budget: Arc<Semaphore>,
    pub me: Identity,
    events: broadcast::WeakSender<Event>,
    next_stream: AtomicU64,
}

/// What handles and task tell each other without a command.
#[derive(Default)]
pub(crate) struct Status {
    /// Streams have credit to return, or were dropped.
    pub news: Arc<Notify>,
    /// Why the task ended.
    pub ended: OnceLock<String>,
}

/// One page of conversations.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationPage {
    pub conversations: Vec<v1::ConversationSummary>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Bytes>,
    /// What [`Client::conversations_changed`] takes next time. `None` where a list of changes is not at its end.
    pub version: Option<Bytes>,
}

impl Client {
    /// Configures a client for `tcp://`, `tls://`, `quic://`, `ws://` or `wss://` with host and port.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder::new(address.into())
    }

    /// A conversation by its id. Nothing is asked of the server.
    pub fn conversation(&self, id: impl Into<String>) -> Conversation {
        Conversation::new(self.shared.clone(), id.into())
    }

    /// The direct conversation with a user. It comes to be with its first message.
    pub fn direct(&self, user: &str) -> Conversation {
        self.conversation(protocol::names::direct(&self.shared.me.user, user))
    }

    /// The first page of this user's conversations, that with the latest entry first, at most `limit` (up to 100; 0 leaves it to the server).
    pub async fn conversations(&self, limit: u32) -> Result<ConversationPage, RequestError> {
        self.conversations_after(Bytes::new(), limit).await
    }

    /// The page that [`ConversationPage::next`] names.
    pub async fn conversations_after(
        &self,
        page: Bytes,
        limit: u32,
    ) -> Result<ConversationPage, RequestError> {
        self.list(v1::ListConversations { page, limit, ..Default::default() }).await
    }

    /// What has changed since an earlier page's [`ConversationPage::version`]: all of it, however much, with the
    /// version of now. Costs what has changed and not how many conversations there are; for after a reconnect, or
    /// a restart where the version was kept.
    pub async fn conversations_changed(&self, since: Bytes) -> Result<ConversationPage, RequestError> {
        let mut all = self.list(v1::ListConversations { since_version: since, ..Default::default() }).await?;
        while let Some(page) = all.next.take() {
            let more = self.list(v1::ListConversations { page, ..Default::default() }).await?;
            all.conversations.extend(more.conversations);
            (all.next, all.version) = (more.next, more.version.or(all.version));
        }
        Ok(all)
    }

    async fn list(&self, asked: v1::ListConversations) -> Result<ConversationPage, RequestError> {
        match self.shared.request(Ask::ListConversations(asked)).await? {
            Told::Conversations(v1::ConversationPage { conversations, next_page, version }) => {
                let some = |bytes: Bytes| (!bytes.is_empty()).then_some(bytes);
                Ok(ConversationPage { conversations, next: some(next_page), version: some(version) })
            }
            _ => Err(RequestError::Unexpected),
        }
    }

    /// Makes a group of this user and `members`.
    pub async fn create_conversation<M: Into<Invite>>(
        &self,
        title: &str,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Conversation, RequestError> {
        check::title(title)?;
        let create = v1::CreateConversation {
            client_msg_id: new_id(),
            title: title.to_owned(),
            members: members.into_iter().map(|member| member.into().into_wire()).collect(),
        };
        match self.shared.request(Ask::CreateConversation(create)).await? {
            Told::SendAck(ack) => Ok(self.conversation(ack.conversation)),
            _ => Err(RequestError::Unexpected),
        }
    }

    /// Says whether anybody sits at this device; returns what this user is with all devices. Not kept up across
    /// reconnects: a new connection is not away.
    pub async fn set_away(&self, away: bool) -> Result<v1::Presence, RequestError> {
        match self.shared.request(Ask::SetPresence(v1::SetPresence { away })).await? {
            Told::Presence(presence) => Ok(presence),
            _ => Err(RequestError::Unexpected),
        }
    }

    /// What became of one message; members after the user id `after`, in pages.
    pub async fn timeline(
        &self,
        conversation: &str,
        seq: u64,
        after: &str,
    ) -> Result<v1::Timeline, RequestError> {
        let (conversation, after) = (conversation.to_owned(), after.to_owned());
        match self.shared.request(Ask::AskTimeline(v1::AskTimeline { conversation, seq, after })).await? {
            Told::Timeline(timeline) => Ok(timeline),
            _ => Err(RequestError::Unexpected),
        }
    }

    /// Replaces the conversations whose members' presence arrives as [`Event::Presence`]; returns how everyone
    /// is now. Kept up across reconnects.
    pub async fn watch(
        &self,
        conversations: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<v1::Presence>, RequestError> {
        let conversations: Vec<String> = conversations.into_iter().map(Into::into).collect();
        check::at_most("conversations", conversations.len(), protocol::limit::MAX_WATCHED)?;
        match self.shared.request(Ask::Watch(v1::Watch { conversations })).await? {
            Told::Watching(watching) => Ok(watching.presences),
            _ => Err(RequestError::Unexpected),
        }
    }

    /// What happens from now on. Any number of listeners, each with its own bounded queue.
    pub fn events(&self) -> Events {
        let receiver = match self.shared.events.upgrade() {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        };
        Events::new(receiver)
    }

    /// This device's id.
    pub fn device_id(&self) -> u64 {
        self.shared.me.device_id
    }

    /// The user this client is logged in as.
    pub fn user(&self) -> &str {
        &self.shared.me.user
    }

    /// The user's tenant.
    pub fn tenant(&self) -> &str {
        &self.shared.me.tenant
    }

    /// Waits up to five seconds for the acks of what was sent, says goodbye and ends. What is unsettled then
    /// fails with [`RequestError::Closed`].
    pub async fn close(self) {
        let (reply, closed) = oneshot::channel();
        if self.shared.commands.send(Command::Close { reply }).await.is_ok() {
            let _ = closed.await;
        }
    }

    /// Starts the task of a connection that is up.
    pub(crate) fn start(profile: Profile, wire: Wire, welcome: v1::Welcome) -> Client {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let status = Arc::new(Status::default());
        let shared = Shared {
            commands,
            status: status.clone(),
            budget: Arc::new(Semaphore::new(SEND_QUEUE_BYTES)),
            me: Identity::of(&welcome),
            events: events.downgrade(),
            next_stream: AtomicU64::new(1),
        };
        let driver = Driver::new(profile, (wire, welcome), inbox, status, events);
        // The task ends by itself once the last handle is gone, so nobody has to hold it.
        TaskTracker::new().spawn(driver.run());
        Client { shared: Arc::new(shared) }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("me", &self.shared.me).finish_non_exhaustive()
    }
}

impl Shared {
    /// Asks the server, across reconnects, and waits for the answer.
    pub async fn request(&self, body: Ask) -> Result<Told, RequestError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Request { body: Box::new(body), reply };
        self.commands.send(command).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// The error after the end.
    pub fn closed(&self) -> RequestError {
        let reason = self.status.ended.get().cloned();
        RequestError::Closed(reason.unwrap_or_else(|| "the client is ending".into()))
    }

    /// An id for a new stream.
    pub fn next_stream(&self) -> u64 {
        self.next_stream.fetch_add(1, Ordering::Relaxed)
    }
}

/// A random client_msg_id.
pub(crate) fn new_id() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<crate::message::MessageId>())
}
