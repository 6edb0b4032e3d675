//! Edits and recalls: who may make them, and what is served and shown of what they change.

use std::collections::{BTreeSet, HashMap};

use super::rights::Rights;
use super::{Violation, expect};
use crate::support::history::{Device, Entry, Event, History, Meaning, Op, Outcome};

/// Invariant 8, for recalls: what is begun after a recall was acknowledged, or seen by anybody, serves the content
/// neither of the recalled message nor of its edits; nothing else loses its content. The last message of a list is the
/// last that is shown, as its latest edit has it.
pub fn recalled_content_is_gone(history: &History) -> Vec<Violation> {
    const RULE: &str = "recalled is gone";
    let (mut found, mut begun) = (Vec::new(), Begun::default());
    let (logs, rights) = (Logs::of(history), Rights::of(history));
    for (at, event) in history.events.iter().enumerate() {
        begun.note(at, event, &logs);
        let fault = match event {
            Event::Serves { op, conversation, entries } => entries.iter().find_map(|(seq, bare)| {
                logs.content_fault(conversation, *seq, *bare, |of| begun.is_gone(*op, conversation, of))
            }),
            Event::ReadEnded { op, result } => begun.conversation(*op).and_then(|conversation| {
                let gone = |of| begun.is_gone(*op, conversation, of);
                let mut entries = result.entries.iter();
                entries.find_map(|entry| logs.content_fault(conversation, entry.seq, entry.recalled, gone))
            }),
            Event::Lists { op, user, conversation, tip, last, edited } => {
                let shown = logs.last_shown(conversation, *tip);
                let shown = shown.filter(|seq| rights.may_see(conversation, user, *seq));
                let gone = |of| begun.is_gone(*op, conversation, of);
                logs.last_fault(conversation, *tip, shown, last.as_ref().map(|last| (last, *edited)), gone)
            }
            _ => None,
        };
        expect(&mut found, RULE, fault.is_none(), || fault.unwrap_or_default());
    }
    found
}

/// Invariant 9, for who writes: a writer is a member then; only the author edits; nothing changes what is no message
/// or was recalled.
pub fn writers_may_write(history: &History) -> Vec<Violation> {
    const RULE: &str = "entitled by the log";
    let (mut found, users) = (Vec::new(), users(history));
    let (logs, rights) = (Logs::of(history), Rights::of(history));
    for event in &history.events {
        let Event::FinalMembers { conversation, .. } = event else { continue };
        let mut recalled = BTreeSet::new();
        for entry in logs.log(conversation).iter().filter(|entry| !entry.change) {
            let name = || format!("{conversation} #{} {:?}", entry.seq, entry.meaning);
            let Some(user) = users.get(&entry.device) else { continue };
            let member = rights.was_member(conversation, user, entry.seq);
            expect(&mut found, RULE, member, || format!("{}: {user} is no member", name()));
            let (Meaning::Edit(of) | Meaning::Recall(of)) = entry.meaning else { continue };
            let target = logs.entry(conversation, of).filter(|target| target.seq < entry.seq);
            let message = target.filter(|target| {
                matches!(target.meaning, Meaning::Shown | Meaning::Hidden) && !target.change
            });
            expect(&mut found, RULE, message.is_some(), || format!("{}: that is no message", name()));
            let author = target.and_then(|target| users.get(&target.device));
            let own = author.is_none_or(|author| author == user);
            let may = own || matches!(entry.meaning, Meaning::Recall(_));
            expect(&mut found, RULE, may, || format!("{}: {user} did not write it", name()));
            let first = !recalled.contains(&of);
            expect(&mut found, RULE, first, || format!("{}: it was recalled before", name()));
            if matches!(entry.meaning, Meaning::Recall(_)) {
                recalled.insert(of);
            }
        }
    }
    found
}

