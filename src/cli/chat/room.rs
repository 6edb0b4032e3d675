//! The conversation on the screen.

use client::v1::Member;
use client::{Client, Conversation, History, Message, MessageStream, RequestError, Since};
use futures::StreamExt;
use futures::future::BoxFuture;
use protocol::code::Code;

use super::line::{self, Names};

/// How many earlier messages are shown at once.
const HISTORY: u32 = 20;

/// An open conversation.
pub struct Room {
    pub conversation: Conversation,
    pub title: String,
    messages: MessageStream,
    /// Where the next older part of the history ends.
    before: Option<u64>,
    /// The edits and recalls seen so far: what is older is shown as they made it.
    changes: Vec<Message>,
    /// Highest seq shown, and highest marked as read.
    shown: u64,
    marked: u64,
    mark: Option<BoxFuture<'static, Result<(), RequestError>>>,
}

impl Room {
    /// Opens it behind its latest messages; returns those, to be shown.
    pub async fn open(
        conversation: Conversation,
        title: String,
    ) -> Result<(Room, Vec<Message>), RequestError> {
        let history = match conversation.history(HISTORY).await {
            // A direct conversation comes to be with its first message.
            Err(error) if error.code() == Some(Code::NOT_FOUND) && is_direct(&conversation) => {
                History { messages: Vec::new(), before: None, tip: 0 }
            }
            history => history?,
        };
        let messages = conversation.messages(Since::Seq(history.tip + 1));
        let before = history.before;
        let (changes, shown) = (Vec::new(), history.tip);
        let mut room = Room { conversation, title, messages, before, changes, shown, marked: 0, mark: None };
        let entries = room.as_changed(history.messages);
        Ok((room, entries))
    }

    /// Everyone's names; nobody's where the conversation does not exist yet.
    pub async fn members(&self) -> Result<Vec<Member>, RequestError> {
        self.conversation.members().await
    }

    /// The next message, while read marks go out. An error ends the conversation.
    pub async fn next(&mut self) -> Result<Message, Option<RequestError>> {
        loop {
            self.start_mark();
            tokio::select! {
                message = self.messages.next() => match message {
                    Some(message) => {
                        self.shown = self.shown.max(message.seq);
                        self.changes.extend(message.change().map(|_| message.clone()));
                        return Ok(message);
                    }
                    None => return Err(self.messages.ended_because()),
                },
                marked = wait(&mut self.mark) => {
                    self.mark = None;
                    if let Err(error) = marked {
                        tracing::debug!(%error, "not marked as read");
                    }
                }
            }
        }
    }

    /// Earlier messages; none at the beginning.
    pub async fn older(&mut self) -> Result<Vec<Message>, RequestError> {
        let Some(before) = self.before else { return Ok(Vec::new()) };
        let history = self.conversation.history_before(before, HISTORY).await?;
        self.before = history.before;
        Ok(self.as_changed(history.messages))
    }

    /// What there is to show of entries that stand before all that was seen so far.
    fn as_changed(&mut self, mut entries: Vec<Message>) -> Vec<Message> {
        entries.append(&mut self.changes);
        self.changes = entries.iter().filter(|entry| entry.change().is_some()).cloned().collect();
        client::message::shown(entries)
    }

    fn start_mark(&mut self) {
        if self.mark.is_none() && self.shown > self.marked {
            self.marked = self.shown;
            let (conversation, seq) = (self.conversation.clone(), self.shown);
            self.mark = Some(Box::pin(async move { conversation.mark_read(seq).await }));
        }
    }
}

/// One line per member.
pub fn roster(members: &[Member], names: &Names) -> String {
    let rows = members.iter().map(|member| {
        let online = if member.online { "online" } else { "away" };
        format!("  {} ({}) {online}", line::name(&member.user, names), line::plain(&member.user))
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// The messages as lines.
pub fn lines(messages: &[Message], client: &Client, names: &Names) -> Vec<String> {
    messages.iter().filter_map(|message| line::message(message, client.user(), names)).collect()
}

fn is_direct(conversation: &Conversation) -> bool {
    protocol::names::direct_users(conversation.id()).is_some()
}

async fn wait(mark: &mut Option<BoxFuture<'static, Result<(), RequestError>>>) -> Result<(), RequestError> {
    match mark {
        Some(mark) => mark.await,
        None => std::future::pending().await,
    }
}
