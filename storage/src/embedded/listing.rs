//! Which of a user's conversations have changed.
//!
//! Every conversation of a user has a row in `Active` whose key begins with its *place*, a version (a commit's number),
//! and one in `Moved` with the version at which the user's read cursor rose last. A change moves the row, so what
//! changed after a version is what lies behind it, however many conversations there are.
//!
//! The place is the beginning of the [`period`](super::period) of the latest entry, not the entry itself: moving the
//! rows of all members with every entry would be most of an append. Whoever lists takes all of a place and finds the
//! order within it in the heads, which have the version of the latest entry. The row of somebody who has left has the
//! version of that in its value.
//!
//! Where an append would move many rows, the conversation is *wide*, for ever: its members have a row in `Wide`
//! instead, no append touches those, and whoever lists looks at the head of each.

use std::collections::HashSet;
use std::ops::Bound;

use fjall::{UserKey, UserValue};
use xxhash_rust::xxh3::xxh3_64;

use super::engine::{Change, Engine, broken, decode};
use super::group::Group;
use super::keys::{self, Key, Table};
use super::rows::{Commit, Head, Row};
use super::view::View;
use crate::directory::{Listed, Listing, Membership, Place};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::Append;
use crate::member::MemberRow;

type Found<T> = Result<T, StoreError>;

impl Group<'_> {
    /// What an append changes in the lists of the members. `before` and `after` are the log's heads.
    pub(super) fn listing_of(&mut self, append: &Append, before: &Head, after: &Head) -> Found<Vec<Change>> {
        let mut rows = Vec::new();
        if !before.wide && (after.wide || after.place != before.place) {
            for user in append.active.iter() {
                rows.push(unlist(&append.key, user, before.place)?);
                rows.push(self.list(&append.key, user, after)?);
            }
        }
        for member in &append.members {
            rows.extend(self.joined_or_left(append, member, before, after)?);
        }
        Ok(rows)
    }

    /// Who has left keeps a row where the leaving stands; the membership says where that is.
    fn joined_or_left(
        &mut self,
        append: &Append,
        member: &MemberRow,
        before: &Head,
        after: &Head,
    ) -> Found<Vec<Change>> {
        let (key, user) = (&append.key, member.user.as_str());
        let membership = keys::membership(key, user)?;
        let mut rows = Vec::new();
        if member.is_active() {
            if let Some(left) = self.row_if_any::<u64>(&membership)? {
                rows.push(unlist(key, user, left)?);
            }
            rows.push((membership, Some(UserValue::empty())));
            rows.push(self.list(key, user, after)?);
        } else {
            rows.push(if before.wide {
                (keys::wide(key, user)?, None)
            } else {
                unlist(key, user, before.place)?
            });
            rows.push((membership, Some(after.place.encode().into())));
            let (row, _) = self.list(key, user, &Head { wide: false, ..*after })?;
            rows.push((row, Some(after.version.encode().into())));
        }
        Ok(rows)
    }

    fn list(&mut self, key: &ConversationKey, user: &str, head: &Head) -> Found<Change> {
        let row = place_of(key, user, head)?;
        self.period.note(&key.tenant, user);
        Ok((row, Some(UserValue::empty())))
    }

    /// What a risen read cursor changes.
    pub(super) fn moved(&self, key: &ConversationKey, user: &str, before: u64) -> Found<[Change; 2]> {
        let list = keys::list(Table::Moved, &key.tenant, user)?;
        let row = |version| keys::place(&list, version, &key.conversation);
        Ok([(row(before)?, None), (row(self.version)?, Some(UserValue::empty()))])
    }
}

fn unlist(key: &ConversationKey, user: &str, version: u64) -> Found<Change> {
    let list = keys::list(Table::Active, &key.tenant, user)?;
    Ok((keys::place(&list, version, &key.conversation)?, None))
}

/// The row by which a conversation stands in a member's list.
pub(super) fn place_of(key: &ConversationKey, user: &str, head: &Head) -> Found<Key> {
    if head.wide {
        return keys::wide(key, user);
    }
    keys::place(&keys::list(Table::Active, &key.tenant, user)?, head.place, &key.conversation)
}

/// Rows that a store of format 1 lacks: all of its conversations stand at version 0, as its heads do.
pub(super) fn begin(engine: &Engine) -> Found<Vec<Change>> {
    let mut rows = Vec::new();
    if engine.get(&keys::listed())?.is_some() {
        return Ok(rows);
    }
    let prefix = [Table::Membership as u8];
    for row in engine.prefix_in(&engine.snapshot(), &prefix) {
        let key = row.key().map_err(broken)?;
        let (tenant, user, conversation) = keys::names_of(&key)
            .ok_or_else(|| StoreError::Corrupt(format!("the key {}", key.escape_ascii())))?;
        let list = keys::list(Table::Active, tenant, user)?;
        rows.push((keys::place(&list, 0, conversation)?, Some(UserValue::empty())));
    }
    rows.push((keys::listed(), Some(UserValue::empty())));
    Ok(rows)
}

