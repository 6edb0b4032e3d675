//! The presence stream.

use std::collections::BTreeMap;

use super::{Violation, expect};
use crate::support::history::{Event, History, Millis, Op, Presence, Standing};

/// How long a user may have been reachable and still be said to be offline: what was known before may be told that late.
pub const OFFLINE_WITHIN_MS: Millis = 15_000;

/// Invariant 13: a tenant's presence stream has the seqs 1, 2, 3 … without a hole, each for good; neighbouring events
/// of a user differ; epochs never fall; a later read sees no less; and the stream ends with what everybody is.
pub fn the_presence_stream_is_whole(history: &History) -> Vec<Violation> {
    let (mut found, mut streams) = (Vec::new(), BTreeMap::new());
    for event in &history.events {
        if let Event::FinalPresence { tenant, events, standings } = event {
            streams.insert(tenant.as_str(), events.as_slice());
            found.extend(faults(tenant, events, standings));
        }
    }
    for event in &history.events {
        let Event::PresentAtRest { tenant, user, standing } = event else { continue };
        let events = streams.get(tenant.as_str()).copied().unwrap_or_default();
        let last = events.iter().rev().find(|event| event.user == *user);
        let last = last.map_or(Standing::Offline, |event| event.standing);
        expect(&mut found, RULE, last == *standing, || {
            format!("{tenant}: {user} is {standing:?}, the stream ends with {last:?}")
        });
    }
    found.extend(reads(history, &streams));
    found
}

/// Invariant 13, its other half: nobody is said to be offline who has been there for a while.
pub fn who_is_reachable_is_not_offline(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for event in &history.events {
        let Event::SaidOffline { user, device, reachable_ms } = event else { continue };
        expect(&mut found, RULE, *reachable_ms <= OFFLINE_WITHIN_MS, || {
            format!(
                "{user} is said to be offline; device {device:x} has been reachable for {reachable_ms} ms"
            )
        });
    }
    found
}

const RULE: &str = "presence stream";

fn faults(tenant: &str, events: &[Presence], standings: &[(String, Standing)]) -> Vec<Violation> {
    let (mut found, mut known, mut epoch) = (Vec::new(), BTreeMap::new(), 0);
    for (event, wanted) in events.iter().zip(1..) {
        let name = || format!("{tenant}: event #{} of {}", event.seq, event.user);
        expect(&mut found, RULE, event.seq == wanted, || format!("{} stands at #{wanted}", name()));
        expect(&mut found, RULE, event.epoch >= epoch, || format!("{} has an earlier epoch", name()));
        let before = known.insert(event.user.as_str(), event.standing).unwrap_or_default();
        expect(&mut found, RULE, before != event.standing, || format!("{} says {before:?} again", name()));
        epoch = event.epoch;
    }
    let stored: BTreeMap<&str, Standing> =
        standings.iter().map(|(user, standing)| (user.as_str(), *standing)).collect();
    expect(&mut found, RULE, stored == known, || {
        format!("{tenant}: the stream makes {known:?}, stored is {stored:?}")
    });
    found
}

/// Reads in between return what is there in the end, and a later one no less than an earlier one.
fn reads(history: &History, streams: &BTreeMap<&str, &[Presence]>) -> Vec<Violation> {
    let (mut found, mut tips): (Vec<Violation>, BTreeMap<&str, u64>) = Default::default();
    let mut asked: BTreeMap<Op, (&str, u64)> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::StreamAsked { op, tenant } => {
                asked.insert(*op, (tenant, tips.get(tenant.as_str()).copied().unwrap_or_default()));
            }
            Event::StreamRead { op, after, limit, tip, events } => {
                let Some((tenant, least)) = asked.remove(op) else { continue };
                let name = format!("{tenant}: a read after #{after}");
                expect(&mut found, RULE, *tip >= least, || {
                    format!("{name} ends at #{tip}, an earlier one at #{least}")
                });
                let stream = streams.get(tenant).copied().unwrap_or_default().iter();
                let there = stream.filter(|event| (after + 1..=*tip).contains(&event.seq));
                let same = there.take(usize::try_from(*limit).unwrap_or(usize::MAX)).eq(events);
                expect(&mut found, RULE, same, || format!("{name} up to #{tip} is not what is stored"));
                let highest = tips.entry(tenant).or_default();
                *highest = (*highest).max(*tip);
            }
            _ => {}
        }
    }
    found
}
