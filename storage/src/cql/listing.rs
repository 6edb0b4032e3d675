//! A user's conversations in parts. See `lists` for what stands in them.
//!
//! The rows of a list lead to conversations, period by period; where each stands exactly is asked of the conversation. A
//! part reads whole periods, for within one the order is that of names. What is found out of its place is taken from
//! there if the part reaches it, and left to a later one otherwise: every conversation has a row where it stands, written
//! before anybody can see that it stands there.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use super::membership::Placed;
use super::tables::{ListKind, ListRange, ListRow, Tables, Write};
use super::{CqlStore, Found, READS_AT_ONCE};
use crate::directory::{Listed, Listing, Membership, Place};
use crate::key::ConversationKey;

/// Rows of one read of a list.
const ROWS_AT_ONCE: usize = 256;

/// One part in the making.
struct Part<'a> {
    tenant: &'a str,
    user: &'a str,
    listing: &'a Listing,
    limit: usize,
    /// Every conversation that was looked at.
    seen: HashMap<String, Option<Placed>>,
    /// Rows that nobody needs any more.
    stale: Vec<ListRow>,
    /// The period behind which nothing was looked at, seen from where the part begins; `None`: nothing is there.
    reach: Option<u64>,
}

impl Part<'_> {
    fn place(&self, placed: &Placed) -> Place {
        let version = if self.is_latest() { placed.entry } else { placed.changed };
        Place { version, conversation: placed.membership.conversation.clone() }
    }

    fn is_latest(&self) -> bool {
        matches!(self.listing, Listing::Latest { .. })
    }

    fn is_wanted(&self, place: &Place) -> bool {
        match self.listing {
            Listing::Latest { before } => before.as_ref().is_none_or(|before| place < before),
            Listing::Changed { after } => place > after,
        }
    }

    /// Whether a period lies within what was looked at.
    fn is_reached(&self, period: u64) -> bool {
        let reached = |reach: u64| if self.is_latest() { period >= reach } else { period <= reach };
        self.reach.is_none_or(reached)
    }

    /// Nothing behind this period was looked at.
    fn reaches(&mut self, period: u64) {
        let nearest = |reach: u64| if self.is_latest() { reach.max(period) } else { reach.min(period) };
        self.reach = Some(self.reach.map_or(period, nearest));
    }
}

impl<T: Tables> CqlStore<T> {
    pub(super) async fn list(
        &self,
        tenant: &str,
        user: &str,
        listing: Listing,
        limit: usize,
    ) -> Found<Listed> {
        let now = self.tables.now();
        let listing = match listing {
            Listing::Changed { after } if after.version > now.saturating_add(1) => {
                Listing::Changed { after: Place { version: 0, conversation: String::new() } }
            }
            listing => listing,
        };
        let (seen, stale) = (HashMap::new(), Vec::new());
        let mut part = Part { tenant, user, listing: &listing, limit, seen, stale, reach: None };
        self.look_at_wide(&mut part).await?;
        let kinds: &[ListKind] =
            if part.is_latest() { &[ListKind::Entry] } else { &[ListKind::Entry, ListKind::Moved] };
        for kind in kinds {
            self.look_at_periods(&mut part, *kind).await?;
        }
        self.remove_stale(&mut part).await;
        let (store, version) = (self.store_id().await?, now.saturating_sub(self.overlap_us()));
        let (rows, next) = self.cut(part);
        Ok(Listed { rows, next, version, store })
    }

    /// Everything that was found and is wanted, in order, up to the limit.
    fn cut(&self, mut part: Part<'_>) -> (Vec<(Place, Membership)>, Option<Place>) {
        let mut found = BTreeMap::new();
        for placed in std::mem::take(&mut part.seen).into_values().flatten() {
            let place = part.place(&placed);
            if part.is_wanted(&place) && part.is_reached(self.config.format.period(place.version)) {
                found.insert(place, placed.membership);
            }
        }
        let more = found.len() > part.limit;
        let take = found.into_iter();
        let rows: Vec<_> = if part.is_latest() {
            take.rev().take(part.limit).collect()
        } else {
            take.take(part.limit).collect()
        };
        let next = if more { rows.last().map(|(place, _)| place.clone()) } else { None };
        (rows, next)
    }

    async fn look_at_wide(&self, part: &mut Part<'_>) -> Found<()> {
        let mut first = (0, String::new());
        loop {
            let range = ListRange::Rising { kind: ListKind::Wide, first };
            let rows = self.tables.listed(part.tenant, part.user, range, ROWS_AT_ONCE).await?;
            self.look_at(part, &rows).await?;
            match rows.last().filter(|_| rows.len() == ROWS_AT_ONCE) {
                Some(row) => first = (row.period, behind(&row.conversation)),
                None => return Ok(()),
            }
        }
    }