impl View {
    pub(super) fn listed(&self, tenant: &str, user: &str, listing: Listing, limit: usize) -> Found<Listed> {
        let commit: Option<Commit> = self.row(&keys::commit())?;
        let (version, store) = commit.map_or((0, 0), |commit| (commit.number, xxh3_64(&commit.store)));
        let (mut places, latest) = match listing {
            Listing::Latest { before } => (self.latest(tenant, user, before, limit)?, true),
            Listing::Changed { after } if after.version > version + 1 => (
                self.changed(tenant, user, &Place { version: 0, conversation: String::new() }, limit)?,
                false,
            ),
            Listing::Changed { after } => (self.changed(tenant, user, &after, limit)?, false),
        };
        let more = places.len() > limit;
        places.truncate(limit);
        let next = if more { places.last().cloned() } else { None };
        let mut seen = HashSet::new();
        let mut rows = Vec::with_capacity(places.len());
        for place in places {
            let key = ConversationKey::new(tenant, place.conversation.as_str());
            if !seen.insert(place.conversation.clone()) {
                continue;
            }
            if let Some((membership, head)) = self.membership_and_head(&key, user)?
                && !(latest && is_outdated(&membership, &head, &place))
            {
                rows.push((place, membership));
            }
        }
        Ok(Listed { rows, next, version, store })
    }

    /// One more than `limit`, latest first.
    fn latest(&self, tenant: &str, user: &str, before: Option<Place>, limit: usize) -> Found<Vec<Place>> {
        let list = keys::list(Table::Active, tenant, user)?;
        let is_wanted = |place: &Place| before.as_ref().is_none_or(|before| place < before);
        let rows = self.upto(&list, before.as_ref())?;
        let mut places = self.placed(tenant, &list, rows, is_wanted, limit)?;
        places.extend(self.wide(tenant, user, is_wanted)?);
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.truncate(limit + 1);
        Ok(places)
    }

    /// One more than `limit`, in the order of the changes.
    fn changed(&self, tenant: &str, user: &str, after: &Place, limit: usize) -> Found<Vec<Place>> {
        let is_wanted = |place: &Place| place > after;
        let mut places = self.wide(tenant, user, is_wanted)?;
        let list = keys::list(Table::Active, tenant, user)?;
        // What stands before the last place up to there changed before it.
        let first = match self.upto(&list, Some(after))?.next() {
            Some(row) => keys::place(&list, place(&row?.0, &list)?.version, "")?,
            None => list.clone(),
        };
        let rows = self.bounded(&list, (Bound::Included(first), Bound::Excluded(keys::end(&list))));
        places.extend(self.placed(tenant, &list, rows, is_wanted, limit)?);

        let list = keys::list(Table::Moved, tenant, user)?;
        let start = keys::place(&list, after.version, &after.conversation)?;
        let rows = self.bounded(&list, (Bound::Excluded(start), Bound::Excluded(keys::end(&list))));
        for row in rows.take(limit + 1) {
            places.push(place(&row?.0, &list)?);
        }
        places.sort_unstable();
        places.truncate(limit + 1);
        Ok(places)
    }

    /// The rows of a list at places up to a version, or all; the last one first.
    fn upto(
        &self,
        list: &[u8],
        version: Option<&Place>,
    ) -> Found<impl Iterator<Item = Found<(UserKey, UserValue)>> + use<>> {
        let end = match version {
            Some(place) => keys::place(list, place.version.saturating_add(1), "")?,
            None => keys::end(list),
        };
        Ok(self.bounded(list, (Bound::Included(list.to_vec()), Bound::Excluded(end))).rev())
    }

    /// Where the conversations of rows really stand: all that are wanted at as many places as have more than `limit`.
    /// Rows are in the order of their places, or against it.
    fn placed(
        &self,
        tenant: &str,
        list: &[u8],
        rows: impl Iterator<Item = Found<(UserKey, UserValue)>>,
        is_wanted: impl Fn(&Place) -> bool,
        limit: usize,
    ) -> Found<Vec<Place>> {
        let (mut places, mut current) = (Vec::new(), None);
        for row in rows {
            let (key, value) = row?;
            let row = place(&key, list)?;
            let entered = current.replace(row.version) != Some(row.version);
            if entered && places.len() > limit {
                break;
            }
            let version = self.version_of(tenant, &row, &key, &value)?;
            places.extend(Some(Place { version, ..row }).filter(&is_wanted));
        }
        Ok(places)
    }

    /// The version of the latest entry of a conversation that the user may see.
    fn version_of(&self, tenant: &str, row: &Place, key: &[u8], value: &[u8]) -> Found<u64> {
        if !value.is_empty() {
            return decode(key, value);
        }
        let head = self.head(&ConversationKey::new(tenant, row.conversation.as_str()))?;
        // A row that was left behind stands where it is; one of format 2 does that where somebody left.
        Ok(if head.place == row.version { head.version } else { row.version })
    }

    /// The user's wide conversations whose latest entry stands where it is wanted.
    fn wide(&self, tenant: &str, user: &str, is_wanted: impl Fn(&Place) -> bool) -> Found<Vec<Place>> {
        let list = keys::list(Table::Wide, tenant, user)?;
        let mut places = Vec::new();
        for row in self.bounded(&list, (Bound::Included(list.clone()), Bound::Excluded(keys::end(&list)))) {
            let (row, _) = row?;
            let conversation = keys::last_text(&row, &list).ok_or_else(|| broken_key(&row))?.to_owned();
            let head = self.head(&ConversationKey::new(tenant, conversation.as_str()))?;
            places.push(Place { version: head.version, conversation });
        }
        places.retain(is_wanted);
        Ok(places)
    }
}

/// Whether a row was left behind where somebody joined again.
fn is_outdated(membership: &Membership, head: &Head, place: &Place) -> bool {
    membership.member.is_active() && head.version != place.version
}

fn place(row: &[u8], list: &[u8]) -> Found<Place> {
    let (version, conversation) = keys::placed(row, list).ok_or_else(|| broken_key(row))?;
    Ok(Place { version, conversation: conversation.to_owned() })
}

fn broken_key(key: &[u8]) -> StoreError {
    StoreError::Corrupt(format!("the key {}", key.escape_ascii()))
}
