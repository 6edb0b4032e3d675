//! Edits and recalls, and what they have made of the entries that they name. Pure.

use std::collections::HashMap;

use super::finding::Fault;
use super::senders::Share;
use crate::log::{EntryKind, Fate};

/// The entries of one share that are changed, or say that they are.
pub(super) struct Changes {
    share: Share,
    targets: HashMap<u64, Target>,
}

#[derive(Default)]
struct Target {
    /// What its row says.
    fate: Fate,
    /// Its latest edit among the entries.
    edited: u64,
    /// Its recall.
    recalled: u64,
    /// It cannot be read.
    lost: bool,
    /// An edit of it whose fate says that it is recalled, and one whose fate says that it is not.
    edit_recalled: Option<u64>,
    edit_kept: Option<u64>,
}

/// What is known of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) first: u64,
    /// Every entry there is was seen.
    pub(super) whole: bool,
}

impl Changes {
    pub(super) fn new(share: Share) -> Changes {
        Changes { share, targets: HashMap::new() }
    }

    pub(super) fn entry(&mut self, seq: u64, kind: EntryKind, fate: Fate, faults: &mut Vec<Fault>) {
        match kind {
            EntryKind::Edit(target) | EntryKind::Recall(target) if target == 0 || target >= seq => {
                if self.share.has(&target.to_be_bytes()) {
                    faults.push(Fault::Relation { seq, target });
                }
            }
            EntryKind::Edit(target) => {
                let Some(target) = self.target(target) else { return };
                target.edited = seq;
                let edit = if fate.recalled { &mut target.edit_recalled } else { &mut target.edit_kept };
                edit.get_or_insert(seq);
            }
            EntryKind::Recall(target) => {
                if let Some(target) = self.target(target) {
                    target.recalled = seq;
                }
                self.told(seq, fate);
            }
            EntryKind::Shown | EntryKind::Silent => self.told(seq, fate),
        }
    }

    /// An entry that cannot be read: nothing is said of what became of it.
    pub(super) fn unreadable(&mut self, seq: u64) {
        if let Some(target) = self.target(seq) {
            target.lost = true;
        }
    }

    /// An entry that was appended while the others were read.
    pub(super) fn later(&mut self, seq: u64, kind: EntryKind) {
        match kind {
            EntryKind::Edit(target) => {
                // Only where the row says so already.
                if let Some(target) = self.targets.get_mut(&target).filter(|target| target.fate.edited == seq)
                {
                    target.edited = seq;
                }
            }
            EntryKind::Recall(target) => {
                if let Some(target) = self.targets.get_mut(&target)
                    && (target.fate.recalled || target.edit_recalled.is_some())
                {
                    // Some were read before the recall and some after.
                    (target.recalled, target.fate.recalled, target.edit_kept) = (seq, true, None);
                }
            }
            EntryKind::Shown | EntryKind::Silent => {}
        }
    }

    pub(super) fn faults(&self, known: Known) -> impl Iterator<Item = Fault> {
        let mut seqs: Vec<_> = self.targets.iter().collect();
        seqs.sort_unstable_by_key(|(seq, _)| **seq);
        seqs.into_iter().flat_map(move |(seq, target)| target.faults(*seq, known))
    }

    fn told(&mut self, seq: u64, fate: Fate) {
        if fate != Fate::default()
            && let Some(target) = self.target(seq)
        {
            target.fate = fate;
        }
    }

    fn target(&mut self, seq: u64) -> Option<&mut Target> {
        self.share.has(&seq.to_be_bytes()).then(|| self.targets.entry(seq).or_default())
    }
}

impl Target {
    fn faults(&self, seq: u64, known: Known) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |seq, why: String| faults.push(Fault::Fate { seq, why });
        if seq >= known.first && !self.lost {
            self.own(seq, known, &mut fault);
        }
        match (self.recalled, self.edit_recalled, self.edit_kept) {
            (0, Some(edit), _) if known.whole => {
                fault(edit, format!("is kept back as an edit of {seq}, which nobody recalled"));
            }
            (recall @ 1.., _, Some(edit)) => {
                fault(edit, format!("is served though {recall} recalled {seq}, which it edits"));
            }
            _ => {}
        }
        faults
    }

    fn own(&self, seq: u64, known: Known, fault: &mut impl FnMut(u64, String)) {
        match (self.recalled, self.fate.recalled) {
            (0, true) if known.whole => fault(seq, "is kept back though nobody recalled it".into()),
            (recall @ 1.., false) => fault(seq, format!("is served though {recall} recalled it")),
            // What is recalled is not edited any more.
            (0, false) if self.fate.edited != self.edited => {
                let told = self.fate.edited;
                if told < self.edited || known.whole {
                    fault(seq, format!("names {told} as its latest edit; it is {}", self.edited));
                }
            }
            _ => {}
        }
    }
}
