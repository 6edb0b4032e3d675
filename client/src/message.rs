//! Messages and what is in them, as an application sees them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use protocol::limit::CLIENT_MSG_ID_BYTES;
use protocol::v1;
pub use protocol::v1::relation::Kind as RelationKind;
pub use protocol::v1::{MembersChanged, Relation};

/// Media type of plain text.
pub const TEXT: &str = "text/plain";

/// The sender's own id of a message: 16 random bytes, the same for every retry.
pub type MessageId = [u8; CLIENT_MSG_ID_BYTES];

/// What a message carries: a media type of 1 to 64 bytes and up to 48 KiB of data.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Content {
    pub kind: String,
    pub data: Bytes,
}

impl Content {
    /// Content of a media type such as `application/json`.
    pub fn new(kind: impl Into<String>, data: impl Into<Bytes>) -> Content {
        Content { kind: kind.into(), data: data.into() }
    }

    /// The text, if this is UTF-8 text of any `text/` type.
    pub fn text(&self) -> Option<&str> {
        self.kind.starts_with("text/").then(|| std::str::from_utf8(&self.data).ok()).flatten()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::new(TEXT, text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::new(TEXT, text)
    }
}

/// One entry of a conversation's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub conversation: String,
    /// 1, 2, 3 … without a hole; 0 for a message that was not stored.
    pub seq: u64,
    /// When the server took it, milliseconds since 1970. Does not decide any order.
    pub at_ms: i64,
    /// The sending user; empty for entries the server made.
    pub sender: String,
    pub sender_device: u64,
    /// The sender's [`MessageId`]; compare it with [`crate::Sending::id`] to recognise one's own.
    pub id: Bytes,
    pub content: Content,
    pub relation: Option<Relation>,
    /// Stored and synced, but not for showing.
    pub hidden: bool,
    /// Set on entries that create the conversation or change its members.
    pub members_changed: Option<MembersChanged>,
    /// It, or the message that it edits, was recalled: there is no content any more.
    pub recalled: bool,
}

/// What an entry does to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its content takes the place of the content of this seq.
    Edit(u64),
    /// The content of this seq, and of every edit of it, is gone.
    Recall(u64),
}

impl Message {
    /// The text, if the content is text.
    pub fn text(&self) -> Option<&str> {
        self.content.text()
    }

    /// Set on edits and recalls: entries of their own, which are not for showing but change what is shown.
    pub fn change(&self) -> Option<Change> {
        let relation = self.relation.as_ref()?;
        match relation.kind() {
            RelationKind::Edit => Some(Change::Edit(relation.seq)),
            RelationKind::Recall => Some(Change::Recall(relation.seq)),
            RelationKind::None | RelationKind::Reply => None,
        }
    }

    /// The seq that it replies to.
    pub fn replies_to(&self) -> Option<u64> {
        let relation = self.relation.as_ref()?;
        (relation.kind() == RelationKind::Reply).then_some(relation.seq)
    }

    /// Bytes this message counts for in a bounded buffer: its data and a flat part for the rest.
    pub(crate) fn cost(&self) -> usize {
        const FLAT: usize = 512;
        FLAT + self.content.data.len()
    }

    /// A message off the wire; `conversation` is what a SyncedRange names once for all.
    pub(crate) fn from_wire(message: v1::Message, conversation: &str) -> Message {
        let named = !message.conversation.is_empty();
        let content = message.content.unwrap_or_default();
        Message {
            conversation: if named { message.conversation } else { conversation.to_owned() },
            seq: message.seq,
            at_ms: message.at_ms,
            sender: message.sender,
            sender_device: message.sender_device,
            id: message.client_msg_id,
            content: Content { kind: content.r#type, data: content.data },
            relation: message.relation,
            hidden: message.hidden,
            members_changed: message.members_changed,
            recalled: message.recalled,
        }
    }
}

/// What there is to show of these entries of one conversation, ascending: without hidden ones, edits and recalls, and
/// with what those have done to the others. The server has checked that whoever changes a message may.
pub fn shown(entries: Vec<Message>) -> Vec<Message> {
    let mut edits: HashMap<u64, Content> = HashMap::new();
    let mut recalls = HashSet::new();
    let mut shown = Vec::with_capacity(entries.len());
    for mut entry in entries {
        match entry.change() {
            Some(Change::Edit(seq)) if !entry.recalled => {
                drop(edits.insert(seq, std::mem::take(&mut entry.content)))
            }
            Some(Change::Edit(seq) | Change::Recall(seq)) => drop(recalls.insert(seq)),
            None if entry.hidden => {}
            None => shown.push(entry),
        }
    }
    for message in &mut shown {
        if recalls.contains(&message.seq) {
            (message.content, message.recalled) = (Content::default(), true);
        } else if let Some(content) = edits.remove(&message.seq) {
            message.content = content;
        }
    }
    shown
}

/// How a message is sent, beside its content.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Reply to, edit or recall an earlier message of the conversation.
    pub relation: Option<Relation>,
    /// Deliver to who is online now, do not store; the ack's seq is 0.
    pub no_store: bool,
    /// Store and sync, but do not show and do not count as unread.
    pub hidden: bool,
    /// The id to send under; random by default. Sending again under an id already accepted returns the first
    /// seq, marked duplicate.
    pub id: Option<MessageId>,
}

/// The server has stored the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970; may be 0 for a duplicate, whose time is in the log.
    pub at_ms: i64,
    /// An earlier copy had already been stored, under this seq.
    pub duplicate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, text: &str, relation: Option<(RelationKind, u64)>) -> Message {
        let content = Some(v1::Content { r#type: TEXT.into(), data: text.to_owned().into() });
        let relation = relation.map(|(kind, seq)| Relation { kind: kind.into(), seq });
        let message = v1::Message { seq, sender: "ann".into(), content, relation, ..Default::default() };
        Message::from_wire(message, "room")
    }

    #[test]
    fn edits_and_recalls_change_what_is_shown() {
        let entries = vec![
            entry(1, "helo", None),
            entry(2, "secret", None),
            entry(3, "hello", Some((RelationKind::Edit, 1))),
            entry(4, "re", Some((RelationKind::Reply, 1))),
            entry(5, "hello!", Some((RelationKind::Edit, 1))),
            entry(6, "secrets", Some((RelationKind::Edit, 2))),
            entry(7, "", Some((RelationKind::Recall, 2))),
            Message { hidden: true, ..entry(8, "state", None) },
        ];
        let shown = shown(entries);
        let rows: Vec<(u64, &str, bool)> = shown
            .iter()
            .map(|message| (message.seq, message.text().unwrap_or_default(), message.recalled))
            .collect();
        assert_eq!(rows, [(1, "hello!", false), (2, "", true), (4, "re", false)]);
        assert_eq!(shown[2].replies_to(), Some(1));
    }
}
