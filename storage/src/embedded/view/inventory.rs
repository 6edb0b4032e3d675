//! Reads of whole tables, in parts.

use std::iter::Peekable;
use std::ops::Bound;

use fjall::{UserKey, UserValue};
use idgen::DeviceId;

use super::{Found, View};
use crate::directory::{DeviceKey, UserInfo};
use crate::embedded::engine::{broken, decode};
use crate::embedded::group::to_device;
use crate::embedded::keys::{self, Key, Table};
use crate::embedded::listing;
use crate::embedded::rows::{Head, Moved};
use crate::error::StoreError;
use crate::inventory::{Held, MAX_ROWS, Marker, Page, Seat};
use crate::key::ConversationKey;
use crate::log::SenderSlot;
use crate::member::{Cursors, MemberRow};
use crate::presence::UserName;

impl View {
    pub(in crate::embedded) fn all_conversations(
        &self,
        tenant: Option<&str>,
        after: Option<&Marker>,
        limit: usize,
    ) -> Found<Page<Held>> {
        self.page(&keys::table(Table::Head, tenant)?, after, limit, |key, value| {
            let (tenant, conversation, _) = keys::names_of(key).ok_or_else(|| no_key(key))?;
            let head: Head = decode(key, value)?;
            let key = ConversationKey::new(tenant, conversation);
            Ok(Held { key, tip: head.tip, tip_at_ms: head.tip_at_ms })
        })
    }

    pub(in crate::embedded) fn all_users(
        &self,
        tenant: Option<&str>,
        after: Option<&Marker>,
        limit: usize,
    ) -> Found<Page<(UserName, UserInfo)>> {
        self.page(&keys::table(Table::User, tenant)?, after, limit, |key, value| {
            let name = keys::user_name(key).ok_or_else(|| no_key(key))?;
            Ok((name, decode(key, value)?))
        })
    }

    pub(in crate::embedded) fn all_devices(
        &self,
        tenant: Option<&str>,
        after: Option<&Marker>,
        limit: usize,
    ) -> Found<Page<(DeviceKey, DeviceId)>> {
        self.page(&keys::table(Table::Device, tenant)?, after, limit, |key, value| {
            let device = keys::device_of(key).ok_or_else(|| no_key(key))?;
            Ok((device, to_device(decode(key, value)?)?))
        })
    }

    pub(in crate::embedded) fn all_senders(
        &self,
        key: &ConversationKey,
        after: Option<&Marker>,
        limit: usize,
    ) -> Found<Page<(u64, SenderSlot)>> {
        let prefix = keys::all_senders(key)?;
        self.page(&prefix, after, limit, |key, value| {
            let (device, slot) = keys::sender_of(key, &prefix).ok_or_else(|| no_key(key))?;
            let (client_msg_id, seq) = decode(key, value)?;
            Ok((device, SenderSlot { slot, client_msg_id, seq }))
        })
    }

    /// A user's rows lie in three tables, each in the order of the users.
    pub(in crate::embedded) fn seats(
        &self,
        key: &ConversationKey,
        after: Option<&Marker>,
        limit: usize,
    ) -> Found<Page<Seat>> {
        let [mut members, mut cursors, mut sent] =
            [keys::members(key)?, keys::all_cursors(key)?, keys::all_sent(key)?].map(|prefix| {
                let start = after.map(|user| [&prefix, user.bytes()].concat());
                Column::new(self.rows_after(&prefix, start), prefix)
            });
        let mut page = Page { rows: Vec::new(), broken: Vec::new(), next: None };
        let limit = limit.clamp(1, MAX_ROWS);
        while page.rows.len() < limit {
            let Some(user) = [members.user()?, cursors.user()?, sent.user()?].into_iter().flatten().min()
            else {
                return Ok(page);
            };
            let member: Option<MemberRow> = members.take(&user, &mut page.broken)?;
            let moved: Moved = cursors.take(&user, &mut page.broken)?.unwrap_or_default();
            let sent = sent.take(&user, &mut page.broken)?.unwrap_or_default();
            page.next = Some(Marker::new(&user));
            let Ok(user) = String::from_utf8(user) else {
                page.broken.push(format!("a user of {key} whose name is no text"));
                continue;
            };
            let member = member.map(|row| MemberRow { user: user.clone(), ..row });
            let cursors = moved.cursors.max(Cursors { sent, ..Cursors::default() });
            page.rows.push(Seat { user, member, cursors });
        }
        Ok(page)
    }

