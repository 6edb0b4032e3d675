//! ListConversations: what a user is or was a member of, most recently active first.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use protocol::check::{self, Refused};
use protocol::limit::*;
use protocol::names;
use protocol::node::v1::Identity;
use protocol::v1::{ConversationPage, ConversationSummary, ListConversations, Message};
use storage::directory::Membership;
use storage::log::ReadRange;
use storage::{ConversationKey, Store};

use crate::reply::refused_by_store;

/// Bytes of a page that its rows may take; the rest is for the token and the frame around it.
const ROWS_BYTES: usize = MAX_FRAME_BYTES - MAX_CONVERSATION_BYTES - 64;
/// Bytes that a row adds beside its own encoding: field number and length.
const ROW_HEADER: usize = 4;
/// Bytes of a row beside its last message: id, title, peer, numbers.
const ROW_OVERHEAD: usize = MAX_CONVERSATION_BYTES + MAX_TITLE_BYTES + MAX_USER_BYTES + 96;

// One row with the largest entry fits, so every page has a row.
const _: () = assert!(ROW_OVERHEAD + MAX_CONTENT_BYTES + MAX_ENTRY_OVERHEAD_BYTES < ROWS_BYTES);

/// Lists conversations for devices.
pub struct Conversations {
    store: Arc<dyn Store>,
}

/// Where a page ends: the next one starts after this conversation. A conversation that becomes active meanwhile
/// moves to the front; the device learns of it by push.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    tip_at_ms: i64,
    conversation: String,
}

impl Conversations {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// One page. Ends before `limit` where the frame is full.
    pub async fn page(&self, me: &Identity, asked: ListConversations) -> Result<ConversationPage, Refused> {
        let after = Position::decode(&asked.page)?;
        let memberships = self.store.memberships(&me.tenant, &me.user).await.map_err(refused_by_store)?;
        let mut rest = sorted_after(memberships, after.as_ref()).into_iter().peekable();
        let mut page = ConversationPage::default();
        let mut left = ROWS_BYTES;
        let mut end = None;
        while page.conversations.len() < page_rows(asked.limit) {
            let Some(membership) = rest.peek() else { break };
            let row = self.summary(me, membership).await?;
            let bytes = ROW_HEADER + row.encoded_len();
            if bytes > left && !page.conversations.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            page.conversations.push(row);
            end = rest.next();
        }
        if let (Some(end), true) = (end, rest.peek().is_some()) {
            page.next_page = Position::of(end).encode();
        }
        Ok(page)
    }

    async fn summary(&self, me: &Identity, of: &Membership) -> Result<ConversationSummary, Refused> {
        let tip = of.member.visible_tip(of.tip);
        let cursors = of.member.cursors_since_joining(of.cursors);
        let last_message = self.entry(&me.tenant, &of.conversation, tip).await?;
        Ok(ConversationSummary {
            conversation: of.conversation.clone(),
            info: Some(of.info.clone()),
            role: of.member.role.into(),
            tip,
            read: cursors.read,
            delivered: cursors.delivered,
            unread: cursors.unread(tip),
            last_message,
            active: of.member.is_active(),
            peer: names::direct_peer(&of.conversation, &me.user).unwrap_or_default().to_owned(),
        })
    }

    /// The entry, without its conversation; `None` if it cannot be read, which does not spoil the list.
    async fn entry(&self, tenant: &str, conversation: &str, seq: u64) -> Result<Option<Message>, Refused> {
        if seq == 0 {
            return Ok(None);
        }
        let key = ConversationKey::new(tenant, conversation);
        let range =
            ReadRange { first: seq, last: seq, backwards: false, max_entries: 1, max_bytes: MAX_FRAME_BYTES };
        match self.store.read(&key, range).await {
            Ok(read) => Ok(read.into_iter().next().and_then(|entry| Message::decode(entry.payload).ok())),
            Err(storage::StoreError::Corrupt(why)) => {
                tracing::error!(%key, seq, why, "the last message cannot be read");
                Ok(None)
            }
            Err(error) => Err(refused_by_store(error)),
        }
    }
}

/// Rows of a page: what was asked, within the limit.
pub fn page_rows(limit: u32) -> usize {
    match limit as usize {
        0 => MAX_PAGE_ROWS,
        limit => limit.min(MAX_PAGE_ROWS),
    }
}

fn sorted_after(mut all: Vec<Membership>, after: Option<&Position>) -> Vec<Membership> {
    if let Some(after) = after {
        let start = (Reverse(after.tip_at_ms), after.conversation.as_str());
        all.retain(|m| (Reverse(m.tip_at_ms), m.conversation.as_str()) > start);
    }
    all.sort_unstable_by(|a, b| {
        (Reverse(a.tip_at_ms), &a.conversation).cmp(&(Reverse(b.tip_at_ms), &b.conversation))
    });
    all
}

impl Position {
    fn of(membership: Membership) -> Position {
        Position { tip_at_ms: membership.tip_at_ms, conversation: membership.conversation }
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8 + self.conversation.len());
        out.put_i64(self.tip_at_ms);
        out.put_slice(self.conversation.as_bytes());
        out.freeze()
    }

    /// `None` for the start.
    fn decode(page: &[u8]) -> Result<Option<Position>, Refused> {
        if page.is_empty() {
            return Ok(None);
        }
        let position = page.split_first_chunk::<8>().and_then(|(at, conversation)| {
            let conversation = std::str::from_utf8(conversation).ok()?.to_owned();
            Some(Position { tip_at_ms: i64::from_be_bytes(*at), conversation })
        });
        let position = position.filter(|position| check::conversation(&position.conversation).is_ok());
        position.map(Some).ok_or_else(|| check::invalid("page is not one that was given out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_trip() {
        let position = Position { tip_at_ms: -5, conversation: "d:a~ü".into() };
        assert_eq!(Position::decode(&position.encode()), Ok(Some(position)));
        assert_eq!(Position::decode(b""), Ok(None));
        for bad in [&b"1234567"[..], b"12345678", b"12345678\xff"] {
            assert_eq!(Position::decode(bad).map_err(|e| e.code), Err(protocol::code::Code::INVALID_REQUEST));
        }
    }
}