    /// Period after period, until more was found than the part holds.
    async fn look_at_periods(&self, part: &mut Part<'_>, kind: ListKind) -> Found<()> {
        let format = &self.config.format;
        let mut range = match part.listing {
            Listing::Latest { before: None } => {
                ListRange::Falling { kind, before: (u64::MAX >> 1, String::new()) }
            }
            Listing::Latest { before: Some(before) } => {
                ListRange::Falling { kind, before: (format.period(before.version) + 1, String::new()) }
            }
            Listing::Changed { after } => {
                ListRange::Rising { kind, first: (format.period(after.version), String::new()) }
            }
        };
        let (mut count, mut period) = (0, None);
        loop {
            let rows = self.tables.listed(part.tenant, part.user, range, ROWS_AT_ONCE).await?;
            let is_last = rows.len() < ROWS_AT_ONCE;
            for rows in rows.chunk_by(|row, next| row.period == next.period) {
                // The period before is complete.
                if let Some(done) = period.filter(|done| *done != rows[0].period && count > part.limit) {
                    part.reaches(done);
                    return Ok(());
                }
                period = Some(rows[0].period);
                self.look_at(part, rows).await?;
                count += rows.iter().filter(|row| self.is_in_place(part, row)).count();
            }
            let Some(last) = rows.last().filter(|_| !is_last) else { return Ok(()) };
            range = if part.is_latest() {
                ListRange::Falling { kind, before: (last.period, last.conversation.clone()) }
            } else {
                ListRange::Rising { kind, first: (last.period, behind(&last.conversation)) }
            };
        }
    }

    /// Whether a row leads to something wanted that stands in its period.
    fn is_in_place(&self, part: &Part<'_>, row: &ListRow) -> bool {
        let Some(Some(placed)) = part.seen.get(&row.conversation) else { return false };
        let place = part.place(placed);
        part.is_wanted(&place) && self.config.format.period(place.version) == row.period
    }

    async fn look_at(&self, part: &mut Part<'_>, rows: &[ListRow]) -> Found<()> {
        let unseen: Vec<String> = rows
            .iter()
            .map(|row| row.conversation.clone())
            .filter(|conversation| !part.seen.contains_key(conversation))
            .collect();
        let (tenant, user) = (part.tenant, part.user);
        let look = |conversation: String| async move {
            let placed = self.placed(&ConversationKey::new(tenant, conversation.as_str()), user).await?;
            Ok((conversation, placed))
        };
        let found: Vec<_> = stream::iter(unseen).map(look).buffered(READS_AT_ONCE).try_collect().await?;
        part.seen.extend(found);
        for row in rows {
            if let Some(Some(placed)) = part.seen.get(&row.conversation)
                && self.is_stale(row, placed)
            {
                part.stale.push(row.clone());
            }
        }
        Ok(())
    }

    /// Places only rise, so a row far behind its conversation's is of no use any more. Not one that is just behind:
    /// somebody may be reading by it.
    fn is_stale(&self, row: &ListRow, placed: &Placed) -> bool {
        let period = |version| self.config.format.period(version);
        match row.kind {
            ListKind::Entry => period(placed.entry) > row.period + 1,
            ListKind::Moved => period(placed.changed) > row.period + 1,
            ListKind::Wide => false,
        }
    }

    async fn remove_stale(&self, part: &mut Part<'_>) {
        let (tenant, user) = (part.tenant.to_owned(), part.user.to_owned());
        let unlist = |row: ListRow| {
            let at = self.config.format.end_of_period(row.period);
            Write::Unlist { tenant: tenant.clone(), user: user.clone(), row, at }
        };
        let writes = part.stale.drain(..).map(unlist).collect();
        if let Err(error) = self.write(writes).await {
            tracing::debug!(tenant, user, %error, "old list rows stay");
        }
    }

    /// All of a user's, most recently active first.
    pub(super) async fn all_of(&self, tenant: &str, user: &str) -> Found<Vec<Membership>> {
        let listing = Listing::Latest { before: None };
        let listed = self.list(tenant, user, listing, usize::MAX).await?;
        let mut found: Vec<Membership> = listed.rows.into_iter().map(|(_, membership)| membership).collect();
        found.sort_by(|a, b| b.tip_at_ms.cmp(&a.tip_at_ms).then_with(|| a.conversation.cmp(&b.conversation)));
        Ok(found)
    }
}

/// The first text behind this one.
fn behind(text: &str) -> String {
    format!("{text}\0")
}
