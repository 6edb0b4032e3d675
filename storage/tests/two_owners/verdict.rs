//! What the log must be, by what was tried and answered, and what must follow from it.

use std::collections::BTreeMap;

use whimbrel_storage::cql::{CqlStore, check};
use whimbrel_storage::directory::{Directory, Listing};
use whimbrel_storage::log::{Append, BatchId, EntryKind, Fate, Log, ReadRange, SenderSlot, StoredEntry};
use whimbrel_storage::member::{Cursors, MemberRow};

use crate::history::{Answer, History, Inner};
use crate::plan::{DEVICES, USERS, key};
use crate::planted::Planted;
use crate::schedule::config;

/// What follows from a log.
#[derive(Default)]
struct Model {
    /// Batches in order, with their bases.
    batches: Vec<(u64, Append)>,
    tip: u64,
    silent: Vec<u64>,
    fates: BTreeMap<u64, Fate>,
    edits: BTreeMap<u64, u64>,
    slots: BTreeMap<(u64, u8), SenderSlot>,
    sent: BTreeMap<String, u64>,
    members: BTreeMap<String, MemberRow>,
}

/// Holds everything stored against the history.
pub async fn of(store: &CqlStore<Planted>, history: &History) {
    let whole = ReadRange {
        first: 1,
        last: u64::MAX,
        backwards: false,
        max_entries: usize::MAX,
        max_bytes: usize::MAX,
    };
    let entries = match store.read(&key(), whole).await {
        Ok(entries) => entries,
        Err(error) => return history.violation(format!("the log cannot be read: {error}")),
    };
    history.saw(&entries);
    match history.with(|inner| model(inner, &entries)) {
        Ok(model) => {
            answers(&model, history);
            follows(store, history, &model, &entries).await;
        }
        Err(violation) => history.violation(violation),
    }
}

/// Finds the batches in the log: each whole, one behind the other.
fn model(inner: &mut Inner, entries: &[StoredEntry]) -> Result<Model, String> {
    let mut model = Model::default();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        if first.seq != model.tip + 1 {
            return Err(format!("entry {} stands behind {}", first.seq, model.tip));
        }
        let id: BatchId = first.payload[..16].try_into().unwrap();
        let tried = inner.tried.get(&id).ok_or_else(|| format!("nobody said entry {}", first.seq))?;
        let append = &tried.append;
        let (batch, behind) = rest
            .split_at_checked(append.entries.len())
            .ok_or_else(|| format!("batch at {} is cut", first.seq))?;
        let is_whole = batch.iter().map(|e| &e.payload).eq(append.entries.iter().map(|e| &e.payload));
        if !is_whole || append.expected_tip != model.tip {
            return Err(format!("the batch at {} is not what was tried", first.seq));
        }
        model.add(append.clone());
        rest = behind;
    }
    Ok(model)
}

impl Model {
    fn add(&mut self, append: Append) {
        let base = self.tip;
        for entry in &append.entries {
            self.tip += 1;
            let seq = self.tip;
            if entry.kind != EntryKind::Shown {
                self.silent.push(seq);
            }
            match entry.kind {
                EntryKind::Edit(target) => {
                    self.fates.entry(target).or_default().edited = seq;
                    self.edits.insert(seq, target);
                }
                EntryKind::Recall(target) => self.fates.entry(target).or_default().recalled = true,
                EntryKind::Shown | EntryKind::Silent => {}
            }
            if !entry.sender.is_empty() {
                self.sent.insert(entry.sender.clone(), seq);
            }
            if let Some(slot) = entry.slot {
                let stored = SenderSlot { slot: slot.slot, client_msg_id: slot.client_msg_id, seq };
                self.slots.insert((slot.device, slot.slot), stored);
            }
        }
        self.members.extend(append.members.iter().map(|row| (row.user.clone(), row.clone())));
        self.batches.push((base, append));
    }

    fn fate(&self, seq: u64) -> Fate {
        let fate = self.fates.get(&seq).copied().unwrap_or_default();
        let target = self.edits.get(&seq).and_then(|target| self.fates.get(target));
        let recalled = fate.recalled || target.is_some_and(|target| target.recalled);
        Fate { recalled, edited: if fate.recalled { 0 } else { fate.edited } }
    }

    /// The last shown entry up to `tip`, and how many behind `seen` are not shown.
    fn counts(&self, seen: u64, tip: u64) -> (u64, u64) {
        let shown = (1..=tip).rev().find(|seq| !self.silent.contains(seq)).unwrap_or(0);
        (shown, self.silent.iter().filter(|&&seq| seq > seen && seq <= tip).count() as u64)
    }
}

