//! What an append changes in the members' lists of conversations.
//!
//! A row says in which *period* of the store's clock something happened, no more: whoever lists reads the conversation
//! anyway and takes the exact place from there. So an append writes into lists only if it is the first in its period, or
//! changes who is a member. Rows are hints: one that is left behind is seen through, and removed later.
//!
//! What is no entry stands apart, under `Moved`: a read cursor that rose, or a takeover that has to tell of the latest
//! entry again because it cannot know whether it was told in time. So neither brings a conversation to the top.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::config::Format;
use super::tables::{End, ListKind, ListRow, Write};
use crate::key::ConversationKey;
use crate::log::Users;
use crate::member::MAX_LISTED_MEMBERS;

/// What is written before the conversation's copy of the end, and what is removed behind it: a conversation is in every
/// list at any time.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) list: Vec<Write>,
    pub(super) unlist: Vec<Write>,
}

/// One user whom a batch concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Stays,
    Joins,
    Leaves,
}

/// The rows of one conversation.
struct Rows<'a> {
    key: &'a ConversationKey,
    format: &'a Format,
}

impl Rows<'_> {
    fn row(&self, kind: ListKind, version: u64) -> ListRow {
        let period = if kind == ListKind::Wide { 0 } else { self.format.period(version) };
        ListRow { kind, period, conversation: self.key.conversation.to_string() }
    }

    fn list(&self, user: &str, kind: ListKind, at: u64) -> Write {
        let (tenant, user) = (self.key.tenant.to_string(), user.to_owned());
        Write::List { tenant, user, row: self.row(kind, at), at }
    }

    fn unlist(&self, user: &str, kind: ListKind, at: u64) -> Write {
        let (tenant, user) = (self.key.tenant.to_string(), user.to_owned());
        Write::Unlist { tenant, user, row: self.row(kind, at), at }
    }
}

impl Batch {
    /// `before` is the log's end before the batch, `told` the place of the latest change then.
    pub(super) fn listed(&self, format: &Format, before: &End, told: u64, active: &Users) -> Lists {
        let rows = Rows { key: &self.key, format };
        let (old, new) = (before.version, self.end.version);
        let moves = before.tip == 0 || format.period(old) != format.period(new);
        let was_listed = before.tip > 0 && !before.wide;
        let mut lists = Lists::default();
        for (user, place) in self.concerned(active.iter().map(|user| &**user)) {
            let wide = self.end.wide && place != Place::Leaves;
            let kind = if wide { ListKind::Wide } else { ListKind::Entry };
            let turns = if wide { !before.wide } else { moves };
            if turns || place != Place::Stays {
                lists.list.push(rows.list(user, kind, new));
            }
            // Within a period it is the same row. Who joins has none as a rule; one that is there all the same is seen
            // through.
            if was_listed && (moves || wide) && place != Place::Joins {
                lists.unlist.push(rows.unlist(user, ListKind::Entry, old));
                if told > old {
                    lists.unlist.push(rows.unlist(user, ListKind::Moved, told));
                }
            }
            if place == Place::Leaves && before.wide {
                lists.unlist.push(rows.unlist(user, ListKind::Wide, new));
            }
        }
        lists
    }

    /// Tells all of the batch again, whatever may have been told: it `changed` later than it was made.
    pub(super) fn listed_again<'a>(
        &'a self,
        format: &Format,
        changed: u64,
        active: impl Iterator<Item = &'a str>,
    ) -> Vec<Write> {
        let rows = Rows { key: &self.key, format };
        let concerned = self.concerned(active);
        let staying = concerned.values().filter(|place| **place == Place::Stays).count();
        let leaving = concerned.values().filter(|place| **place == Place::Leaves).count();
        // It may have been this batch that made it wide.
        let turned = staying + leaving <= MAX_LISTED_MEMBERS;
        let mut writes = Vec::new();
        for (user, place) in concerned {
            if self.end.wide && place != Place::Leaves {
                if turned || place == Place::Joins {
                    writes.push(rows.list(user, ListKind::Wide, changed));
                }
                continue;
            }
            writes.push(rows.list(user, ListKind::Entry, self.end.version));
            if format.period(changed) != format.period(self.end.version) {
                writes.push(rows.list(user, ListKind::Moved, changed));
            }
        }
        writes
    }

    /// Everyone whose lists show the batch.
    fn concerned<'a>(&'a self, active: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, Place> {
        let mut concerned: BTreeMap<&str, Place> = active.map(|user| (user, Place::Stays)).collect();
        for member in &self.changes.members {
            let place = if member.is_active() { Place::Joins } else { Place::Leaves };
            concerned.insert(&member.user, place);
        }
        concerned
    }
}