/// Invariant 6, for what people see: a device that has seen everything shows what the whole log shows.
pub fn devices_show_the_same(history: &History) -> Vec<Violation> {
    const RULE: &str = "shows what the log shows";
    let (mut found, logs, rights) = (Vec::new(), Logs::of(history), Rights::of(history));
    let mut seen: HashMap<(Device, &str), BTreeSet<u64>> = HashMap::new();
    for event in &history.events {
        if let Event::Saw { device, conversation, entry } = event {
            seen.entry((*device, conversation)).or_default().insert(entry.seq);
        }
    }
    for event in &history.events {
        let Event::Rendered { device, user, conversation, rows } = event else { continue };
        let log = logs.log(conversation).iter();
        let visible: Vec<&Entry> =
            log.filter(|entry| rights.may_see(conversation, user, entry.seq)).collect();
        let seen = seen.get(&(*device, conversation.as_str()));
        if !visible.iter().all(|entry| seen.is_some_and(|seen| seen.contains(&entry.seq))) {
            // It went on from where it was when its user came back, or another rule says what is missing.
            continue;
        }
        let shown: Vec<u64> = rows.iter().map(|(seq, _)| *seq).collect();
        let expected = visible.iter().filter(|entry| entry.meaning == Meaning::Shown);
        let expected: Vec<u64> = expected.map(|entry| entry.seq).collect();
        let name = || format!("device {device:x} of {user} in {conversation}");
        expect(&mut found, RULE, shown == expected, || {
            format!("{} shows {shown:?}, the log {expected:?}", name())
        });
        for (seq, body) in rows {
            let right = logs.shows(conversation, *seq, &visible, body.as_deref());
            expect(&mut found, RULE, right, || format!("{} shows #{seq} not as the log has it", name()));
        }
    }
    found
}

/// What had happened when a read began.
#[derive(Default)]
struct Begun<'a> {
    sent: HashMap<Op, &'a str>,
    /// When it began, and of which conversation where that was said.
    asked: HashMap<Op, (usize, Option<&'a str>)>,
    /// Since when a message is known to be recalled.
    gone: HashMap<(&'a str, u64), usize>,
}

impl<'a> Begun<'a> {
    fn note(&mut self, at: usize, event: &'a Event, logs: &Logs<'_>) {
        let (conversation, meaning) = match event {
            Event::SendInvoked { op, conversation, .. } => {
                self.sent.insert(*op, conversation);
                return;
            }
            Event::Asks { op, .. } => {
                self.asked.insert(*op, (at, None));
                return;
            }
            Event::ReadInvoked { op, conversation, .. } => {
                self.asked.insert(*op, (at, Some(conversation)));
                return;
            }
            Event::SendEnded { op, outcome: Outcome::Acked { seq, .. } } => {
                let Some(conversation) = self.sent.get(op).copied() else { return };
                (conversation, logs.entry(conversation, *seq).map(|entry| entry.meaning))
            }
            Event::Saw { conversation, entry, .. } => (conversation.as_str(), Some(entry.meaning)),
            _ => return,
        };
        if let Some(Meaning::Recall(of)) = meaning {
            self.gone.entry((conversation, of)).or_insert(at);
        }
    }

    fn conversation(&self, op: Op) -> Option<&'a str> {
        self.asked.get(&op)?.1
    }

    /// Whether the message was known to be recalled when the read began.
    fn is_gone(&self, op: Op, conversation: &str, of: u64) -> bool {
        let (gone, asked) = (self.gone.get(&(conversation, of)), self.asked.get(&op));
        gone.zip(asked).is_some_and(|(gone, (asked, _))| gone < asked)
    }
}

/// The logs at the end.
struct Logs<'a> {
    logs: HashMap<&'a str, &'a [Entry]>,
    /// Conversation and seq of a message → seq of its recall.
    recalls: HashMap<(&'a str, u64), u64>,
}

impl<'a> Logs<'a> {
    fn of(history: &'a History) -> Logs<'a> {
        let finals = history.events.iter().filter_map(|event| match event {
            Event::Final { conversation, entries } => Some((conversation.as_str(), entries.as_slice())),
            _ => None,
        });
        let logs: HashMap<_, _> = finals.collect();
        let mut recalls = HashMap::new();
        for (conversation, log) in &logs {
            for entry in *log {
                if let Meaning::Recall(of) = entry.meaning {
                    recalls.entry((*conversation, of)).or_insert(entry.seq);
                }
            }
        }
        Logs { logs, recalls }
    }

    fn log(&self, conversation: &str) -> &'a [Entry] {
        self.logs.get(conversation).copied().unwrap_or_default()
    }

