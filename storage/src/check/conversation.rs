//! One conversation: what is read, in which order.

use std::time::Duration;

use protocol::Proto;
use protocol::v1::Message;

use super::Scope;
use super::changes::{Changes, Known};
use super::entries::{Entries, Part};
use super::finding::Fault;
use super::people::People;
use super::report::Report;
use super::senders::{Senders, Share};
use crate::Store;
use crate::error::StoreError;
use crate::inventory::MAX_ROWS;
use crate::key::ConversationKey;
use crate::log::{EntryKind, StoredEntry, is_gone};

/// Users whose lists are looked at in one go.
const USERS_AT_ONCE: usize = 100;
/// How often a list is looked at before what is not in it is missing: an append may be putting it there.
const LOOKS: usize = 3;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

type Done<T = ()> = Result<T, StoreError>;

/// Checks one conversation within the range of `scope`.
pub(super) async fn check(
    store: &dyn Store,
    key: &ConversationKey,
    scope: &Scope,
    report: &mut Report<'_, '_>,
) -> Done {
    report.begin(key);
    let mut check = Check { store, key, scope, report, all_read: true, ends: true };
    check.run().await?;
    report.end();
    Ok(())
}

struct Check<'a, 'r, 't, 'n> {
    store: &'a dyn Store,
    key: &'a ConversationKey,
    scope: &'a Scope,
    report: &'r mut Report<'t, 'n>,
    /// Every entry so far could be read.
    all_read: bool,
    /// The log ends where it says.
    ends: bool,
}

/// What is held against the entries.
struct Trackers<'a> {
    senders: Senders,
    changes: Changes,
    /// With the first share only.
    people: Option<&'a mut People>,
}

impl Trackers<'_> {
    fn unreadable(&mut self, seq: u64) {
        self.senders.unreadable(seq);
        self.changes.unreadable(seq);
    }
}

impl Check<'_, '_, '_, '_> {
    async fn run(&mut self) -> Done {
        let mut people = self.people().await?;
        let Some(tip) = self.report.readable("the end of the log", self.store.tip(self.key).await)? else {
            return Ok(());
        };
        people.rows(tip).for_each(|fault| self.report.found(fault));
        let (first, last) = (self.scope.first.max(1), self.scope.last.min(tip));
        let of = last.saturating_add(1).saturating_sub(first).div_ceil(self.report.tracked).max(1);
        for number in 0..of {
            self.share(Share { number, of }, first, last, &mut people).await?;
            if !self.ends {
                break;
            }
        }
        if self.scope.is_whole() {
            if self.all_read {
                self.doubts(&people).await?;
            }
            self.lists(people.active()).await?;
        }
        let rows = self.store.inventory().contradictions(self.key, first).await;
        let rows = self.report.readable("a row of the log", rows)?.unwrap_or_default();
        rows.into_iter().for_each(|why| self.report.found(Fault::Rows { why }));
        Ok(())
    }

