//! What devices saw and what reads returned, against what the log entitles them to.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::rights::Rights;
use super::{Violation, expect};
use crate::support::history::{Device, Event, History, Op, Outcome, ReadResult};

/// Invariant 6: after dropping repeats, a device sees seqs ascending and without a hole among those its user may
/// see, nothing its user may not see, and everything once it had the time to catch up.
pub fn every_device_sees_every_entry(history: &History) -> Vec<Violation> {
    const RULE: &str = "exactly once, ascending, no hole";
    let (mut found, rights, tips) = (Vec::new(), Rights::of(history), tips(history));
    for ((device, conversation), follower) in followers(history) {
        let may_see = |seq: u64| rights.may_see(conversation, follower.user, seq);
        let owed = |seq: u64| rights.is_owed(conversation, follower.user, seq);
        let name = || format!("device {device:x} of {} in {conversation}", follower.user);
        let mut next = follower.from;
        for &seq in &follower.seen {
            expect(&mut found, RULE, may_see(seq), || format!("{}: saw #{seq}, not entitled", name()));
            expect(&mut found, RULE, seq >= next, || format!("{}: saw #{seq} after #{}", name(), next - 1));
            let hole: Vec<u64> = (next..seq).filter(|&seq| owed(seq)).collect();
            expect(&mut found, RULE, hole.is_empty(), || format!("{}: saw #{seq} before {hole:?}", name()));
            next = next.max(seq + 1);
        }
        if let (true, Some(&tip)) = (follower.caught_up, tips.get(conversation)) {
            let missing: Vec<u64> = (next..=tip).filter(|&seq| owed(seq)).collect();
            expect(&mut found, RULE, missing.is_empty(), || format!("{}: never saw {missing:?}", name()));
        }
    }
    found
}

/// Invariant 8: a read begun after an ack contains the message; no read shows a hole or passes the tip.
pub fn reads_contain_what_was_acked(history: &History) -> Vec<Violation> {
    const RULE: &str = "read your writes";
    let (mut found, rights) = (Vec::new(), Rights::of(history));
    let (mut acked, mut asked): (HashMap<&str, u64>, HashMap<Op, Asked<'_>>) = Default::default();
    let mut sent: HashMap<Op, &str> = HashMap::new();
    for event in &history.events {
        match event {
            Event::SendInvoked { op, conversation, .. } => drop(sent.insert(*op, conversation)),
            Event::SendEnded { op, outcome: Outcome::Acked { seq, .. } } => {
                let highest = acked.entry(sent.get(op).copied().unwrap_or_default()).or_default();
                *highest = (*highest).max(*seq);
            }
            Event::ReadInvoked { op, user, conversation, from, .. } => {
                let acked = acked.get(conversation.as_str()).copied().unwrap_or_default();
                asked.insert(*op, Asked { user, conversation, from: *from, acked });
            }
            Event::ReadEnded { op, result } => {
                let Some(asked) = asked.remove(op) else { continue };
                for what in faults(&asked, result, &rights) {
                    expect(&mut found, RULE, false, || format!("{}: {what}", asked.conversation));
                }
            }
            _ => {}
        }
    }
    found
}

/// A read that has begun; `acked` is the highest seq acked before.
struct Asked<'a> {
    user: &'a str,
    conversation: &'a str,
    from: u64,
    acked: u64,
}

fn faults(asked: &Asked<'_>, result: &ReadResult, rights: &Rights<'_>) -> Vec<String> {
    let may_see = |seq: &u64| rights.is_owed(asked.conversation, asked.user, *seq);
    let extra = |seq: &u64| rights.may_see(asked.conversation, asked.user, *seq) && !may_see(seq);
    let owed = (asked.from..=asked.acked).rev().find(may_see).unwrap_or_default();
    let mut faults = Vec::new();
    if result.tip < owed {
        faults.push(format!("a read begun after #{owed} was acked says the tip is #{}", result.tip));
    }
    if result.last < owed && !result.has_more {
        faults.push(format!("a read begun after #{owed} was acked ends at #{}", result.last));
    }
    let returned: Vec<u64> = result.entries.iter().map(|entry| entry.seq).collect();
    if let Some(beyond) = returned.iter().find(|&&seq| seq > result.tip) {
        faults.push(format!("a read returned #{beyond} beyond the tip #{}", result.tip));
    }
    let expected = (result.first..=result.last).filter(may_see);
    // What a user who comes back is given beside is there from the return on.
    if returned.iter().copied().filter(|seq| !extra(seq)).ne(expected) {
        faults.push(format!("a read of #{}..#{} returned {returned:?}", result.first, result.last));
    }
    faults
}

/// A device that takes a conversation's messages.
struct Follower<'a> {
    user: &'a str,
    from: u64,
    /// First sightings, in their order.
    seen: Vec<u64>,
    caught_up: bool,
}

fn followers(history: &History) -> BTreeMap<(Device, &str), Follower<'_>> {
    let mut all: BTreeMap<(Device, &str), Follower<'_>> = BTreeMap::new();
    let mut repeats = HashSet::new();
    for event in &history.events {
        match event {
            Event::Follows { device, user, conversation, from } => {
                let new = Follower { user, from: *from, seen: Vec::new(), caught_up: false };
                all.entry((*device, conversation)).or_insert(new);
            }
            Event::Saw { device, conversation, entry } => {
                let Some(follower) = all.get_mut(&(*device, conversation.as_str())) else { continue };
                if repeats.insert((*device, conversation, entry.seq)) {
                    follower.seen.push(entry.seq);
                }
            }
            Event::CaughtUp { device, conversation } => {
                if let Some(follower) = all.get_mut(&(*device, conversation.as_str())) {
                    follower.caught_up = true;
                }
            }
            _ => {}
        }
    }
    all
}

fn tips(history: &History) -> HashMap<&str, u64> {
    let finals = history.events.iter().filter_map(|event| match event {
        Event::Final { conversation, entries } => {
            Some((conversation.as_str(), entries.last().map_or(0, |entry| entry.seq)))
        }
        _ => None,
    });
    finals.collect()
}