    fn entry(&self, conversation: &str, seq: u64) -> Option<&'a Entry> {
        self.log(conversation).get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// The first recall of a message.
    fn recall(&self, conversation: &str, of: u64) -> Option<u64> {
        self.recalls.get(&(conversation, of)).copied()
    }

    fn last_shown(&self, conversation: &str, tip: u64) -> Option<u64> {
        let log = self.log(conversation).iter().rev();
        let mut shown = log.filter(|entry| entry.seq <= tip && entry.meaning == Meaning::Shown);
        shown.next().map(|entry| entry.seq)
    }

    /// What is wrong with an entry that was served with its content, or without.
    fn content_fault(
        &self,
        conversation: &str,
        seq: u64,
        bare: bool,
        gone: impl Fn(u64) -> bool,
    ) -> Option<String> {
        let of = match self.entry(conversation, seq)?.meaning {
            Meaning::Edit(of) => of,
            _ => seq,
        };
        let fault = match bare {
            true if self.recall(conversation, of).is_none() => {
                "comes without its content, and nobody recalled it"
            }
            false if gone(of) => "is served with its content by what began after the recall",
            _ => return None,
        };
        Some(format!("{conversation} #{seq} {fault}"))
    }

    /// What is wrong with the last message of a list; `last` comes with the edit that it shows.
    fn last_fault(
        &self,
        conversation: &str,
        tip: u64,
        shown: Option<u64>,
        last: Option<(&Entry, u64)>,
        gone: impl Fn(u64) -> bool,
    ) -> Option<String> {
        let name = format!("{conversation}, listed up to #{tip}");
        let told = last.map(|(last, _)| last.seq);
        if told != shown {
            return Some(format!("{name}: the last message is {told:?}, the log says {shown:?}"));
        }
        let (last, edited) = last?;
        if let fault @ Some(_) = self.content_fault(conversation, last.seq, last.recalled, gone) {
            return fault;
        }
        let recalled = self.recall(conversation, last.seq).is_some_and(|recall| recall <= tip);
        if last.recalled || recalled {
            let bare = last.recalled && last.body.is_empty();
            return (!bare).then(|| format!("{name}: #{} was recalled, and its content is there", last.seq));
        }
        let is_edit = |entry: &&Entry| entry.meaning == Meaning::Edit(last.seq);
        let log = self.log(conversation).iter();
        let latest = log.filter(is_edit).map(|entry| entry.seq).filter(|seq| *seq <= tip).max();
        if edited < latest.unwrap_or_default() {
            return Some(format!("{name}: #{} is shown as of #{edited}, not {latest:?}", last.seq));
        }
        let source = match edited {
            0 => self.entry(conversation, last.seq),
            edited => self.entry(conversation, edited).filter(is_edit),
        };
        let same = source.is_some_and(|source| source.body == last.body);
        (!same).then(|| format!("{name}: #{} has not the content of #{edited}", last.seq))
    }

    /// Whether an entry may be shown like this by a device that has seen these entries. Of a recall that its user may not
    /// see, it may know or not: what it reads again is bare.
    fn shows(&self, conversation: &str, seq: u64, visible: &[&Entry], body: Option<&[u8]>) -> bool {
        let Some(body) = body else { return self.recall(conversation, seq).is_some() };
        let recalled = visible.iter().any(|entry| entry.meaning == Meaning::Recall(seq));
        let mut edits = visible.iter().rev().filter(|entry| entry.meaning == Meaning::Edit(seq));
        let source = edits.next().copied().or(self.entry(conversation, seq));
        !recalled && source.is_some_and(|source| source.body == body)
    }
}

fn users(history: &History) -> HashMap<Device, &str> {
    let users = history.events.iter().filter_map(|event| match event {
        Event::Follows { device, user, .. } | Event::Reach { device, user, .. } => {
            Some((*device, user.as_str()))
        }
        _ => None,
    });
    users.collect()
}
