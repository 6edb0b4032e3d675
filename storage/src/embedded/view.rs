//! Reads, each from one consistent picture of the store. They may wait for the disk: see `reads`.

mod inventory;
mod presence;

use std::collections::VecDeque;
use std::ops::Bound;

use bytes::Bytes;
use fjall::{Snapshot, UserKey, UserValue};
use idgen::{DeviceId, DeviceType, Stamp, WorkerNumber};
use protocol::limit::DEDUPE_WINDOW;
use protocol::v1::ConversationInfo;

use super::engine::{Engine, broken, decode};
use super::group::to_device;
use super::keys::{self, Key};
use super::rows::{Head, Moved, Row, Silent};
use crate::directory::{DeviceKey, Membership, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Fate, ReadRange, SenderSlot, StoredEntry};
use crate::member::{Cursors, MemberRow};

type Found<T> = Result<T, StoreError>;

/// The store as it was when the view was made: everything answered by then is in it.
pub(super) struct View {
    engine: Engine,
    seen: Snapshot,
}

impl View {
    pub(super) fn new(engine: Engine) -> Self {
        let seen = engine.snapshot();
        Self { engine, seen }
    }

    pub(super) fn head(&self, key: &ConversationKey) -> Found<Head> {
        Ok(self.row(&keys::head(key)?)?.unwrap_or_default())
    }

    pub(super) fn info(&self, key: &ConversationKey) -> Found<Option<ConversationInfo>> {
        self.row(&keys::info(key)?)
    }

    /// Every user who is or was a member.
    pub(super) fn members(&self, key: &ConversationKey) -> Found<Vec<MemberRow>> {
        self.members_after(key, "")?.collect()
    }

    /// Members by user id, after that of `after`.
    pub(super) fn members_after(
        &self,
        key: &ConversationKey,
        after: &str,
    ) -> Found<impl Iterator<Item = Found<MemberRow>> + use<>> {
        let prefix = keys::members(key)?;
        let bounds = (Bound::Excluded(keys::member(key, after)?), Bound::Excluded(keys::end(&prefix)));
        let rows = self.engine.range_in(&self.seen, &prefix, bounds);
        Ok(rows.map(move |row| {
            let (key, value) = row.into_inner().map_err(broken)?;
            let row: MemberRow = decode(&key, &value)?;
            Ok(MemberRow { user: last_text(&key, &prefix)?, ..row })
        }))
    }

    /// Slots of one device.
    pub(super) fn senders(&self, key: &ConversationKey, device: u64) -> Found<Vec<SenderSlot>> {
        let prefix = keys::senders(key, device)?;
        let slots = self.prefix(&prefix).take(DEDUPE_WINDOW).map(|pair| {
            let (key, value) = pair?;
            let slot = *key.last().ok_or_else(|| StoreError::Corrupt("a row without a key".into()))?;
            let (client_msg_id, seq) = decode(&key, &value)?;
            Ok(SenderSlot { slot, client_msg_id, seq })
        });
        slots.collect()
    }

    /// Entries of a range, ascending; a hole is an error.
    pub(super) fn entries(&self, key: &ConversationKey, range: ReadRange) -> Found<Vec<StoredEntry>> {
        let head = self.head(key)?;
        let (first, last) = (range.first.max(1), range.last.min(head.tip));
        if first > last {
            return Ok(Vec::new());
        }
        let rows = self.range(&keys::entry(key, first)?, &keys::entry(key, last)?);
        let entries = if range.backwards {
            fill(key, rows.rev(), (first..=last).rev(), range)
        } else {
            fill(key, rows, first..=last, range)
        };
        let mut entries = entries?;
        if range.backwards {
            entries.make_contiguous().reverse();
        }
        if head.silent > 0 {
            self.fates(key, entries.make_contiguous())?;
        }
        Ok(entries.into())
    }