    async fn people(&mut self) -> Done<People> {
        let mut people = People::default();
        let mut after = None;
        while let Some(page) = self
            .report
            .page("the list of members", self.store.inventory().seats(self.key, after, MAX_ROWS).await)?
        {
            for seat in page.rows {
                let mut membership = None;
                if seat.member.is_some() {
                    let read = self.store.member(self.key, &seat.user).await;
                    membership = self.report.readable("a membership", read)?.flatten();
                }
                people.add(seat, membership);
            }
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        people.ready();
        Ok(people)
    }

    /// Reads all entries of the range and tracks one share of them.
    async fn share(&mut self, share: Share, first: u64, last: u64, people: &mut People) -> Done {
        let is_first = share.number == 0;
        let senders = self.slots(share).await?;
        let people = is_first.then_some(people);
        let mut trackers = Trackers { senders, changes: Changes::new(share), people };
        let mut entries = Entries::new(self.store, self.key, first, last);
        while let Some(part) = entries.part().await? {
            let seqs = part.seqs;
            let faults = self.part(part, &mut trackers);
            faults.into_iter().for_each(|fault| self.report.found(fault));
            if is_first {
                self.report.entries(seqs);
            }
        }
        trackers.senders.unmatched(first, last).for_each(|fault| self.report.found(fault));
        let tip = self.store.tip(self.key).await?;
        self.tail(last, tip, &mut trackers).await?;
        let whole = self.scope.is_whole() && self.all_read;
        trackers.changes.faults(Known { first, whole }).for_each(|fault| self.report.found(fault));
        if whole {
            self.forgotten(&trackers.senders).await?;
        }
        Ok(())
    }

    async fn slots(&mut self, share: Share) -> Done<Senders> {
        let mut senders = Senders::new(share);
        let (mut faults, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.inventory().senders(self.key, after, MAX_ROWS).await;
            // What cannot be read was found with the first share.
            let page =
                if share.number == 0 { self.report.page("the list of slots", page)? } else { page.ok() };
            let Some(page) = page else { break };
            page.rows.into_iter().for_each(|(device, slot)| senders.slot(device, slot, &mut faults));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        faults.into_iter().for_each(|fault| self.report.found(fault));
        Ok(senders)
    }

    fn part(&mut self, part: Part, trackers: &mut Trackers<'_>) -> Vec<Fault> {
        let (mut own, mut faults) = (Vec::new(), Vec::new());
        for (seq, fault) in part.faults {
            self.all_read = false;
            self.ends &= !matches!(fault, Fault::Rest { .. });
            trackers.unreadable(seq);
            own.push(fault);
        }
        for entry in &part.entries {
            self.entry(entry, trackers, &mut own, &mut faults);
        }
        // The entries for themselves are judged once.
        if trackers.people.is_some() {
            own.append(&mut faults);
            return own;
        }
        faults
    }

    fn entry(
        &mut self,
        entry: &StoredEntry,
        trackers: &mut Trackers<'_>,
        own: &mut Vec<Fault>,
        faults: &mut Vec<Fault>,
    ) {
        let seq = entry.seq;
        let message = match Message::decode(&entry.payload[..]) {
            Ok(message) => message,
            Err(error) => {
                own.push(Fault::Undecodable { seq, why: error.to_string() });
                trackers.unreadable(seq);
                self.all_read = false;
                return;
            }
        };
        if message.seq != seq {
            own.push(Fault::Seq { seq, says: message.seq });
        }
        if is_gone(&message) {
            // What it was is forgotten, and with it what could be held against it.
            trackers.unreadable(seq);
            self.all_read = false;
            return;
        }
        let kind = EntryKind::of(&message);
        trackers.senders.entry(seq, &message, faults);
        trackers.changes.entry(seq, kind, entry.fate, faults);
        if let Some(people) = &mut trackers.people {
            people.entry(seq, &message, kind);
        }
    }

    /// What was appended meanwhile may have changed entries before it was read, and taken slots.
    async fn tail(&mut self, last: u64, tip: u64, trackers: &mut Trackers<'_>) -> Done {
        if !self.scope.is_whole() {
            return Ok(());
        }
        let mut entries = Entries::new(self.store, self.key, last.saturating_add(1), tip);
        while tip > last
            && let Some(part) = entries.part().await?
        {
            for entry in part.entries {
                if let Ok(message) = Message::decode(entry.payload) {
                    trackers.changes.later(entry.seq, EntryKind::of(&message));
                }
            }
        }
        for (device, slot) in trackers.senders.later(tip) {
            let why = "the log ends before it";
            self.report.found(Fault::Slot { device, slot: slot.slot, seq: slot.seq, why });
        }
        Ok(())
    }

    async fn forgotten(&mut self, senders: &Senders) -> Done {
        for (device, seq) in senders.forgotten() {
            let read = self.store.sender(self.key, device).await;
            let Some(slots) = self.report.readable("slots", read)? else { continue };
            if slots.iter().all(|slot| slot.seq < seq) {
                self.report.found(Fault::Forgotten { device, seq });
            }
        }
        Ok(())
    }

    async fn doubts(&mut self, people: &People) -> Done {
        for doubt in people.doubts() {
            let read = self.store.member(self.key, &doubt.user).await;
            if self.report.readable("a membership", read)?.is_some_and(|now| now == doubt.read) {
                doubt.faults.into_iter().for_each(|fault| self.report.found(fault));
            }
        }
        Ok(())
    }

    async fn lists(&mut self, active: Vec<String>) -> Done {
        for users in active.chunks(USERS_AT_ONCE) {
            let mut missing = users.to_vec();
            for look in 0..LOOKS {
                if look > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                let read = self.store.inventory().unlisted(self.key, &missing).await;
                missing = self.report.readable("a list of conversations", read)?.unwrap_or_default();
                if missing.is_empty() {
                    break;
                }
            }
            missing.into_iter().for_each(|user| self.report.found(Fault::Unlisted { user }));
        }
        Ok(())
    }
}