    pub(in crate::embedded) fn unlisted(
        &self,
        key: &ConversationKey,
        users: Vec<String>,
    ) -> Found<Vec<String>> {
        let head = self.head(key)?;
        let mut missing = Vec::new();
        for user in users {
            let rows = [keys::membership(key, &user)?, listing::place_of(key, &user, &head)?];
            for row in rows {
                // The membership of one who has left says when.
                if !self.engine.holds_empty(&self.seen, &row)? {
                    missing.push(user);
                    break;
                }
            }
        }
        Ok(missing)
    }

    /// Rows of a table behind a marker, each read by `read`.
    fn page<T>(
        &self,
        prefix: &[u8],
        after: Option<&Marker>,
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Found<T>,
    ) -> Found<Page<T>> {
        let mut page = Page { rows: Vec::new(), broken: Vec::new(), next: None };
        let limit = limit.clamp(1, MAX_ROWS);
        for row in self.rows_after(prefix, after.map(|marker| marker.bytes().to_vec())) {
            let (key, value) = row?;
            match read(&key, &value) {
                Ok(row) => page.rows.push(row),
                Err(StoreError::Corrupt(why)) => page.broken.push(why),
                Err(error) => return Err(error),
            }
            if page.rows.len() + page.broken.len() == limit {
                page.next = Some(Marker::new(&key));
                break;
            }
        }
        Ok(page)
    }

    /// Rows whose keys begin with `prefix`, those after `start`.
    fn rows_after(
        &self,
        prefix: &[u8],
        start: Option<Key>,
    ) -> impl Iterator<Item = Found<(UserKey, UserValue)>> + use<> {
        let start = start.map_or_else(|| Bound::Included(prefix.to_vec()), Bound::Excluded);
        let rows = self.engine.range_in(&self.seen, prefix, (start, Bound::Unbounded));
        let prefix = prefix.to_vec();
        let rows = rows.map(|row| row.into_inner().map_err(broken));
        rows.take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
    }
}

/// The rows of one table, each under a user.
struct Column<I: Iterator> {
    rows: Peekable<I>,
    prefix: Key,
}

impl<I: Iterator<Item = Found<(UserKey, UserValue)>>> Column<I> {
    fn new(rows: I, prefix: Key) -> Self {
        Self { rows: rows.peekable(), prefix }
    }

    /// Whose row comes next.
    fn user(&mut self) -> Found<Option<Vec<u8>>> {
        let user = |key: &[u8]| key[self.prefix.len()..].to_vec();
        match self.rows.peek() {
            None => Ok(None),
            Some(Ok((key, _))) => Ok(Some(user(key))),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// The user's row, if the next one is.
    fn take<R: crate::embedded::rows::Row>(
        &mut self,
        user: &[u8],
        broken: &mut Vec<String>,
    ) -> Found<Option<R>> {
        let prefix = self.prefix.len();
        let Some(row) = self.rows.next_if(|row| row.as_ref().is_ok_and(|(key, _)| &key[prefix..] == user))
        else {
            return Ok(None);
        };
        let (key, value) = row?;
        match decode(&key, &value) {
            Ok(row) => Ok(Some(row)),
            Err(error) => {
                broken.push(error.to_string());
                Ok(None)
            }
        }
    }
}

fn no_key(key: &[u8]) -> StoreError {
    StoreError::Corrupt(format!("the key {}", key.escape_ascii()))
}
