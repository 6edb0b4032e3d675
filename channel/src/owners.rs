//! The way to the tasks that own conversations.

use cluster::Slot;
use protocol::code::Code;
use storage::ConversationKey;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::conversation::event::Request;

/// Requests that wait for one slot task; more are refused with OVERLOADED.
pub const MAX_INBOX: usize = 1_024;

/// What a slot task takes from its inbox.
#[derive(Debug)]
pub struct Asked {
    pub key: ConversationKey,
    pub request: Request,
}

/// The inbox of one slot task. It ends when the [`Owners`] are dropped: then the task finishes and goes.
pub type Inbox = mpsc::Receiver<Asked>;

/// Conversation → the inbox of the task that owns it. Several slots share a task.
pub struct Owners {
    inboxes: Box<[mpsc::Sender<Asked>]>,
}

impl Owners {
    /// `tasks` inboxes, at least one, and the way to them.
    pub fn new(tasks: usize) -> (Owners, Vec<Inbox>) {
        let (inboxes, tasks): (Vec<_>, Vec<_>) = (0..tasks.max(1)).map(|_| mpsc::channel(MAX_INBOX)).unzip();
        (Owners { inboxes: inboxes.into_boxed_slice() }, tasks)
    }

    /// Hands a request to the conversation's owner, or says why it is refused; then nothing was done.
    pub fn submit(&self, key: ConversationKey, request: Request) -> Result<(), Code> {
        self.inboxes[task_of(&key, self.inboxes.len())].try_send(Asked { key, request }).map_err(|error| {
            match error {
                TrySendError::Full(_) => Code::OVERLOADED,
                TrySendError::Closed(_) => Code::SHUTTING_DOWN,
            }
        })
    }
}

/// Which of `tasks` tasks owns a conversation.
pub fn task_of(key: &ConversationKey, tasks: usize) -> usize {
    usize::from(Slot::of_conversation(&key.tenant, &key.conversation).number()) % tasks.max(1)
}
