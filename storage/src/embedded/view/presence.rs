//! Reads of the presence stream.

use super::{Found, View};
use crate::embedded::engine::decode;
use crate::embedded::keys;
use crate::embedded::rows::{EventRow, Head};
use crate::error::StoreError;
use crate::presence::{
    EVENTS_KEPT, EventPage, MAX_EVENTS, PresenceEvent, PresenceState, PresentPage, Standing, UserName,
};

impl View {
    pub(in crate::embedded) fn presence_events(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Found<EventPage> {
        let head: Head = self.row(&keys::presence_head(tenant)?)?.unwrap_or_default();
        let first_kept = head.tip.saturating_sub(EVENTS_KEPT) + 1;
        let seqs = after.saturating_add(1).max(first_kept)..=head.tip;
        let event = |seq| {
            let row: Option<EventRow> = self.row(&keys::presence_event(tenant, seq)?)?;
            let row = row.filter(|row| row.seq == seq);
            let EventRow { seq, epoch, state, at_ms, user } = row
                .ok_or_else(|| StoreError::Corrupt(format!("the presence of {tenant} lacks event {seq}")))?;
            Ok(PresenceEvent { seq, user, state, at_ms, epoch })
        };
        let events = seqs.take(limit.min(MAX_EVENTS)).map(event).collect::<Found<_>>()?;
        Ok(EventPage { first_kept, tip: head.tip, events })
    }

    pub(in crate::embedded) fn standing(&self, tenant: &str, user: &str) -> Found<Option<Standing>> {
        self.row(&keys::standing(tenant, user)?)
    }

    pub(in crate::embedded) fn present(&self, after: Option<&UserName>, rows: usize) -> Found<PresentPage> {
        let (first, last) = keys::standings_after(after)?;
        let mut page = PresentPage::default();
        let mut looked = self.range(&first, &last);
        for pair in looked.by_ref().take(rows) {
            let (key, value) = pair?;
            let name = keys::user_name(&key)
                .ok_or_else(|| StoreError::Corrupt(format!("the key {}", key.escape_ascii())))?;
            let standing: Standing = decode(&key, &value)?;
            page.next = Some(name.clone());
            if standing.state != PresenceState::Offline {
                page.users.push((name, standing));
            }
        }
        if looked.next().is_none() {
            page.next = None;
        }
        Ok(page)
    }

    pub(in crate::embedded) fn last_beat(&self, node: u64) -> Found<Option<i64>> {
        Ok(self.row::<u64>(&keys::beat(node))?.map(u64::cast_signed))
    }
}