    /// Notes what later entries have made of these, which are one after the other.
    fn fates(&self, key: &ConversationKey, entries: &mut [StoredEntry]) -> Found<()> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (first, last) = (first.seq, last.seq);
        for pair in self.range(&keys::fate(key, first)?, &keys::fate(key, last)?) {
            let (row, value) = pair?;
            if let Some(entry) = at(entries, first, &row) {
                entry.fate = decode(&row, &value)?;
            }
        }
        for pair in self.range(&keys::silent(key, first)?, &keys::silent(key, last)?) {
            let (row, value) = pair?;
            let silent: Silent = decode(&row, &value)?;
            if silent.edits > 0
                && let Some(entry) = at(entries, first, &row)
            {
                let edited: Fate = self.row(&keys::fate(key, silent.edits)?)?.unwrap_or_default();
                entry.fate.recalled = edited.recalled;
            }
        }
        Ok(())
    }

    /// The last entry up to `seq` that is not shown.
    fn silent(&self, key: &ConversationKey, seq: u64) -> Found<Option<(u64, Silent)>> {
        let last = self.range(&keys::silent(key, 0)?, &keys::silent(key, seq)?).next_back().transpose()?;
        last.map(|(row, value)| Ok((keys::entry_seq(&row).unwrap_or(0), decode(&row, &value)?))).transpose()
    }

    pub(super) fn cursors(&self, key: &ConversationKey, user: &str) -> Found<Cursors> {
        let stored: Moved = self.row(&keys::cursors(key, user)?)?.unwrap_or_default();
        let sent = self.row(&keys::sent(key, user)?)?.unwrap_or_default();
        Ok(stored.cursors.max(Cursors { sent, ..Cursors::default() }))
    }

    pub(super) fn membership(&self, key: &ConversationKey, user: &str) -> Found<Option<Membership>> {
        Ok(self.membership_and_head(key, user)?.map(|(membership, _)| membership))
    }

    pub(super) fn membership_and_head(
        &self,
        key: &ConversationKey,
        user: &str,
    ) -> Found<Option<(Membership, Head)>> {
        let Some(member) = self.row::<MemberRow>(&keys::member(key, user)?)? else { return Ok(None) };
        let (head, cursors) = (self.head(key)?, self.cursors(key, user)?);
        let (shown, silent) = self.counts(key, &head, &member, cursors)?;
        let membership = Membership {
            conversation: key.conversation.to_string(),
            info: self.info(key)?.unwrap_or_default(),
            member: MemberRow { user: user.to_owned(), ..member },
            cursors,
            tip: head.tip,
            tip_at_ms: head.tip_at_ms,
            shown,
            silent,
        };
        Ok(Some((membership, head)))
    }

    /// The last shown entry that the member may see, and how many unread ones are not shown. Two short looks, and
    /// none where everything is shown.
    fn counts(
        &self,
        key: &ConversationKey,
        head: &Head,
        member: &MemberRow,
        cursors: Cursors,
    ) -> Found<(u64, u64)> {
        let tip = member.visible_tip(head.tip);
        if head.silent == 0 {
            return Ok((tip, 0));
        }
        let Some((last, upto_tip)) = self.silent(key, tip)? else { return Ok((tip, 0)) };
        let shown = if last == tip { upto_tip.shown } else { tip };
        let seen = tip - member.cursors_since_joining(cursors).unread(tip);
        let upto_seen = if last > seen {
            self.silent(key, seen)?.map_or(0, |(_, row)| row.count)
        } else {
            upto_tip.count
        };
        Ok((shown, upto_tip.count - upto_seen))
    }

    /// All of a user's, most recently active first.
    pub(super) fn memberships(&self, tenant: &str, user: &str) -> Found<Vec<Membership>> {
        let prefix = keys::memberships(tenant, user)?;
        let mut found = Vec::new();
        for pair in self.prefix(&prefix) {
            let conversation = last_text(&pair?.0, &prefix)?;
            let missing = || StoreError::Corrupt(format!("the member row of {conversation} is missing"));
            let key = ConversationKey::new(tenant, conversation.as_str());
            found.push(self.membership(&key, user)?.ok_or_else(missing)?);
        }
        found.sort_by(|a, b| b.tip_at_ms.cmp(&a.tip_at_ms).then_with(|| a.conversation.cmp(&b.conversation)));
        Ok(found)
    }

    pub(super) fn device(&self, key: &DeviceKey) -> Found<Option<DeviceId>> {
        self.row(&keys::device(key)?)?.map(to_device).transpose()
    }

    /// The latest id of a worker: ids of one worker and device type lie together, in the order of their stamps.
    pub(super) fn last_device(&self, worker: WorkerNumber) -> Found<Option<DeviceId>> {
        let no_stamp = Stamp::new(0, 0).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let mut latest: Option<DeviceId> = None;
        for device_type in [DeviceType::DEFAULT, DeviceType::WEB, DeviceType::MOBILE, DeviceType::DESKTOP] {
            let id = |stamp| keys::device_id(DeviceId::new(worker, device_type, stamp));
            if let Some(pair) = self.range(&id(no_stamp), &id(Stamp::MAX)).next_back() {
                let id = to_device(keys::entry_seq(&pair?.0).unwrap_or(u64::MAX))?;
                latest = latest.into_iter().chain([id]).max_by_key(|id| id.stamp());
            }
        }
        Ok(latest)
    }

    pub(super) fn user(&self, tenant: &str, user: &str) -> Found<Option<UserInfo>> {
        self.row(&keys::user(tenant, user)?)
    }

    pub(super) fn row<R: Row>(&self, key: &[u8]) -> Found<Option<R>> {
        self.engine.row_in(&self.seen, key)
    }

    fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Found<(UserKey, UserValue)>> + use<> {
        let rows = self.engine.prefix_in(&self.seen, prefix);
        rows.map(|row| row.into_inner().map_err(broken))
    }

    /// The rows of a list within bounds.
    pub(super) fn bounded(
        &self,
        list: &[u8],
        bounds: (Bound<Key>, Bound<Key>),
    ) -> impl DoubleEndedIterator<Item = Found<(UserKey, UserValue)>> + use<> {
        self.engine.range_in(&self.seen, list, bounds).map(|row| row.into_inner().map_err(broken))
    }

    fn range(
        &self,
        first: &[u8],
        last: &[u8],
    ) -> impl DoubleEndedIterator<Item = Found<(UserKey, UserValue)>> + use<> {
        let rows = self.engine.range_in(&self.seen, first, first..=last);
        rows.map(|row| row.into_inner().map_err(broken))
    }
}

