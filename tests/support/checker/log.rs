//! What the logs hold, against what senders were told.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Violation, expect};
use crate::support::history::{Device, Entry, Event, Hex, History, MsgId, Op, Outcome};

/// A message, as its sender names it.
type Key<'a> = (&'a str, Device, MsgId);

/// Invariant 1: what was acked is in the log at the end, under the seq of the ack and with the body sent.
pub fn acked_is_durable(history: &History) -> Vec<Violation> {
    const RULE: &str = "durable before ack";
    let (mut found, logs) = (Vec::new(), logs(history));
    for ((conversation, device, id), sends) in sends(history) {
        let Some(log) = logs.get(conversation) else { continue };
        for (seq, _) in sends.acks() {
            let name = || format!("{conversation} #{seq}, message {} of device {device:x}", Hex(&id));
            let entry = log.iter().find(|entry| entry.seq == seq);
            let same = entry.is_some_and(|e| (e.device, e.id) == (device, id) && e.body == sends.body);
            expect(&mut found, RULE, same, || match entry {
                None => format!("{}: acked, but the log has nothing there", name()),
                Some(e) => format!("{}: acked, but the log has message {} there", name(), Hex(&e.id)),
            });
        }
    }
    for event in &history.events {
        let Event::ChangeAcked { device, conversation, id, seq } = event else { continue };
        let entry = logs.get(conversation.as_str()).and_then(|log| log.iter().find(|e| e.seq == *seq));
        let same = entry.is_some_and(|e| e.change && (e.device, e.id) == (*device, *id));
        expect(&mut found, RULE, same, || {
            format!("{conversation} #{seq}: a change by device {device:x} was acked, but is not there")
        });
    }
    found
}

/// Invariant 2: the seqs of a log are 1..tip, each once, and everybody who saw a seq saw the same entry.
pub fn seqs_are_whole_and_immutable(history: &History) -> Vec<Violation> {
    const RULE: &str = "seqs 1..tip";
    let mut found = Vec::new();
    for (conversation, log) in logs(history) {
        for (at, entry) in log.iter().enumerate() {
            let (wanted, seq) = (at as u64 + 1, entry.seq);
            expect(&mut found, RULE, seq == wanted, || {
                format!("{conversation}: the log has #{seq} where #{wanted} belongs")
            });
        }
    }
    let mut known: HashMap<(&str, u64), &Entry> = HashMap::new();
    for (conversation, entry) in seen(history) {
        let first = known.entry((conversation, entry.seq)).or_insert(entry);
        expect(&mut found, RULE, is_same(first, entry), || {
            let (one, other) = (Hex(&first.id), Hex(&entry.id));
            format!("{conversation} #{}: seen as {one} and as {other}", entry.seq)
        });
        if first.recalled {
            *first = entry;
        }
    }
    found
}

/// The same entry, though it may have lost its content to a recall.
fn is_same(one: &Entry, other: &Entry) -> bool {
    let named = |e: &Entry| (e.device, e.id, e.change, e.meaning);
    let bare = |e: &Entry| e.recalled && e.body.is_empty();
    named(one) == named(other)
        && ((one.recalled, &one.body) == (other.recalled, &other.body) || bare(one) || bare(other))
}

/// Invariant 3: one (device, client_msg_id) has at most one seq, and at most one ack that is not a duplicate.
pub fn one_seq_per_message(history: &History) -> Vec<Violation> {
    const RULE: &str = "idempotent";
    let mut found = Vec::new();
    let mut seqs: BTreeMap<Key<'_>, HashSet<u64>> = BTreeMap::new();
    for (conversation, entry) in seen(history).filter(|(_, entry)| !entry.change) {
        seqs.entry((conversation, entry.device, entry.id)).or_default().insert(entry.seq);
    }
    for (key, sends) in sends(history) {
        seqs.entry(key).or_default().extend(sends.acks().map(|(seq, _)| seq));
        let firsts = sends.acks().filter(|(_, duplicate)| !duplicate).count();
        expect(&mut found, RULE, firsts <= 1, || {
            format!("{}: message {} was acked {firsts} times as new", key.0, Hex(&key.2))
        });
    }
    for ((conversation, device, id), seqs) in seqs {
        expect(&mut found, RULE, seqs.len() <= 1, || {
            format!("{conversation}: message {} of device {device:x} has seqs {seqs:?}", Hex(&id))
        });
    }
    found
}

