//! The conversations to choose from.

use client::Bytes;
use client::v1::ConversationSummary;
use client::{Client, Conversation, RequestError};

use super::line::{self, Names};

/// How many are shown.
const SHOWN: u32 = 30;

/// The list as it was shown last: its numbers stay valid until the next one.
#[derive(Default)]
pub struct List {
    rows: Vec<ConversationSummary>,
    /// How the server's list was when it was asked last.
    version: Option<Bytes>,
}

impl List {
    /// Asks the server.
    pub async fn load(client: &Client) -> Result<List, RequestError> {
        let page = client.conversations(SHOWN).await?;
        let rows = page.conversations.into_iter().filter(|row| row.active).collect();
        Ok(List { rows, version: page.version })
    }

    /// Asks for what has changed since the server was asked last, and returns it.
    pub async fn changed(&mut self, client: &Client) -> Result<Vec<ConversationSummary>, RequestError> {
        let Some(version) = self.version.clone() else { return Ok(Vec::new()) };
        let page = client.conversations_changed(version).await?;
        self.version = page.version.or(self.version.take());
        for changed in &page.conversations {
            if let Some(row) = self.rows.iter_mut().find(|row| row.conversation == changed.conversation) {
                *row = changed.clone();
            }
        }
        Ok(page.conversations)
    }

    /// The rows with their numbers.
    pub fn text(&self, names: &Names) -> String {
        if self.rows.is_empty() {
            return "You have no conversations yet; /to USER starts one.".into();
        }
        let rows = self.rows.iter().enumerate().map(|(at, row)| line::summary(at + 1, row, names));
        rows.collect::<Vec<_>>().join("\n")
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Puts a group that has come to be since then behind the others, whose numbers stay.
    pub async fn find_new(&mut self, client: &Client, id: &str) {
        let direct = protocol::names::direct_peer(id, client.user()).is_some();
        if direct || self.number(id).is_some() {
            return;
        }
        // Where the server does not answer the group is called by its id.
        let Ok(list) = List::load(client).await else { return };
        self.rows.extend(list.rows.into_iter().find(|row| row.conversation == id));
    }

    /// The conversation with this number, or else this id.
    pub fn find(&self, client: &Client, choice: &str) -> Conversation {
        let number = choice.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let row = number.and_then(|at| self.rows.get(at));
        client.conversation(row.map_or(choice, |row| row.conversation.as_str()))
    }

    /// How a conversation is called; its other user or id where the list does not have it.
    pub fn title(&self, client: &Client, id: &str, names: &Names) -> String {
        let row = self.rows.iter().find(|row| row.conversation == id);
        row.map(|row| line::title(row, names)).unwrap_or_else(|| {
            let peer = protocol::names::direct_peer(id, client.user());
            peer.map_or_else(|| line::plain(id), |peer| line::name(peer, names))
        })
    }

    /// Its number, if it has one.
    pub fn number(&self, id: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.conversation == id).map(|at| at + 1)
    }
}