/// Takes rows up to the limits and holds each against the seq that must be there.
fn fill(
    key: &ConversationKey,
    mut rows: impl Iterator<Item = Found<(UserKey, UserValue)>>,
    seqs: impl Iterator<Item = u64>,
    limits: ReadRange,
) -> Found<VecDeque<StoredEntry>> {
    let mut entries = VecDeque::new();
    let mut bytes = 0;
    for seq in seqs.take(limits.max_entries) {
        let row = rows.next().transpose()?.filter(|(row, _)| keys::entry_seq(row) == Some(seq));
        let (_, payload) = row.ok_or_else(|| StoreError::Corrupt(format!("{key} lacks entry {seq}")))?;
        bytes += payload.len();
        if bytes > limits.max_bytes && !entries.is_empty() {
            break;
        }
        // Shares the engine's block: callers encode it into an answer and let it go.
        entries.push_back(StoredEntry { seq, payload: Bytes::from_owner(payload), fate: Fate::default() });
    }
    Ok(entries)
}

/// The entry whose seq stands at the end of a key.
fn at<'a>(entries: &'a mut [StoredEntry], first: u64, row: &[u8]) -> Option<&'a mut StoredEntry> {
    let place = keys::entry_seq(row)?.checked_sub(first)?;
    entries.get_mut(usize::try_from(place).ok()?)
}

fn last_text(key: &[u8], prefix: &[u8]) -> Found<String> {
    let text = keys::last_text(key, prefix);
    text.map(str::to_owned).ok_or_else(|| StoreError::Corrupt(format!("the key {}", key.escape_ascii())))
}