/// Invariant 4: nothing appears that nobody sent, nor what was definitely refused whenever it was sent.
pub fn no_phantoms(history: &History) -> Vec<Violation> {
    const RULE: &str = "no phantom";
    let (mut found, sends, mut told) = (Vec::new(), sends(history), HashSet::new());
    for (conversation, entry) in seen(history).filter(|(_, entry)| !entry.change) {
        let key = (conversation, entry.device, entry.id);
        if !told.insert(key) {
            continue;
        }
        let name = || format!("{conversation} #{}: message {}", entry.seq, Hex(&entry.id));
        let Some(sends) = sends.get(&key) else {
            expect(&mut found, RULE, false, || format!("{} was never sent", name()));
            continue;
        };
        expect(&mut found, RULE, !sends.refused_for_good(), || format!("{} was refused", name()));
        let whole = entry.recalled || entry.body == sends.body;
        expect(&mut found, RULE, whole, || format!("{} has another body", name()));
    }
    found
}

/// Invariant 5: what one device sent to one conversation stands in the log in the order of first sending.
pub fn send_order_is_seq_order(history: &History) -> Vec<Violation> {
    const RULE: &str = "send order is seq order";
    let (mut found, sends) = (Vec::new(), sends(history));
    for (conversation, log) in logs(history) {
        let mut latest: HashMap<Device, (usize, u64)> = HashMap::new();
        for entry in log {
            let Some(sent) = sends.get(&(conversation, entry.device, entry.id)) else { continue };
            let before = latest.insert(entry.device, (sent.first, entry.seq));
            expect(&mut found, RULE, before.is_none_or(|(first, _)| first <= sent.first), || {
                let (seq, device) = (entry.seq, entry.device);
                format!(
                    "{conversation}: device {device:x} sent #{seq} before #{}",
                    before.unwrap_or_default().1
                )
            });
        }
    }
    found
}

/// Everything known of the sends of one message.
#[derive(Default)]
struct Sends {
    /// Position of the first invocation in the history.
    first: usize,
    body: Vec<u8>,
    /// One for each invocation; `None` while it has not ended.
    outcomes: Vec<Option<Outcome>>,
}

impl Sends {
    fn acks(&self) -> impl Iterator<Item = (u64, bool)> + '_ {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Some(Outcome::Acked { seq, duplicate }) => Some((*seq, *duplicate)),
            _ => None,
        })
    }

    fn refused_for_good(&self) -> bool {
        self.outcomes.iter().all(|outcome| *outcome == Some(Outcome::Refused))
    }
}

fn sends(history: &History) -> BTreeMap<Key<'_>, Sends> {
    let mut ends: HashMap<Op, Outcome> = HashMap::new();
    for event in &history.events {
        if let Event::SendEnded { op, outcome } = event {
            ends.insert(*op, outcome.clone());
        }
    }
    let mut all: BTreeMap<Key<'_>, Sends> = BTreeMap::new();
    for (at, event) in history.events.iter().enumerate() {
        if let Event::SendInvoked { op, device, conversation, id, body } = event {
            let first = || Sends { first: at, body: body.clone(), outcomes: Vec::new() };
            let sends = all.entry((conversation, *device, *id)).or_insert_with(first);
            sends.outcomes.push(ends.remove(op));
        }
    }
    all
}

fn logs(history: &History) -> BTreeMap<&str, &[Entry]> {
    let finals = history.events.iter().filter_map(|event| match event {
        Event::Final { conversation, entries } => Some((conversation.as_str(), entries.as_slice())),
        _ => None,
    });
    finals.collect()
}

/// Every entry anybody saw, with its conversation.
fn seen(history: &History) -> impl Iterator<Item = (&str, &Entry)> {
    let reads = read_conversations(history);
    history.events.iter().flat_map(move |event| match event {
        Event::Saw { conversation, entry, .. } => vec![(conversation.as_str(), entry)],
        Event::Final { conversation, entries } => {
            entries.iter().map(|e| (conversation.as_str(), e)).collect()
        }
        Event::ReadEnded { op, result } => {
            let conversation = reads.get(op).copied().unwrap_or_default();
            result.entries.iter().map(|e| (conversation, e)).collect()
        }
        _ => Vec::new(),
    })
}

fn read_conversations(history: &History) -> HashMap<Op, &str> {
    let reads = history.events.iter().filter_map(|event| match event {
        Event::ReadInvoked { op, conversation, .. } => Some((*op, conversation.as_str())),
        _ => None,
    });
    reads.collect()
}
