//! The way to the tasks that own conversations.

use std::sync::Arc;

use cluster::Slot;
use protocol::code::Code;
use storage::ConversationKey;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::conversation::event::Request;
use crate::shares::{Share, Shares};

/// Requests that wait for one slot task, those of one user up to an eighth; more are refused with OVERLOADED.
pub const MAX_INBOX: usize = 1_024;

/// What a slot task takes from its inbox.
#[derive(Debug)]
pub struct Asked {
    pub key: ConversationKey,
    pub request: Request,
    /// The user's share of the inbox, while the request stands in it.
    pub share: Option<Share>,
}

/// The inbox of one slot task. It ends when the [`Owners`] are dropped: then the task finishes and goes.
pub type Inbox = mpsc::Receiver<Asked>;

/// Conversation → the inbox of the task that owns it. Several slots share a task.
pub struct Owners {
    inboxes: Box<[Entrance]>,
}

/// Where requests get into an inbox.
struct Entrance {
    inbox: mpsc::Sender<Asked>,
    shares: Arc<Shares>,
}

impl Owners {
    /// `tasks` inboxes, at least one, and the way to them.
    pub fn new(tasks: usize) -> (Owners, Vec<Inbox>) {
        let entrance = |_| {
            let (inbox, task) = mpsc::channel(MAX_INBOX);
            (Entrance { inbox, shares: Shares::of(MAX_INBOX) }, task)
        };
        let (inboxes, tasks): (Vec<_>, Vec<_>) = (0..tasks.max(1)).map(entrance).unzip();
        (Owners { inboxes: inboxes.into_boxed_slice() }, tasks)
    }

    /// Hands a request to the conversation's owner, or says why it is refused; then nothing was done.
    pub fn submit(&self, key: ConversationKey, request: Request) -> Result<(), Code> {
        let Entrance { inbox, shares } = &self.inboxes[task_of(&key, self.inboxes.len())];
        // What the node itself asks has no user, and no share.
        let share = match request.user.as_str() {
            "" => None,
            user => Some(shares.take(&key.tenant, user).ok_or(Code::OVERLOADED)?),
        };
        inbox.try_send(Asked { key, request, share }).map_err(|error| match error {
            TrySendError::Full(_) => Code::OVERLOADED,
            TrySendError::Closed(_) => Code::SHUTTING_DOWN,
        })
    }
}

/// Which of `tasks` tasks owns a conversation.
pub fn task_of(key: &ConversationKey, tasks: usize) -> usize {
    usize::from(Slot::of_conversation(&key.tenant, &key.conversation).number()) % tasks.max(1)
}