/// Nothing that was answered is false, and no epoch appended behind a later one's takeover.
fn answers(model: &Model, history: &History) {
    let stored: BTreeMap<BatchId, u64> =
        model.batches.iter().map(|(base, append)| (append.batch, *base)).collect();
    let mut violations = Vec::new();
    history.with(|inner| {
        for (id, tried) in &inner.tried {
            let base = tried.append.expected_tip;
            match (tried.answer, stored.get(id)) {
                (Answer::Applied, None) => violations.push(format!("what was applied at {base} is lost")),
                (Answer::Never, Some(_)) => violations.push(format!("what was refused at {base} is stored")),
                _ => {}
            }
        }
        for (epoch, (tip, last_batch)) in &inner.opened {
            let late = model.batches.iter().find(|(base, append)| {
                base >= tip && inner.tried.get(&append.batch).is_some_and(|tried| tried.epoch < *epoch)
            });
            if let Some((base, _)) = late {
                violations.push(format!("behind {base} somebody appended whom epoch {epoch} had fenced"));
            }
            let last = model.batches.iter().find(|(base, append)| base + append.entries.len() as u64 == *tip);
            if last.map_or([0; 16], |(_, append)| append.batch) != *last_batch {
                violations.push(format!("epoch {epoch} was told another last batch"));
            }
        }
    });
    violations.into_iter().for_each(|violation| history.violation(violation));
}

async fn follows(store: &CqlStore<Planted>, history: &History, model: &Model, entries: &[StoredEntry]) {
    if model.tip == 0 {
        return;
    }
    let hold = |so: bool, what: &str| history.hold(so, || format!("{what}, at tip {}", model.tip));
    hold(store.tip(&key()).await == Ok(model.tip), "the tip");
    for entry in entries {
        hold(entry.fate == model.fate(entry.seq), &format!("the fate of {}", entry.seq));
    }
    for device in DEVICES {
        let slots = model.slots.range((device, 0)..=(device, u8::MAX)).map(|(_, slot)| *slot);
        hold(store.sender(&key(), device).await == Ok(slots.collect()), "the slots of a device");
    }
    for user in USERS {
        seat(store, history, model, user).await;
    }
    match check::conversation(store.tables(), &config().format, &key(), 1, false).await {
        Ok(checked) => hold(checked.findings.is_empty(), &format!("a check finds {:?}", checked.findings)),
        Err(error) => hold(false, &format!("a check says {error}")),
    }
    let lasting: Vec<MemberRow> = model.members.values().filter(|row| row.is_active()).cloned().collect();
    hold(store.members(&key(), "", 99).await == Ok(lasting), "the members");
}

/// One user's row, cursors, counts and list.
async fn seat(store: &CqlStore<Planted>, history: &History, model: &Model, user: &str) {
    let hold = |so: bool, what: &str| history.hold(so, || format!("{what} of {user}, at tip {}", model.tip));
    let raised = history.with(|inner| inner.raised.get(user).copied().unwrap_or_default());
    let cursors = store.cursors(&key(), &[user.to_owned()]).await.unwrap()[0];
    hold(cursors.sent == model.sent.get(user).copied().unwrap_or(0), "the sent cursor");
    hold(cursors.max(raised.0) == cursors, "a raised cursor fell: that");
    let asked = raised.1.max(Cursors { sent: cursors.sent, ..raised.0 });
    hold(cursors.max(asked) == asked, "a cursor is higher than anyone asked: that");

    let stored = store.member(&key(), user).await.unwrap();
    let names = async |listing| {
        let (mut found, mut listing) = (Vec::new(), Some(listing));
        while let Some(part) = listing.take() {
            let listed = store.listed("tenant", user, part, 1).await.unwrap();
            found.extend(listed.rows.into_iter().map(|(_, row)| row));
            listing = listed.next.map(|before| Listing::Latest { before: Some(before) });
        }
        found
    };
    let listed = names(Listing::Latest { before: None }).await;
    let Some(row) = model.members.get(user) else {
        hold(stored.is_none() && listed.is_empty(), "a membership");
        return;
    };
    let Some(stored) = stored else { return hold(false, "no membership") };
    hold(stored.member == *row, "the row");
    let (_, last) = model.batches.last().unwrap();
    hold((stored.tip, stored.tip_at_ms) == (model.tip, last.at_ms), "the end");
    let tip = row.visible_tip(model.tip);
    let seen = tip - row.cursors_since_joining(cursors).unread(tip);
    hold((stored.shown, stored.silent) == model.counts(seen, tip), "what is shown and unread");
    let info = model.batches.iter().rev().find_map(|(_, append)| append.info.clone());
    hold(Some(&stored.info) == info.as_ref(), "the description");
    hold(listed == [stored], "the list");
}
