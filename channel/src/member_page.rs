//! ListMembers: who is in a conversation, by user id.

use std::sync::Arc;

use prost::Message as _;
use protocol::check::{self, Refused};
use protocol::limit::{MAX_FRAME_BYTES, MAX_USER_BYTES};
use protocol::node::v1::Identity;
use protocol::v1::{ListMembers, Member, MemberPage};
use storage::{ConversationKey, Store};

use crate::conversations::page_rows;
use crate::history::entitled;
use crate::reply::refused_by_store;
use crate::watch::Watches;

/// Bytes of a page that its rows may take.
const ROWS_BYTES: usize = MAX_FRAME_BYTES - MAX_USER_BYTES - 64;
/// Bytes that a row adds beside its own encoding.
const ROW_HEADER: usize = 4;

/// Lists members for devices.
pub struct Members {
    store: Arc<dyn Store>,
    watches: Arc<Watches>,
}

impl Members {
    pub fn new(store: Arc<dyn Store>, watches: Arc<Watches>) -> Self {
        Self { store, watches }
    }

    /// One page of those who are members now; for members and former members only. Who has left is not told
    /// who is online.
    pub async fn page(&self, me: &Identity, asked: ListMembers) -> Result<MemberPage, Refused> {
        check::conversation(&asked.conversation)?;
        if !asked.after.is_empty() {
            check::user(&asked.after)?;
        }
        let key = ConversationKey::new(me.tenant.as_str(), asked.conversation);
        let mine = entitled(&*self.store, &key, &me.user).await?;
        let sees_presence = mine.member.is_active();
        let limit = page_rows(asked.limit);
        // One row more than asked says whether there is a next page.
        let mut rows = self.store.members(&key, &asked.after, limit + 1).await.map_err(refused_by_store)?;
        let mut has_more = rows.len() > limit;
        rows.truncate(limit);
        let users: Vec<String> = rows.iter().map(|row| row.user.clone()).collect();
        let infos = self.store.users(&me.tenant, &users).await.map_err(refused_by_store)?;
        let cursors = self.store.cursors(&key, &users).await.map_err(refused_by_store)?;
        let online = match sees_presence {
            true => self.watches.online(&me.tenant, &users).await?,
            false => vec![false; users.len()],
        };
        let mut page = MemberPage::default();
        let mut left = ROWS_BYTES;
        for (((row, info), cursors), online) in rows.into_iter().zip(infos).zip(cursors).zip(online) {
            let member = Member {
                online,
                user: row.user,
                role: row.role.into(),
                name: info.map(|info| info.name).unwrap_or_default(),
                read: cursors.read,
                delivered: cursors.delivered,
            };
            let bytes = ROW_HEADER + member.encoded_len();
            if bytes > left {
                has_more = true;
                break;
            }
            left -= bytes;
            page.members.push(member);
        }
        if let (Some(last), true) = (page.members.last(), has_more) {
            page.next_after = last.user.clone();
        }
        Ok(page)
    }
}
