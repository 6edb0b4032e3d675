//! Members, cursors and counts, held against the entries. Pure.

use std::collections::HashMap;

use protocol::v1::Message;

use super::finding::Fault;
use crate::directory::Membership;
use crate::inventory::Seat;
use crate::log::EntryKind;
use crate::member::{Cursors, MAX_SPANS, Span};
use crate::roster::Roster;

/// Everybody a conversation has rows of.
#[derive(Default)]
pub(super) struct People {
    people: Vec<Person>,
    by_name: HashMap<String, usize>,
    roster: Roster,
    /// Seqs at which counts are wanted, the latest first, and whose.
    points: Vec<(u64, usize, Point)>,
    now: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    /// Up to here the user has seen everything.
    Seen,
    /// The user sees no further.
    Tip,
}

/// Of the entries up to a seq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    silent: u64,
    shown: u64,
}

struct Person {
    seat: Seat,
    /// Of one who is or was a member.
    membership: Option<Membership>,
    /// The user's latest message that is shown.
    latest: u64,
    seen: Counts,
    tip: Counts,
}

/// What seems to be wrong with one user; true if the user's membership is still as it was read.
#[derive(Debug, PartialEq)]
pub(super) struct Doubt {
    pub(super) user: String,
    pub(super) read: Option<Membership>,
    pub(super) faults: Vec<Fault>,
}

impl People {
    pub(super) fn add(&mut self, seat: Seat, membership: Option<Membership>) {
        let number = self.people.len();
        if let Some(membership) = &membership {
            let (seen, tip) = ends(membership);
            self.points.push((seen, number, Point::Seen));
            self.points.push((tip, number, Point::Tip));
        }
        self.by_name.insert(seat.user.clone(), number);
        let (seen, tip) = Default::default();
        self.people.push(Person { seat, membership, latest: 0, seen, tip });
    }

    /// Everybody is added.
    pub(super) fn ready(&mut self) {
        // Nothing is counted up to 0.
        self.points.retain(|(seq, ..)| *seq > 0);
        self.points.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// What is wrong with rows for themselves, in a log that ends at `tip`.
    pub(super) fn rows(&self, tip: u64) -> impl Iterator<Item = Fault> {
        self.people.iter().flat_map(move |person| {
            let row = person.seat.member.as_ref();
            let spans = row.and_then(|row| wrong_spans(&row.spans, tip));
            let user = person.seat.user.clone();
            let spans = spans.map(|why| Fault::Spans { user, why });
            spans.into_iter().chain(past_tip(&person.seat, tip))
        })
    }

    pub(super) fn entry(&mut self, seq: u64, message: &Message, kind: EntryKind) {
        if let Some(changed) = &message.members_changed {
            self.roster.apply(seq, changed).for_each(drop);
        }
        if kind == EntryKind::Shown {
            self.now.shown = seq;
            if let Some(&number) = self.by_name.get(&message.sender) {
                self.people[number].latest = seq;
            }
        } else {
            self.now.silent += 1;
        }
        while let Some((_, number, point)) = self.points.pop_if(|(at, ..)| *at <= seq) {
            let person = &mut self.people[number];
            match point {
                Point::Seen => person.seen = self.now,
                Point::Tip => person.tip = self.now,
            }
        }
    }

    /// What does not agree with the entries, all of which were seen.
    pub(super) fn doubts(&self) -> Vec<Doubt> {
        let unseated = self.roster.rows().filter(|row| !self.by_name.contains_key(&row.user)).map(|row| {
            let faults = vec![Fault::Member { user: row.user.clone() }];
            Doubt { user: row.user.clone(), read: None, faults }
        });
        let doubts = self.people.iter().filter_map(|person| {
            let faults = person.faults(&self.roster);
            let (user, read) = (person.seat.user.clone(), person.membership.clone());
            (!faults.is_empty()).then_some(Doubt { user, read, faults })
        });
        doubts.chain(unseated).collect()
    }

    /// Whose membership lasts.
    pub(super) fn active(&self) -> Vec<String> {
        let active = |person: &&Person| person.membership.as_ref().is_some_and(|m| m.member.is_active());
        self.people.iter().filter(active).map(|person| person.seat.user.clone()).collect()
    }
}

impl Person {
    fn faults(&self, roster: &Roster) -> Vec<Fault> {
        let user = || self.seat.user.clone();
        let mut faults = Vec::new();
        let Some(membership) = &self.membership else {
            if roster.get(&self.seat.user).is_some() {
                faults.push(Fault::Member { user: user() });
            }
            return faults;
        };
        if roster.get(&self.seat.user) != Some(&membership.member) {
            faults.push(Fault::Member { user: user() });
        }
        let sent = membership.cursors.sent;
        if sent != self.latest {
            faults.push(Fault::Sent { user: user(), latest: self.latest, sent });
        }
        let silent = self.tip.silent.saturating_sub(self.seen.silent);
        if membership.silent != silent {
            faults.push(Fault::Unread { user: user(), told: membership.silent, counted: silent });
        }
        if membership.shown != self.tip.shown {
            faults.push(Fault::Shown { user: user(), told: membership.shown, counted: self.tip.shown });
        }
        faults
    }
}

/// Where the counts of a membership begin and end.
fn ends(membership: &Membership) -> (u64, u64) {
    let tip = membership.member.visible_tip(membership.tip);
    let cursors = membership.member.cursors_since_joining(membership.cursors);
    (tip - cursors.unread(tip).min(tip), tip)
}

fn wrong_spans(spans: &[Span], tip: u64) -> Option<&'static str> {
    let apart = spans.windows(2).all(|pair| pair[0].to < pair[1].from);
    let within = |span: &Span| span.from <= tip && (span.to <= tip || span.to == u64::MAX);
    if spans.is_empty() {
        return Some("there are none");
    }
    if spans.len() > MAX_SPANS {
        return Some("there are too many");
    }
    if spans.iter().any(|span| span.from == 0 || span.from > span.to) {
        return Some("one has no beginning, or ends before it begins");
    }
    if !apart {
        return Some("they overlap, or one but the last is open");
    }
    (!spans.iter().all(within)).then_some("one lies past the tip")
}

fn past_tip(seat: &Seat, tip: u64) -> impl Iterator<Item = Fault> {
    let Cursors { read, delivered, sent } = seat.cursors;
    let user = seat.user.clone();
    let past = [("read", read), ("delivered", delivered), ("sent", sent)].into_iter();
    past.filter(move |(_, value)| *value > tip).map(move |(cursor, value)| Fault::Cursor {
        user: user.clone(),
        cursor,
        value,
        tip,
    })
}
