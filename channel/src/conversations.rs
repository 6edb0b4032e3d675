//! ListConversations: what a user is or was a member of, that with the latest entry first, or what has changed.

use std::sync::Arc;

use prost::Message as _;
use protocol::check::Refused;
use protocol::limit::*;
use protocol::names;
use protocol::node::v1::Identity;
use protocol::v1::{ConversationPage, ConversationSummary, ListConversations, Message};
use storage::directory::{Listed, Listing, Membership};
use storage::log::{Fate, ReadRange};
use storage::{ConversationKey, Store};

use crate::page::{Page, Start};
use crate::render;
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

impl Conversations {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// One page. Ends before `limit` where the frame is full.
    pub async fn page(&self, me: &Identity, asked: ListConversations) -> Result<ConversationPage, Refused> {
        let start = Start::of(&asked)?;
        let limit = page_rows(asked.limit);
        let listed = self.listed(me, start.listing(), limit).await?;
        match start {
            // Nothing is known of what changed since another store's version.
            Start::Since(version) if version.store != listed.store => {
                let listed = self.listed(me, Listing::Latest { before: None }, limit).await?;
                self.fill(me, listed, &Start::All).await
            }
            start => self.fill(me, listed, &start).await,
        }
    }

    async fn listed(&self, me: &Identity, listing: Listing, limit: usize) -> Result<Listed, Refused> {
        self.store.listed(&me.tenant, &me.user, listing, limit).await.map_err(refused_by_store)
    }

    async fn fill(&self, me: &Identity, listed: Listed, start: &Start) -> Result<ConversationPage, Refused> {
        let mut page = ConversationPage::default();
        let mut left = ROWS_BYTES;
        let version = start.version_of(&listed);
        let mut next = listed.next;
        let mut end = None;
        for (place, membership) in listed.rows {
            let row = self.summary(me, &membership).await?;
            let bytes = ROW_HEADER + row.encoded_len();
            if bytes > left && !page.conversations.is_empty() {
                next = end;
                break;
            }
            left = left.saturating_sub(bytes);
            page.conversations.push(row);
            end = Some(place);
        }
        if start.is_latest() || next.is_none() {
            page.version = version.encode();
        }
        if let Some(place) = next {
            page.next_page = Page { is_latest: start.is_latest(), version, place }.encode();
        }
        Ok(page)
    }

    async fn summary(&self, me: &Identity, of: &Membership) -> Result<ConversationSummary, Refused> {
        let tip = of.member.visible_tip(of.tip);
        let cursors = of.member.cursors_since_joining(of.cursors);
        Ok(ConversationSummary {
            conversation: of.conversation.clone(),
            info: Some(of.info.clone()),
            role: of.member.role.into(),
            tip,
            read: cursors.read,
            delivered: cursors.delivered,
            unread: of.unread(),
            last_message: self.last_message(me, of).await?,
            active: of.member.is_active(),
            peer: names::direct_peer(&of.conversation, &me.user).unwrap_or_default().to_owned(),
        })
    }

    /// The last entry to show, with the content of its latest edit. An edit that the user may not see, for it came
    /// after leaving, has no effect.
    async fn last_message(&self, me: &Identity, of: &Membership) -> Result<Option<Message>, Refused> {
        if !of.member.may_see(of.shown) {
            return Ok(None);
        }
        let key = ConversationKey::new(me.tenant.as_str(), of.conversation.as_str());
        let Some((mut message, fate)) = self.entry(&key, of.shown).await? else { return Ok(None) };
        if !fate.recalled
            && of.member.may_see(fate.edited)
            && let Some((edit, edit_fate)) = self.entry(&key, fate.edited).await?
        {
            let recalled = edit_fate.recalled;
            message = Message { content: edit.content, edited: fate.edited, recalled, ..message };
        }
        Ok(Some(message))
    }

    /// The entry, without its conversation; `None` if it cannot be read, which does not spoil the list.
    async fn entry(&self, key: &ConversationKey, seq: u64) -> Result<Option<(Message, Fate)>, Refused> {
        let range =
            ReadRange { first: seq, last: seq, backwards: false, max_entries: 1, max_bytes: MAX_FRAME_BYTES };
        match self.store.read(key, range).await {
            Ok(read) => Ok(read.into_iter().next().and_then(|entry| {
                let fate = entry.fate;
                Some((render::message(entry).ok()?, fate))
            })),
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
