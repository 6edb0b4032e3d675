//! Who may see which seqs, as the log's joins and leaves say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Violation, expect};
use crate::support::history::{Event, History};

/// Invariant 9: nothing reaches a device that its user is not entitled to, and who is stored as a member is who the
/// log says is one.
pub fn members_are_what_the_log_says(history: &History) -> Vec<Violation> {
    const RULE: &str = "entitled by the log";
    let (mut found, rights, mut told) = (Vec::new(), Rights::of(history), HashSet::new());
    for event in &history.events {
        if let Event::Received { device, user, conversation, seq } = event
            && told.insert((device, conversation, seq))
        {
            expect(&mut found, RULE, rights.may_see(conversation, user, *seq), || {
                format!("{conversation} #{seq} came to device {device:x} of {user}, who may not see it")
            });
        }
    }
    let mut lasting: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in &history.events {
        if let Event::Entitled { conversation, user, to: u64::MAX, .. } = event {
            lasting.entry(conversation).or_default().insert(user);
        }
    }
    for event in &history.events {
        if let Event::FinalMembers { conversation, users } = event {
            let stored: BTreeSet<&str> = users.iter().map(String::as_str).collect();
            let logged = lasting.remove(conversation.as_str()).unwrap_or_default();
            expect(&mut found, RULE, stored == logged, || {
                format!("{conversation}: the log says {logged:?} are members, stored are {stored:?}")
            });
        }
    }
    found
}

/// Seqs `from..=to`.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Said while the user was a member.
    Member,
    /// Said before the user first joined, with history.
    Before,
    /// Given to a user who came back: a device that went on from where it was need not see it.
    Extra,
}

/// User and conversation → spans.
pub struct Rights<'a>(HashMap<(&'a str, &'a str), Vec<Span>>);

impl Rights<'_> {
    pub fn of(history: &History) -> Rights<'_> {
        let mut spans: HashMap<_, Vec<Span>> = HashMap::new();
        for event in &history.events {
            let (conversation, user, span) = match event {
                Event::Entitled { conversation, user, from, to } => {
                    (conversation, user, Span { from: *from, to: *to, kind: Kind::Member })
                }
                Event::Granted { conversation, user, from, to, owed } => {
                    let kind = if *owed { Kind::Before } else { Kind::Extra };
                    (conversation, user, Span { from: *from, to: *to, kind })
                }
                _ => continue,
            };
            spans.entry((conversation.as_str(), user.as_str())).or_default().push(span);
        }
        Rights(spans)
    }

    /// Nothing says that this user may not see it.
    pub fn may_see(&self, conversation: &str, user: &str, seq: u64) -> bool {
        self.is_in(conversation, user, seq, |_| true)
    }

    /// Every device of the user has to see it.
    pub fn is_owed(&self, conversation: &str, user: &str, seq: u64) -> bool {
        self.is_in(conversation, user, seq, |kind| kind != Kind::Extra)
    }

    /// The user was a member when it was committed.
    pub fn was_member(&self, conversation: &str, user: &str, seq: u64) -> bool {
        self.is_in(conversation, user, seq, |kind| kind == Kind::Member)
    }

    fn is_in(&self, conversation: &str, user: &str, seq: u64, which: impl Fn(Kind) -> bool) -> bool {
        let spans = self.0.get(&(conversation, user)).into_iter().flatten();
        let mut spans = spans.filter(|span| which(span.kind));
        spans.any(|span| span.from <= seq && seq <= span.to)
    }
}
